"""The start of a job: what stands between Snakemake and the package.

Only entry scripts use it. Everything below takes plain arguments and returns values.
"""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from threadpoolctl import threadpool_limits

import astromodal
from astromodal.config.load import partial_config
from astromodal.config.schema import Config
from astromodal.core.progress import Progress, logged
from astromodal.errors import AstromodalError

if TYPE_CHECKING:
    import torch

SCRIPTS = Path(astromodal.__file__).parents[1]
TORCH_THREADS: Final = 4
"""Threads of PyTorch on a CPU, however many cores there are: sums are split among them, and with
another number a training, which rounds otherwise from its first step on, ends elsewhere."""


@dataclass(frozen=True)
class Job:
    """A running job: the settings that its rule names, its logger, its cores."""

    name: str
    settings: Config
    logger: logging.Logger
    threads: int

    @property
    def progress(self) -> Progress:
        """Progress of long steps, as lines of the job's log."""
        return logged(self.logger)

    def device(self) -> torch.device:
        """The GPU that the job was given, or the CPU: there the cores that it has change no bit."""
        import torch

        chosen = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        torch.set_num_threads(TORCH_THREADS if chosen.type == "cpu" else self.threads)
        # Convolutions and matrix products of fp32 inputs may use the tensor cores' TF32.
        torch.set_float32_matmul_precision("high")
        self.logger.info("runs on %s with %d threads", chosen, torch.get_num_threads())
        return chosen

    def seed_everything(self, seed: int) -> None:
        """Seed PyTorch, whose layers and dropout draw from its global state.

        All of the package's own draws take a NumPy generator of their own.
        """
        import torch

        torch.manual_seed(seed)


def start(snakemake: Any) -> Job:
    """Set up logging and linear algebra for the job that `snakemake` describes.

    Parameters
    ----------
    snakemake : snakemake.script.Snakemake
        The object that Snakemake gives to a script. Its ``params.settings`` maps dotted names to
        plain values, its first log file takes the log.

    Raises
    ------
    AstromodalError
        Where another copy of the package would run than the one beside the script.
    """
    beside = Path(snakemake.scriptdir).resolve()
    if beside != SCRIPTS.resolve():
        raise AstromodalError(
            f"astromodal must be imported from {beside}, got {SCRIPTS}; "
            "uninstall the other copy, or install this one with pip install -e ."
        )
    logger = _log_to(snakemake.log[0] if snakemake.log else None, snakemake.rule)
    logger.info("%s %s", snakemake.rule, dict(snakemake.wildcards.items()))
    settings = partial_config(snakemake.params.get("settings", {}))
    # The order of BLAS's sums follows its number of threads; one thread repeats them to the bit.
    threadpool_limits(1, "blas")
    return Job(snakemake.rule, settings, logger, int(snakemake.threads))


def _log_to(path: str | None, name: str) -> logging.Logger:
    """Send the job's messages, and the traceback of its failure, to its log and to stderr."""
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if path:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text("")
        # Always at the end: processes that the job starts may add to the same file.
        handlers.append(logging.FileHandler(path, mode="a", encoding="utf-8"))
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(message)s", handlers=handlers, force=True
    )
    logger = logging.getLogger(f"astromodal.{name}")

    def report(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        if issubclass(kind, AstromodalError):
            logger.error("%s", error)
        else:
            logger.error("failed", exc_info=(kind, error, trace))

    sys.excepthook = report
    return logger
