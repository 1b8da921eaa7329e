"""A training run as a file can say it: paths and plain settings, for processes of their own."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from astromodal.config.load import partial_config
from astromodal.config.schema import Config
from astromodal.core.files import read_json, write_json
from astromodal.training.distributed import Group
from astromodal.training.run import RunFiles, train_transformer
from astromodal.training.targets import load_tokenizers


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
