"""The start of a job: what stands between Snakemake and the package.

Only entry scripts use it. Everything below takes plain arguments and returns values.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from threadpoolctl import threadpool_limits

import astromodal
from astromodal.config.load import partial_config
from astromodal.config.schema import Config
from astromodal.core.progress import Progress, logged
from astromodal.errors import AstromodalError, ChangedError, DataError, machine_error
from astromodal.extensions import load_inherited
from astromodal.jobs.skipped import FOLDER, Note, note_path, write_note
from astromodal.storage.hashing import FileVersion
from astromodal.storage.json_files import write_json
from astromodal.storage.skips import SKIPPED, Skip, SkippedError

if TYPE_CHECKING:
    import torch

SCRIPTS = Path(astromodal.__file__).parents[1]


@dataclass(frozen=True)
class Job:
    """A running job: the settings that its rule names, its logger, its cores.

    Attributes
    ----------
    field, cube : str, optional
        The field that it is about, and that field's cube where it reads that.
    outputs : tuple of str
        Files that it makes.
    """

    name: str
    settings: Config
    logger: logging.Logger
    threads: int
    field: str | None = None
    cube: str | None = None
    outputs: tuple[str, ...] = ()

    @property
    def progress(self) -> Progress:
        """Progress of long steps, as lines of the job's log."""
        return logged(self.logger)

    @contextmanager
    def one_field(self) -> Iterator[None]:
        """Inside is the work on one field; where its cube is bad, and that may be, it is skipped.

        Its outputs then say so, as do those of a job that is given such outputs.
        """
        folder = os.environ.get(FOLDER, "")
        try:
            yield
            if folder:
                note_path(folder, str(self.field), self.name).unlink(missing_ok=True)
        except ChangedError:  # another attempt may find it whole
            raise
        except SkippedError as error:
            if not folder:
                raise
            self._skip(error.skip)
        except DataError as error:
            if not folder or self.cube is None:  # without a cube, no cube is to blame
                raise
            skip = Skip(str(self.field), self.name, str(error))
            self._skip(skip)
            write_note(folder, Note(skip, FileVersion.of(self.cube), self.outputs))

    def _skip(self, skip: Skip) -> None:
        """Write why the field is skipped in place of every output."""
        self.logger.warning("%s", skip)
        for output in self.outputs:
            write_json(output, {"format": SKIPPED, **asdict(skip)})

    def device(self) -> torch.device:
        """The GPU that the job was given, or the CPU with as many threads as the config wants."""
        import torch

        chosen = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        wanted = self.settings.cpu_threads if chosen.type == "cpu" else None
        torch.set_num_threads(wanted or self.threads)
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
    load_inherited()
    settings = partial_config(snakemake.params.get("settings", {}))
    # The order of BLAS's sums follows its number of threads; one thread repeats them to the bit.
    threadpool_limits(1, "blas")
    return Job(
        name=snakemake.rule,
        settings=settings,
        logger=logger,
        threads=int(snakemake.threads),
        field=snakemake.wildcards.get("field"),
        cube=snakemake.input.get("cube"),
        outputs=tuple(snakemake.output),
    )


class _LogFile(logging.FileHandler):
    """A log that a full disk cuts short, without a word: the job's stderr has all of it."""

    def handleError(self, record: logging.LogRecord) -> None:
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


def _log_to(path: str | None, name: str) -> logging.Logger:
    """Send the job's messages, and the traceback of its failure, to its log and to stderr."""
    options: dict[str, Any] = {"level": logging.INFO, "format": "%(asctime)s %(message)s"}
    logging.basicConfig(**options, handlers=[logging.StreamHandler(sys.stderr)], force=True)
    logger = logging.getLogger(f"astromodal.{name}")

    def report(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        told = machine_error(error) or error
        if isinstance(told, AstromodalError):
            logger.error("%s", told)
        else:
            logger.error("failed", exc_info=(kind, error, trace))

    sys.excepthook = report
    if path:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text("")
        # Always at the end: processes that the job starts may add to the same file.
        handler = _LogFile(path, mode="a", encoding="utf-8")
        handler.setFormatter(logging.Formatter(options["format"]))
        logging.getLogger().addHandler(handler)
    return logger
