"""A training run as a file can say it: paths and plain settings, for processes of their own."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from astromodal.config.load import partial_config
from astromodal.config.schema import Config
from astromodal.errors import AstromodalError, machine_error
from astromodal.extensions import load_inherited
from astromodal.sequences.centroids import load_tokenizers
from astromodal.storage.json_files import read_json, write_json
from astromodal.training.distributed import Group, process_group
from astromodal.training.run import RunFiles, train_transformer


@dataclass(frozen=True)
class TrainingTask:
    """What a process needs to know to train.

    Attributes
    ----------
    sequences : sequence of str
        Sequence files.
    tokenizers : mapping of str to str
        Files by the parameters of `load_tokenizers`.
    files : mapping of str to str
        Files by the attributes of `RunFiles`.
    settings : mapping of str to plain values
        By dotted name, as `train_transformer` takes them.
    threads : int
        Cores of a node, which its processes share.
    log : str
        File that the first process's messages are added to.
    code : str
        Digest of the code that trains.
    """

    sequences: Sequence[str]
    tokenizers: Mapping[str, str]
    files: Mapping[str, str]
    settings: Mapping[str, Any]
    threads: int
    log: str
    code: str = ""

    @property
    def config(self) -> Config:
        """The settings that are given."""
        return partial_config(self.settings)

    def write(self, path: Path) -> None:
        """Write the task as JSON."""
        write_json(path, asdict(self))

    @classmethod
    def read(cls, path: Path) -> TrainingTask:
        """Read what `write` wrote."""
        return cls(**read_json(path))

    def run(self, group: Group, logger: logging.Logger) -> Path:
        """Train as one process of `group`; see `train_transformer`."""
        return train_transformer(
            list(self.sequences),
            load_tokenizers(**self.tokenizers),
            RunFiles(**{name: Path(path) for name, path in self.files.items()}),
            self.config,
            group,
            logger,
            self.code,
        )


def main(path: str) -> None:
    """Join the group and train; what goes wrong is logged, and the exit status is 1."""
    load_inherited()
    task = TrainingTask.read(Path(path))
    torch.set_num_threads(max(1, task.threads // task.config.training.gpus))
    torch.set_float32_matmul_precision("high")
    # The processes of a single node meet at a file beside the task, those of several at a port.
    meeting = Path(path).with_name("processes") if task.config.training.nodes == 1 else None
    with process_group(meeting) as group:
        logger = _logger(task.log, group)
        torch.manual_seed(task.config.training.seed)
        try:
            task.run(group, logger)
        except Exception as error:
            told = machine_error(error) or error
            if not isinstance(told, AstromodalError):
                logger.exception("process %d failed", group.rank)
                raise
            logger.error("process %d: %s", group.rank, told)  # the user can mend it: no traceback
            sys.exit(1)


def _logger(log: str, group: Group) -> logging.Logger:
    """The job's messages from the first process, errors from the others."""
    handlers: list[logging.Handler] = [
        logging.StreamHandler(sys.stderr),
        logging.FileHandler(log, encoding="utf-8"),
    ]
    level = logging.INFO if group.first else logging.ERROR
    logging.basicConfig(
        level=level, format="%(asctime)s %(message)s", handlers=handlers, force=True
    )
    logger = logging.getLogger("astromodal.train_transformer")
    logger.info("%d processes train together, this one on %s", group.size, group.device)
    return logger


if __name__ == "__main__":
    main(sys.argv[1])
