"""Rows of cubes as datasets of PyTorch, in physical units."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset, default_collate

from astromodal.config.schema import Config, SelectionSettings
from astromodal.data.cube import Cube
from astromodal.data.inspect import field_of
from astromodal.data.measurements import CURVE, MODALITIES, ROWS, Measurements
from astromodal.data.splits import split_field
from astromodal.errors import ConfigError, must_be, suggestion
from astromodal.pytorch.streams import (
    Item,
    Paths,
    Remainder,
    Stream,
    list_files,
    permuted,
    split_number,
)
from astromodal.sequences.order import divide

_OPEN = 16
"""Cubes whose ids and scalars are kept in memory."""


@dataclass(frozen=True)
class Rows:
    """Which rows of a cube are given, and where its row groups are.

    Attributes
    ----------
    bits : uint8
        Whether each row is given, as `numpy.packbits` packs it.
    n_rows : int
        Number of rows.
    groups : list of range
        Rows of each row group.
    columns : frozenset of str
        Names of the columns.
    """

    bits: np.ndarray
    n_rows: int
    groups: list[range]
    columns: frozenset[str]

    def mask(self) -> np.ndarray:
        """Return which rows are given, bool (n,)."""
        return np.unpackbits(self.bits, count=self.n_rows).astype(bool)

    def within(self, group: range | None = None) -> np.ndarray:
        """Return the numbers of the rows that are given, int64 (m,), of all or of a row group."""
        start, stop = (0, self.n_rows) if group is None else (group.start, group.stop)
        return start + np.flatnonzero(self.mask()[start:stop])


class CubeDataset(Dataset[Item]):
    """The rows of one or several cubes, by number, in physical units.

    A row is found by reading its row group. Rows in random order are given by `CubeStream`.

    Parameters
    ----------
    files : path or sequence of path
        Cubes, and folders of them.
    config : Config
        Settings: names of columns, bands, groups, sentinels, flags, splits and selection.
    split : str, optional
        ``train``, ``validation`` or ``test``; rows of every split if None.
    columns : str or sequence of str, optional
        What an item holds: ``image``; ``scalar`` for all scalar columns of the settings;
        ``spectrum`` for all groups; groups, and columns of numbers, by name. By default everything
        that the settings name.
    selected : bool
        Whether only rows of the setting ``selection`` are given: those that become sequences.

    Attributes
    ----------
    files : list of path
        The cubes.
    read : Measurements
        What an item holds: `columns` are those of ``scalars``, `image` has the bands of ``pixels``.
    rows : list of Rows
        The rows that are given of each cube.

    Raises
    ------
    ConfigError
        If there is no file, or a name is unknown.
    DataError
        If a cube is damaged, or lacks a column that split or selection need.
    """

    def __init__(
        self,
        files: Paths,
        config: Config,
        split: str | None = None,
        columns: str | Sequence[str] | None = None,
        selected: bool = False,
    ) -> None:
        self.files = list_files(files, "datacube_*.parquet")
        self._config, self._split, self._selected = config, split_number(split), selected
        self._opened: dict[int, tuple[Cube, np.ndarray, np.ndarray]] = {}
        self.read = Measurements.named(columns, config)
        self.rows = [self._find(number) for number in range(len(self.files))]
        there = set().union(*(rows.columns for rows in self.rows))
        for name in self.read.columns:
            if name not in there and name not in config.tokenizers.scalar.columns:
                known = {*there, *MODALITIES, *config.tokenizers.spectrum.groups}
                must = "image, scalar, spectrum, groups, or columns of the cubes"
                raise ConfigError(must_be("columns", must, name) + suggestion(name, known))

    def _find(self, number: int) -> Rows:
        """Return the rows of a cube that are given."""
        cube = self._cube(number)
        given = np.ones(cube.n_rows, dtype=bool)
        if self._split is not None or self._selected:
            cut = self._config.selection if self._selected else SelectionSettings(column=None)
            found = split_field(cube, self._config.split, cut)
            given &= found.split == self._split if self._split is not None else True
            given &= found.selected if self._selected else True
        return Rows(np.packbits(given), cube.n_rows, cube.row_groups(), cube.columns)

    def _cube(self, number: int) -> Cube:
        path = self.files[number]
        return Cube(path, field_of(path, self._config), self._config.columns)

    def _open(self, number: int) -> tuple[Cube, np.ndarray, np.ndarray]:
        """Return an open cube, its ids, and its scalars; those used last are kept."""
        if (found := self._opened.pop(number, None)) is None:
            cube = self._cube(number)
            found = cube, cube.ids(), cube.scalars(self.read.columns)
        self._opened[number] = found
        if len(self._opened) > _OPEN:
            del self._opened[next(iter(self._opened))]
        return found

    def __getstate__(self) -> dict[str, Any]:
        """Return the attributes without open files."""
        return {**vars(self), "_opened": {}}

    @cached_property
    def _ends(self) -> np.ndarray:
        """Rows that are given of all cubes up to each, int64 (files,)."""
        return np.cumsum([rows.mask().sum() for rows in self.rows])

    @property
    def units(self) -> dict[str, str | None]:
        """Units of scalar columns and of what an item holds; see `Measurements.units`."""
        return self.read.units()

    @property
    def axes(self) -> dict[str, torch.Tensor]:
        """Wavelengths of each group of spectra, float64 (L,); see `Measurements.axis`."""
        return {name: torch.from_numpy(axis) for name, axis in self.read.axes().items()}

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, index: int) -> Item:
        """Return a row.

        Returns
        -------
        dict
            ``id``, ``field``, and ``row`` in the cube; ``scalars``, float64 (columns,), NaN where
            missing; and the arrays of `Measurements.read`, as tensors.
        """
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Item]:
        """Return several rows; a row group is read once for all of its rows."""
        numbers = np.array([range(len(self))[index] for index in indices], dtype=np.int64)
        files = np.searchsorted(self._ends, numbers, side="right")
        found: dict[int, Item] = {}
        for file in np.unique(files).tolist():
            mine, rows = np.unique(numbers[files == file]), self.rows[file].within()
            first = int(self._ends[file]) - len(rows)
            items = self.items(file, rows[mine - first])
            found |= dict(zip(mine.tolist(), items, strict=True))
        return [dict(found[number]) for number in numbers.tolist()]

    def items(self, file: int, rows: np.ndarray) -> Iterator[Item]:
        """Yield rows of a cube by the cube's number and theirs, int64 (m,), ascending."""
        if not len(rows):
            return
        cube, ids, scalars = self._open(file)
        for row, arrays in zip(rows.tolist(), self.read.read(cube, rows), strict=True):
            if self.read.columns:
                arrays = {"scalars": scalars[row].copy(), **arrays}
            tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
            yield {"id": str(ids[row]), "field": cube.field, "row": row, **tensors}


@dataclass(frozen=True)
class Share:
    """The row groups of a share.

    Attributes
    ----------
    number : int
        Number of the share.
    groups : list of (int, range)
        Numbers of the cubes, and rows.
    sizes : int64 (groups,)
        Numbers of rows that are given.
    """

    number: int
    groups: list[tuple[int, range]]
    sizes: np.ndarray

    def __len__(self) -> int:
        return int(self.sizes.sum())


class CubeStream(Stream[Share]):
    """The rows of one or several cubes, in random order and divided among processes.

    Row groups are read one after another, from start to end, and several at a time, whose rows are
    mixed. Shares consist of whole row groups, and have nearly as many rows each where there are
    many; a process without any row group has nothing to read.

    Parameters
    ----------
    files, config, split, columns, selected
        As for `CubeDataset`.
    seed, shuffle, remainder, rank, world_size
        As for `Stream`.
    mix : int
        Row groups that are read at a time. 64 rows of each are in memory: 35 MB with cutouts of
        the survey.

    Raises
    ------
    ConfigError
        If `mix` is below 1.
    """

    def __init__(
        self,
        files: Paths,
        config: Config,
        split: str | None = None,
        columns: str | Sequence[str] | None = None,
        selected: bool = False,
        *,
        seed: int = 0,
        shuffle: bool = True,
        mix: int = 4,
        remainder: Remainder = "keep",
        rank: int | None = None,
        world_size: int | None = None,
    ) -> None:
        super().__init__(seed, shuffle, remainder, rank, world_size)
        if mix < 1:
            raise ConfigError(must_be("mix", "at least 1", mix))
        self.dataset = CubeDataset(files, config, split, columns, selected)
        self.mix = mix if shuffle else 1

    @property
    def n_objects(self) -> int:
        """Number of rows per epoch, over all ranks."""
        return len(self.dataset)

    @cached_property
    def _groups(self) -> list[tuple[int, range, int]]:
        """Number of the cube, rows, and number of rows that are given, of each row group."""
        found = []
        for file, rows in enumerate(self.dataset.rows):
            ends = np.concatenate([[0], rows.mask().cumsum()])
            counts = ((group, int(ends[group.stop] - ends[group.start])) for group in rows.groups)
            found += [(file, group, count) for group, count in counts if count]
        return found

    def _divide(self, epoch: int, shares: int) -> list[Share]:
        sizes = np.array([count for *_, count in self._groups], dtype=np.int64)
        order = permuted(len(sizes), self.shuffle, (self.seed, epoch))
        place = np.argsort(order)
        parts = [part[np.argsort(place[part])] for part in divide(order, sizes, shares)]
        return [
            Share(number, [self._groups[i][:2] for i in part.tolist()], sizes[part])
            for number, part in enumerate(parts)
        ]

    def _read(self, share: Share, epoch: int, start: int) -> Iterator[Item]:
        """Yield windows in turn: the next 64 rows of each open row group, in random order."""
        lanes = [slice(lane, None, self.mix) for lane in range(self.mix)]
        left = np.array([share.sizes[lane].sum() for lane in lanes])  # rows of each lane
        window, done = 0, np.zeros_like(left)
        while len(share) and start >= (size := np.minimum(left - done, ROWS)).sum() > 0:
            window, start, done = window + 1, start - int(size.sum()), done + size
        pairs = zip(lanes, done.tolist(), strict=True)
        readers = [self._lane(share.groups[lane], skipped) for lane, skipped in pairs]
        while items := [item for reader in readers for item in islice(reader, ROWS)]:
            key = (self.seed, epoch, share.number, window)
            order = permuted(len(items), self.shuffle, key)
            yield from (items[i] for i in order[start:].tolist())
            window, start = window + 1, 0

    def _lane(self, groups: Sequence[tuple[int, range]], skipped: int) -> Iterator[Item]:
        """Yield the rows of row groups, one group after another, without the first ones."""
        for file, group in groups:
            rows = self.dataset.rows[file].within(group)
            yield from self.dataset.items(file, rows[skipped:])
            skipped = max(0, skipped - len(rows))


def collate_cubes(items: Sequence[Item]) -> Item:
    """Return a batch of rows of cubes.

    Parameters
    ----------
    items : sequence of dict
        Rows of `CubeDataset` or `CubeStream`.

    Returns
    -------
    dict
        What an item holds, with the batch as first axis; light curves end with NaN where others
        are longer. ``id`` and ``field`` are lists.
    """
    ragged = [name for name in items[0] if name.endswith(tuple(f"_{part}" for part in CURVE))]
    plain = [{name: item[name] for name in item if name not in ragged} for item in items]
    curves = ((name, [item[name] for item in items]) for name in ragged)
    padded = {name: pad_sequence(parts, True, torch.nan) for name, parts in curves}
    return {**default_collate(plain), **padded}
