"""The start of a job: the interface between Snakemake and the package.

Only entry scripts import it. All other modules take plain arguments and return values.
"""

from __future__ import annotations

import atexit
import gc
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import __main__

# Imported modules live as long as the job. Searches for garbage among them cost a fifth of the time
# of the imports, and those at the job's end as much again. Entry scripts import this first.
if hasattr(__main__, "snakemake"):
    gc.disable()

from threadpoolctl import threadpool_limits

import astromodal
from astromodal.config.load import partial_config
from astromodal.config.schema import Config
from astromodal.core.loops import Progress, logged
from astromodal.errors import AstromodalError, ChangedError, DataError, machine_error
from astromodal.extensions import load_inherited
from astromodal.jobs.failures import Note, note_path, notes_of, write_note
from astromodal.storage.formats import SKIPPED, Skip, SkippedError
from astromodal.storage.hashing import FileVersion
from astromodal.storage.json_files import write_json

if TYPE_CHECKING:
    import torch

SCRIPTS = Path(astromodal.__file__).parents[1]


@dataclass(frozen=True)
class Job:
    """A running job: the settings that its rule names, its logger, its cores.

    Attributes
    ----------
    field, cube : str, optional
        The job's field, and the cube of that field where the job reads it, or the stamp of what it
        builds the cube from.
    outputs : tuple of str
        Paths of the files that the job writes.
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
        """The progress of long steps, written to the job's log."""
        return logged(self.logger)

    @property
    def notes(self) -> str:
        """Folder of the notes of skipped fields; empty where no field is skipped."""
        return notes_of(self.outputs, os.environ)

    @contextmanager
    def one_field(self) -> Iterator[None]:
        """Skip the field where the work inside finds a bad cube and ``on_bad_field`` is ``skip``.

        The outputs then record the skip. A job that reads such outputs skips the field, too.
        """
        folder = self.notes
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
        """Write the reason of the skip in place of every output."""
        self.logger.warning("%s", skip)
        for output in self.outputs:
            write_json(output, {"format": SKIPPED, **asdict(skip)})

    def device(self) -> torch.device:
        """Return the job's GPU, or the CPU with the number of threads that the config sets."""
        import torch

        chosen = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        n_threads = self.settings.cpu_threads if chosen.type == "cpu" else None
        torch.set_num_threads(n_threads or self.threads)
        # Convolutions and matrix products of fp32 inputs may use the tensor cores' TF32.
        torch.set_float32_matmul_precision("high")
        self.logger.info("runs on %s with %d threads", chosen, torch.get_num_threads())
        return chosen

    def seed_everything(self, seed: int) -> None:
        """Seed the global generator of PyTorch, which layers and dropout sample from.

        All other samples of the package come from NumPy generators.
        """
        import torch

        torch.manual_seed(seed)


def start(snakemake: Any) -> Job:
    """Set up logging and linear algebra for the job that `snakemake` describes.

    Parameters
    ----------
    snakemake : snakemake.script.Snakemake
        The object that Snakemake passes to a script. Its ``params.settings`` maps dotted names to
        plain values, and its ``params.code`` is the digest of the job's code, which names the
        extension files to import. The log goes to its first log file.

    Raises
    ------
    AstromodalError
        Where the imported package is not the one beside the script.
    """
    # A script out of a git repository has a URI; `shield` names the folder of the package.
    hosted = "://" in snakemake.scriptdir
    places = os.environ.get("PYTHONPATH", "") if hosted else snakemake.scriptdir
    if SCRIPTS.resolve() not in {Path(p).resolve() for p in places.split(os.pathsep) if p}:
        raise AstromodalError(
            f"astromodal must be imported from {places}, got {SCRIPTS}; "
            "uninstall the other copy, or install this one with pip install -e ."
        )
    logger = _log_to(snakemake.log[0] if snakemake.log else None, snakemake.rule)
    logger.info("%s %s", snakemake.rule, dict(snakemake.wildcards.items()))
    gc.freeze()
    gc.enable()
    atexit.register(gc.freeze)
    load_inherited(snakemake.params.get("code"))
    settings = partial_config(snakemake.params.get("settings", {}))
    # BLAS sums in an order that depends on its threads. With one thread, sums repeat to the bit.
    threadpool_limits(1, "blas")
    return Job(
        name=snakemake.rule,
        settings=settings,
        logger=logger,
        threads=int(snakemake.threads),
        field=snakemake.wildcards.get("field"),
        cube=snakemake.input.get("cube") or snakemake.input.get("stamp"),
        outputs=tuple(snakemake.output),
    )


class _LogFile(logging.FileHandler):
    """A log file that ignores errors of the disk, because stderr has all messages as well."""

    def handleError(self, record: logging.LogRecord) -> None:
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


def _log_to(path: str | None, name: str) -> logging.Logger:
    """Return a logger that writes messages and the traceback of a failure to a file and stderr."""
    options: dict[str, Any] = {"level": logging.INFO, "format": "%(asctime)s %(message)s"}
    logging.basicConfig(**options, handlers=[logging.StreamHandler(sys.stderr)], force=True)
    logger = logging.getLogger(f"astromodal.{name}")

    def report(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        named = machine_error(error) or error
        if isinstance(named, AstromodalError):
            logger.error("%s", named)
        else:
            logger.error("failed", exc_info=(kind, error, trace))

    sys.excepthook = report
    if path:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text("")
        # Append: processes that the job starts may write to the same file.
        handler = _LogFile(path, mode="a", encoding="utf-8")
        handler.setFormatter(logging.Formatter(options["format"]))
        logging.getLogger().addHandler(handler)
    return logger
