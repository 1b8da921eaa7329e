"""Columns that a model reads: what each must hold, and in which unit."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np

from astromodal.config.columns import ColumnSettings
from astromodal.config.schema import (
    Config,
    ImageSettings,
    ScalarSettings,
    SelectionSettings,
    SpectrumSettings,
    TokenizerSettings,
)
from astromodal.core.units import in_unit
from astromodal.data.columns import cube_columns, group_columns

if TYPE_CHECKING:
    from astromodal.training.targets import Tokenizers


class Kind(Enum):
    """What a column holds, in the words of errors."""

    ID = "a column of text, bytes or whole numbers"
    NUMBER = "a column of numbers"
    LIST = "a column of lists or arrays of numbers"
    TEXT = "a column of text, or of lists or arrays of numbers"
    FLAG = "a column of flags, text or numbers"


_KINDS = {
    "id": Kind.ID,
    "number": Kind.NUMBER,
    "list": Kind.LIST,
    "list or text": Kind.TEXT,
    "flag": Kind.FLAG,
}
"""Kinds of a frame's columns by those of a cube's (`astromodal.data.columns`)."""


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
        Names the columns that identify and place a source, and those of flags.
    """
    groups = tokenizers.spectrum.groups
    settings = TokenizerSettings(
        scalar=ScalarSettings(columns=tokenizers.scalar.columns),
        spectrum=SpectrumSettings(groups=tuple(groups)),
        image=ImageSettings(bands=tokenizers.image.bands, size=tokenizers.image.autoencoder.size),
    )
    everything = SelectionSettings(column=None)
    config = Config(columns=columns, selection=everything, tokenizers=settings)
    together = {name: group for group in groups for name in group_columns(group)}
    return {
        column.name: Wanted(
            column.name, _KINDS[column.kind], column.unit, together.get(column.name, column.name)
        )
        for modality, own in cube_columns(config).items()
        for column in own
        if modality != "labels" and column.setting  # others say nothing of codes
    }
