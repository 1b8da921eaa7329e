"""The surroundings of jobs: their environment, whatever that of the user is like.

Every job is started by a Snakemake that has read the rules, here or on a node of a cluster, and
inherits its environment. What can change a number, a figure or whether a job runs at all is set
here. What a user chooses for his machine stays: GPUs, temporary folders, the network of a cluster,
and which instructions of a processor its libraries use (``OPENBLAS_CORETYPE``, ``MKL_CBWR``,
``ATEN_CPU_CAPABILITY`` and their kin), by which unlike processors compute the same. Matplotlib's
settings are those of ``astromodal.evaluation.report.style``.

It is imported by the Snakefile, so that it imports little.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import MutableMapping
from pathlib import Path
from typing import Final

SET: Final = {
    "MPLBACKEND": "Agg",  # a notebook's is of no use outside of it
    "LC_ALL": "C.UTF-8",
    "PYTHONUTF8": "1",
    "PYTHONSAFEPATH": "1",  # no module of the working folder in the place of a library's
    # A `.numba_config.yaml` of the working folder is weaker than a variable.
    "NUMBA_DISABLE_JIT": "0",
    "NUMBA_OPT": "3",
    "NUMBA_BOUNDSCHECK": "0",
}
"""Variables that every job has."""

_DROPPED: Final = frozenset(
    {
        "PYTHONWARNINGS", "PYTHONOPTIMIZE", "PYTHONIOENCODING", "PYTHONINSPECT",
        # In how many parts a sum is taken: a job's own settings and its rule say that.
        "OMP_DYNAMIC", "OMP_THREAD_LIMIT", "MKL_DYNAMIC", "MKL_NUM_THREADS",
        "MKL_DOMAIN_NUM_THREADS",
        # In how many digits.
        "NVIDIA_TF32_OVERRIDE", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
        # How the letters of a figure are drawn, and where matplotlib's settings are from.
        "FREETYPE_PROPERTIES", "MATPLOTLIBRC",
        "SCIPY_ARRAY_API", "MKL_VERBOSE",
    }
)  # fmt: skip
_DROPPED_PREFIXES: Final = ("NUMBA_", "PANDAS_")
_KEPT: Final = frozenset({"NUMBA_CACHE_DIR"})
_HOMES: Final = {"XDG_CACHE_HOME": "~/.cache", "XDG_CONFIG_HOME": "~/.config"}
_OWNERS: Final = 0o700


def shield(environment: MutableMapping[str, str], scripts: Path, folder: Path) -> None:
    """Change an environment to that of jobs, and the process's mask of new files.

    Parameters
    ----------
    environment : mapping
        ``os.environ``; jobs inherit it.
    scripts : path
        The folder of the entry scripts. The package beside them comes before any other: Snakemake
        puts that folder last, and what modules of a cluster put on ``PYTHONPATH`` is needed.
    folder : path
        Takes caches and settings of libraries where the home folder cannot.
    """
    for name in [*environment]:
        if name in _DROPPED or (name.startswith(_DROPPED_PREFIXES) and name not in _KEPT):
            del environment[name]
    environment.update(SET)
    others = [p for p in environment.get("PYTHONPATH", "").split(os.pathsep) if p]
    own = str(scripts.resolve())
    environment["PYTHONPATH"] = os.pathsep.join([own, *(p for p in others if p != own)])
    for name, usual in _HOMES.items():
        if not _takes_files(Path(environment.get(name) or os.path.expanduser(usual))):
            environment[name] = str(folder / name.lower())
    os.umask(os.umask(0) & ~_OWNERS)  # who runs a job can read what the one before it wrote
    if "OMP_WAIT_POLICY" not in environment:
        # Threads that spin for long while they wait starve each other where cores are shared.
        environment.setdefault("GOMP_SPINCOUNT", "10000")


def _takes_files(folder: Path) -> bool:
    """Whether files can be made in a folder, which is made where it is not."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True
