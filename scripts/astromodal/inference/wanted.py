"""Columns that a model reads: what each must hold, and in which unit."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np

from astromodal.config.schema import ColumnSettings
from astromodal.core.grids import DESI_GRIDS, is_light_curve
from astromodal.data.cutouts import cutout_column
from astromodal.data.light_curves import light_curve_columns
from astromodal.data.spectra import group_columns
from astromodal.inference.units import PIXELS, group_units, in_unit, scalar_unit

if TYPE_CHECKING:
    from astromodal.training.targets import Tokenizers


class Kind(Enum):
    """What a column holds, in the words of errors."""

    ID = "a column of text, bytes or whole numbers"
    NUMBER = "a column of numbers"
    LIST = "a column of lists or arrays of numbers"
    TEXT = "a column of text"


class UnfitError(Exception):
    """A column is not what it must be; whoever catches it names the frame that it is from."""

    def __init__(self, must: str, got: str, do: str | None = None) -> None:
        super().__init__(must, got, do)
        self.must, self.got, self.do = must, got, do


@dataclass(frozen=True)
class Wanted:
    """A column that a model reads.

    Attributes
    ----------
    name : str
        The column's name.
    kind : Kind
        What it holds.
    unit : str, optional
        The unit that its numbers must have; empty for none, None where it is not known.
    group : str
        The columns of one group make a value together.
    """

    name: str
    kind: Kind
    unit: str | None
    group: str

    def converted(self, values: np.ndarray, unit: Any) -> np.ndarray:
        """Values in the unit that they must have, given the one that they have.

        Raises
        ------
        UnfitError
            Where the one cannot be converted to the other.
        """
        if unit is None or self.unit is None:
            return values
        try:
            return in_unit(values, unit, self.name, self.unit)
        except (ValueError, TypeError) as error:
            must = f"in {self.unit}" if self.unit else "without a unit"
            reason = str(error).partition(" If this is")[0]
            do = "convert it, or give plain numbers in that unit"
            raise UnfitError(must, f"{str(unit) or 'no unit'} ({reason})", do) from error


def columns_read(tokenizers: Tokenizers, columns: ColumnSettings) -> dict[str, Wanted]:
    """The columns that encoding reads, by name; all but the id may be absent.

    Parameters
    ----------
    tokenizers : Tokenizers
        Name the columns of scalars, the groups of spectra and the bands of cutouts.
    columns : ColumnSettings
        Names the columns that identify and place a source.
    """
    found = [Wanted(columns.id, Kind.ID, None, "")]
    found += [Wanted(name, Kind.NUMBER, "deg", "") for name in (columns.ra, columns.dec)]
    for name in tokenizers.scalar.columns:
        found.append(Wanted(name, Kind.NUMBER, scalar_unit(name), ""))
    for group in tokenizers.spectrum.groups:
        if is_light_curve(group) or group in DESI_GRIDS:
            names = light_curve_columns(group) if is_light_curve(group) else group_columns(group)
            parts = zip(names, group_units(group), strict=True)
            found += [Wanted(name, Kind.LIST, unit, group) for name, unit in parts]
        else:
            found += [Wanted(name, Kind.TEXT, None, group) for name in group_columns(group)]
    for name in map(cutout_column, tokenizers.image.bands):
        found.append(Wanted(name, Kind.LIST, PIXELS, name))
    return {each.name: each for each in reversed(found)}  # of a name that stands twice, the first
