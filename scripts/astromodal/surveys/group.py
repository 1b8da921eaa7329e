"""What a spectrum group is: everything that the rest of the package needs to know about it.

A group is one kind of spectrum (an arm of a spectrograph) or one band of light curves. It becomes
one block of a sequence. Groups of spectra are in `astromodal.surveys.spectra`, groups of light
curves in `astromodal.surveys.light_curves`; `astromodal.surveys.registry` holds all of them.

Nothing here imports settings or datacubes: the configuration checks the names of groups against
the registry, and readers get slices of a cube as `CubeSlice`.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import DTypeLike

from astromodal.errors import ConfigError, must_be

_BLOCKS = ("image", "scalar", "spectrum")
"""Names that blocks of a sequence have already."""
GroupKind = Literal["spectrum", "coefficients", "light_curve"]
"""Kinds of groups. Each kind has its own tokenizer."""


class GroupSettings(Protocol):
    """The settings of the spectrum tokenizers that decide on the blocks of the groups."""

    @property
    def max_spec_tokens_per_group(self) -> int:
        """Most bins of a spectrum."""
        ...

    @property
    def xp_samples(self) -> int:
        """Samples of a Gaia XP spectrum."""
        ...

    @property
    def max_epochs(self) -> int:
        """Most epochs of a light curve in a sequence."""
        ...


class CubeSlice(Protocol):
    """Consecutive rows of a datacube, with the columns of one group."""

    def rows(self) -> np.ndarray:
        """Return the row numbers in the cube, int32 (m,)."""
        ...

    def lists(self, name: str, dtype: DTypeLike = np.float32) -> tuple[np.ndarray, np.ndarray]:
        """Return all values of a column of lists, `dtype` (n,), and the lengths, int64 (m,).

        A null list has length 0. A null value is NaN.
        """
        ...

    def objects(self, name: str) -> list[Any]:
        """Return the values of a column as Python objects: text as bytes, null as None."""
        ...

    def sentinel(self, name: str, values: np.ndarray) -> np.ndarray:
        """Return which values of a column stand for missing ones, bool like `values`."""
        ...

    def error(self, column: str, must: str, got: object) -> Exception:
        """Return the error which says what a column must be and what it holds instead."""
        ...


class Batch(Protocol):
    """Spectra or light curves of some rows of a cube."""

    @property
    def row(self) -> np.ndarray:
        """Rows in the cube, int32 (m,), ascending."""
        ...

    def live(self) -> np.ndarray:
        """Return which objects have a good pixel or epoch, bool (m,)."""
        ...


@dataclass(frozen=True)
class GroupColumn:
    """A column of a datacube that a group is read from.

    Attributes
    ----------
    name : str
        Name of the column.
    meaning : str
        What it holds, in words.
    unit : str
        Unit, as `astropy.units.Unit` reads it; empty without a unit.
    kind : str
        ``list`` for lists of numbers; ``list or text`` where texts ``[a,b,…]`` are read too.
    dtype : str
        Type that cubes have; other types of the same kind are read too.
    length : int, optional
        Number of values of a list; None for any length.
    """

    name: str
    meaning: str
    unit: str = ""
    kind: Literal["list", "list or text"] = "list"
    dtype: str = "list<float32>"
    length: int | None = None


@dataclass(frozen=True)
class Quantity:
    """A physical quantity of a group, for files and for the axes of figures.

    Attributes
    ----------
    name : str
        Name in figures, for example ``wavelength``.
    unit : str
        Unit, as `astropy.units.Unit` reads it; empty without a unit.
    printed : str
        Unit as figures print it; empty without a unit.
    """

    name: str
    unit: str = ""
    printed: str = ""

    @property
    def label(self) -> str:
        """Label of an axis: ``wavelength (Å)``, or the bare name without a unit."""
        return f"{self.name} ({self.printed})" if self.printed else self.name


@dataclass(frozen=True)
class Family:
    """Groups of one survey, which the report shows together.

    Attributes
    ----------
    name : str
        Short name; it becomes part of the names of figures.
    label : str
        Title in the report.
    span : tuple of float, optional
        First and last wavelength of the panel that the spectra of one object share; None where
        every group has a panel of its own.
    """

    name: str
    label: str
    span: tuple[float, float] | None = None


@dataclass(frozen=True, kw_only=True)
class SpectrumGroup(ABC):
    """One group of spectra or of light curves.

    Attributes
    ----------
    name : str
        Name of the group: in the settings, in the vocabulary, and in names of files.
    family : Family
        The survey's groups that the report shows together.
    columns : tuple of GroupColumn
        Columns of a datacube that the group is read from, in the order of ``docs/columns.md``.
    values : Quantity
        What is measured: a flux or a magnitude.
    axis : Quantity
        What it is measured along: a wavelength or a time.
    colour : str
        Colour in figures, ``#rrggbb``.
    """

    name: str
    family: Family
    columns: tuple[GroupColumn, ...]
    values: Quantity
    axis: Quantity
    colour: str

    kind: ClassVar[GroupKind]
    """Kind of the group, by which its tokenizer is chosen."""
    ragged: ClassVar[bool]
    """Whether the number of measurements differs from object to object."""
    partial: ClassVar[bool]
    """Whether a cube may lack some of the columns; it has nothing of the group then."""
    sentinels: ClassVar[bool]
    """Whether the reader uses `CubeSlice.sentinel`."""
    n_columns: ClassVar[int | None] = None
    """Number of columns that the reader expects; None for any."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_]+", self.name) or self.name in _BLOCKS:
            must = f"of letters, digits and _, and none of {', '.join(_BLOCKS)}"
            raise ConfigError(must_be("name of a spectrum group", must, repr(self.name)))
        if self.n_columns not in (None, len(self.columns)):
            what, got = f"columns of the spectrum group {self.name}", str(len(self.columns))
            raise ConfigError(must_be(what, f"{self.n_columns}", got))

    @abstractmethod
    def n_slots(self, settings: GroupSettings) -> int:
        """Return the number of slots in the block of a sequence, without the scale's slot."""

    @abstractmethod
    def read(self, piece: CubeSlice) -> Batch:
        """Return what some rows of a cube have of this group; rows without any are left out.

        Raises
        ------
        DataError
            Where a column does not hold what the group needs.
        """

    @property
    def column_names(self) -> list[str]:
        """Names of the columns that the group is read from."""
        return [column.name for column in self.columns]

    @property
    def coded_columns(self) -> list[str]:
        """Names of the columns that codes are made from, and that `read` needs: all of them."""
        return self.column_names

    def lacking(self, columns: Collection[str]) -> list[str]:
        """Return the group's columns that a cube lacks although it has others of the group."""
        missing = [name for name in self.column_names if name not in columns]
        return missing if len(missing) < len(self.columns) else []
