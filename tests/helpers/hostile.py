"""Surroundings in which a user may start the workflow, all of them at once."""

from __future__ import annotations

from pathlib import Path

from helpers.workflow import Workflow

MATPLOTLIBRC = """
backend: module://matplotlib_inline.backend_inline
font.size: 31
text.usetex: True
svg.fonttype: none
savefig.bbox: tight
axes.formatter.use_locale: True
axes.xmargin: 0.3
"""
NUMBA = "disable_jit: 1\nboundscheck: 1\n"
UMASK = 0o777
VARIABLES = {
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",  # of a notebook
    "HOME": "/proc/nonexistent",
    "TZ": "Asia/Kathmandu",
    "LC_ALL": "C",
    "PYTHONCOERCECLOCALE": "0",
    "PYTHONUTF8": "0",
    "PYTHONIOENCODING": "latin-1",
    "PYTHONWARNINGS": "error",
    "PYTHONOPTIMIZE": "1",
    "PYTHONHASHSEED": "7",
    "PANDAS_FUTURE_INFER_STRING": "0",
    "NUMBA_DISABLE_JIT": "1",
    "NUMBA_CPU_NAME": "generic",
    "OMP_NUM_THREADS": "2",
    "MKL_NUM_THREADS": "1",
    "OMP_DYNAMIC": "TRUE",
    "OMP_THREAD_LIMIT": "1",
    "FREETYPE_PROPERTIES": "truetype:interpreter-version=35",
    "SLURM_JOB_ID": "1",  # of an interactive allocation around a run on its node
    "SLURM_NTASKS": "8",
    "SLURM_CPUS_PER_TASK": "1",
    "CUDA_VISIBLE_DEVICES": "",
}


def surround(workflow: Workflow, folder: Path) -> None:
    """Put a workflow in such surroundings, whose files are made in a folder."""
    stale, config = folder / "modules", folder / "config"
    (stale / "astromodal").mkdir(parents=True)
    (stale / "astromodal/__init__.py").write_text("__version__ = '0.0'\n")
    # Names that Python's own modules have, in the working folder.
    (workflow.folder / "queue.py").write_text("raise RuntimeError('not this one')\n")
    (workflow.folder / ".numba_config.yaml").write_text(NUMBA)
    for name in ("matplotlib", "astropy"):
        (config / name).mkdir(parents=True)
    for path in (workflow.folder, folder, config / "matplotlib"):
        (path / "matplotlibrc").write_text(MATPLOTLIBRC)
    (config / "astropy/astropy.cfg").write_text("unicode_output = True\n")
    workflow.variables |= VARIABLES | {
        "MATPLOTLIBRC": str(folder / "matplotlibrc"),
        "PYTHONPATH": str(stale),
        "XDG_CONFIG_HOME": str(config),
        "XDG_CACHE_HOME": str(folder / "cache"),  # Snakemake itself needs one that can be written
    }
    workflow.umask = UMASK
