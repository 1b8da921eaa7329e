"""Streams of objects: their order, the shares of workers and ranks, and the place in an epoch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence, Sized
from itertools import islice
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar, get_args

import numpy as np
import torch
from torch import distributed
from torch.utils.data import IterableDataset, get_worker_info

from astromodal.data.splits import SPLIT_NAMES
from astromodal.errors import ConfigError, must_be, suggestion
from astromodal.storage.formats import usable

Item = dict[str, Any]
Paths = str | Path | Sequence[str | Path]
Remainder = Literal["keep", "drop"]
Share = TypeVar("Share", bound=Sized)


class Stream(IterableDataset[Item], ABC, Generic[Share]):
    """Objects in an order that depends on seed and epoch alone, divided into shares.

    Every worker of every rank has a share of its own, so that each object is given once per epoch
    over all of them. The rank is that of `torch.distributed`, where a process group exists.

    Parameters
    ----------
    seed : int
        Seed of the order.
    shuffle : bool
        Whether the order is random; that of the files otherwise.
    remainder : {"keep", "drop"}
        Whether every object is given, or only as many per share as the smallest has. Ranks that
        exchange gradients at every step need equally many batches: ``drop``. Which objects are
        left out differs from epoch to epoch.
    rank, world_size : int, optional
        Number of this process, and of all; those of the process group by default.

    Raises
    ------
    ConfigError
        If a parameter is out of range.
    """

    def __init__(
        self,
        seed: int,
        shuffle: bool,
        remainder: Remainder,
        rank: int | None,
        world_size: int | None,
    ) -> None:
        if remainder not in get_args(Remainder):
            raise ConfigError(must_be("remainder", "keep or drop", remainder))
        if seed < 0:
            raise ConfigError(must_be("seed", "at least 0", seed))
        if (rank is None) != (world_size is None):
            got = f"rank {rank} and world_size {world_size}"
            raise ConfigError(must_be("rank and world_size", "given together", got))
        self.seed, self.shuffle, self.remainder = seed, shuffle, remainder
        self._group: tuple[int, int] | None = None
        if rank is not None and world_size is not None:
            if not 0 <= rank < world_size:
                raise ConfigError(must_be("rank", f"0 to {world_size - 1}", rank))
            self._group = rank, world_size
        # Shared with the workers: those that persist between epochs see a change.
        self._epoch = torch.zeros(1, dtype=torch.int64).share_memory_()
        self._given = (0, 0)  # epoch, and objects of it
        self._resumed: dict[str, int] | None = None

    @property
    @abstractmethod
    def n_objects(self) -> int:
        """Number of objects per epoch, over all ranks."""

    @abstractmethod
    def _divide(self, epoch: int, shares: int) -> list[Share]:
        """Return the shares of an epoch, whose lengths are numbers of objects."""

    @abstractmethod
    def _read(self, share: Share, epoch: int, start: int) -> Iterator[Item]:
        """Yield the objects of a share from number `start` on."""

    @property
    def epoch(self) -> int:
        """Number of the epoch."""
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, and so the order, of the next iteration."""
        self._epoch.fill_(epoch)

    def __iter__(self) -> Iterator[Item]:
        number, count = self._place()
        epoch, shares = self.epoch, self._divide(self.epoch, count)
        done = self._start(epoch, number, count)
        end = min(map(len, shares)) if self.remainder == "drop" else len(shares[number])
        self._given = epoch, done
        read = self._read(shares[number], epoch, done)
        for given, item in enumerate(islice(read, max(0, end - done)), start=done + 1):
            self._given = epoch, given
            yield item

    def state_dict(self) -> dict[str, int]:
        """Return the place in the epoch, of this worker if in one, as plain numbers."""
        number, count = self._place()
        epoch, given = self._given
        return {
            "seed": self.seed, "objects": self.n_objects, "shares": count, "share": number,
            "epoch": self.epoch, "done": given if epoch == self.epoch else 0,
        }  # fmt: skip

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Let the next iteration continue after the objects that another one gave.

        Parameters
        ----------
        state : mapping
            Result of `state_dict`. ``StatefulDataLoader`` of torchdata calls both in each worker.

        Raises
        ------
        ConfigError
            If the state is that of a stream of another seed or of other objects. Another number of
            workers or ranks is an error of the next iteration.
        """
        for name, own in (("seed", self.seed), ("objects", self.n_objects)):
            if state.get(name) != own:
                what = f"{name} of the state"
                raise ConfigError(must_be(what, f"{own}, as in the stream", state.get(name)))
        self._resumed = dict(state)
        self._given = state["epoch"], state["done"]
        self.set_epoch(state["epoch"])

    def __getstate__(self) -> dict[str, Any]:
        """Return the attributes for a worker, which does not belong to the process group."""
        return {**vars(self), "_group": self._group or _process_group()}

    def _start(self, epoch: int, number: int, count: int) -> int:
        """Return the number of objects of a share that were given before."""
        state, self._resumed = self._resumed, None
        if state is None or state["epoch"] != epoch:
            return 0
        if (state["share"], state["shares"]) != (number, count):
            must = f"share {number} of {count} (workers times ranks)"
            got = f"share {state['share']} of {state['shares']}"
            do = "use as many workers and ranks, and StatefulDataLoader where there are workers"
            raise ConfigError(must_be("the state", must, got, do))
        return state["done"]

    def _place(self) -> tuple[int, int]:
        """Return the number of this process's share, and of all shares."""
        rank, size = self._group or _process_group()
        info = get_worker_info()
        worker, workers = (0, 1) if info is None else (info.id, info.num_workers)
        return rank * workers + worker, size * workers


def _process_group() -> tuple[int, int]:
    """Return the rank of this process, and the number of ranks."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def permuted(n: int, shuffle: bool, key: tuple[int, ...]) -> np.ndarray:
    """Return the numbers 0 to n - 1, int64 (n,), in the random order of a key if shuffled."""
    return np.random.default_rng(key).permutation(n) if shuffle else np.arange(n)


def list_files(files: Paths, pattern: str) -> list[Path]:
    """Return the files of fields: those that are named, and those in a folder, by name.

    Notes that stand for outputs of skipped fields are left out.

    Parameters
    ----------
    files : path or sequence of path
        Files, and folders of files.
    pattern : str
        Names of the files in a folder.

    Raises
    ------
    ConfigError
        If there is no file.
    """
    given = [files] if isinstance(files, str | Path) else list(files)
    found: list[str | Path] = []
    for path in map(Path, given):
        found += sorted(path.glob(pattern)) if path.is_dir() else [path]
    if not found:
        got = f"none in {', '.join(map(str, given)) or 'an empty list'}"
        raise ConfigError(must_be("files", f"one or more, such as {pattern}", got))
    return [Path(path) for path in usable(found)]


def split_number(split: str | None) -> int | None:
    """Return the number of a split by its name; None for all objects.

    Raises
    ------
    ConfigError
        If there is no such split.
    """
    if split is None:
        return None
    if split not in SPLIT_NAMES:
        must = f"one of {', '.join(SPLIT_NAMES)}, or None for all"
        raise ConfigError(must_be("split", must, split) + suggestion(split, SPLIT_NAMES))
    return SPLIT_NAMES.index(split)
