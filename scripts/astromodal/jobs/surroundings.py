"""The environment of jobs, which does not depend on the user's environment.

A job inherits the environment of the Snakemake that started it, here or on a node of a cluster.
This module sets every variable that can change a number or a figure, or stop a job. It keeps the
user's choice of GPUs, of temporary folders, of a cluster's network, and of the instructions that
libraries use (``OPENBLAS_CORETYPE``, ``MKL_CBWR``, ``ATEN_CPU_CAPABILITY``), with which different
processors compute the same numbers. ``astromodal.evaluation.report.style`` sets matplotlib.

The Snakefile imports this module, so it imports little.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import MutableMapping
from pathlib import Path
from typing import Final

from astromodal.errors import ConfigError, must_be

SET: Final = {
    "MPLBACKEND": "Agg",  # a notebook's backend works only inside the notebook
    "LC_ALL": "C.UTF-8",
    "PYTHONUTF8": "1",
    "PYTHONSAFEPATH": "1",  # no module of the working folder shadows a library
    # A variable overrides a `.numba_config.yaml` of the working folder.
    "NUMBA_DISABLE_JIT": "0",
    "NUMBA_OPT": "3",
    "NUMBA_BOUNDSCHECK": "0",
}
"""Variables of every job."""

_DROPPED: Final = frozenset(
    {
        "PYTHONWARNINGS", "PYTHONOPTIMIZE", "PYTHONIOENCODING", "PYTHONINSPECT",
        # Number of parts of a sum: the job's settings and its rule set it.
        "OMP_DYNAMIC", "OMP_THREAD_LIMIT", "MKL_DYNAMIC", "MKL_NUM_THREADS",
        "MKL_DOMAIN_NUM_THREADS",
        # Number of digits.
        "NVIDIA_TF32_OVERRIDE", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
        # Letters of a figure, and the file of matplotlib's settings.
        "FREETYPE_PROPERTIES", "MATPLOTLIBRC",
        "SCIPY_ARRAY_API", "MKL_VERBOSE",
    }
)  # fmt: skip
_DROPPED_PREFIXES: Final = ("NUMBA_", "PANDAS_")
_KEPT: Final = frozenset({"NUMBA_CACHE_DIR"})
_HOMES: Final = {"XDG_CACHE_HOME": "~/.cache", "XDG_CONFIG_HOME": "~/.config"}
_OWNERS: Final = 0o700


def shield(environment: MutableMapping[str, str], scripts: Path, folder: Path) -> None:
    """Set the environment of jobs, and the process's mask of new files.

    Parameters
    ----------
    environment : mapping
        ``os.environ``; jobs inherit it.
    scripts : path
        The folder of the entry scripts. It comes first on ``PYTHONPATH``, because Snakemake puts it
        last, after the entries that modules of a cluster need.
    folder : path
        Folder for caches and settings of libraries where the home folder is not writable.
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
    os.umask(os.umask(0) & ~_OWNERS)  # the owner can read the files of earlier jobs
    if "OMP_WAIT_POLICY" not in environment:
        # Threads that spin while they wait take shared cores from each other.
        environment.setdefault("GOMP_SPINCOUNT", "1000")


def enter_container(
    environment: MutableMapping[str, str], scripts: Path, image: str | None
) -> None:
    """Prepare the environment of jobs that Apptainer or Singularity starts in a container.

    The container has Python and its packages; the code is that of the checkout, which is mounted.

    Parameters
    ----------
    environment : mapping
        ``os.environ``; Apptainer reads it.
    scripts : path
        The folder of the entry scripts.
    image : str or None
        The image: the path of a file or folder, or an address.

    Raises
    ------
    ConfigError
        Where there is no image, or no file of that path.
    """
    if image is None or not ("://" in image or Path(image).exists()):
        must = "an image that exists where snakemake is started with --sdm apptainer"
        do = "build one as docs/usage.md shows, or leave --sdm apptainer out"
        raise ConfigError(must_be("container", must, image or "null", do))
    folders = dict.fromkeys([str(scripts.parent), str(scripts.resolve().parent)])
    for name in ("APPTAINER_BIND", "SINGULARITY_BIND"):
        others = [p for p in environment.get(name, "").split(",") if p]
        environment[name] = ",".join([*others, *(p for p in folders if p not in others)])


def _takes_files(folder: Path) -> bool:
    """Whether files can be written to a folder, which is made if it is missing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True
