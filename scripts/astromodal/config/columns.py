"""Settings of a cube's columns: what they are called, and which values in them are none."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from astromodal.config.base import ColumnName, Once, Settings, SomeColumns

Preset = Literal["splus", "vista"]
SENTINELS: Final[dict[Preset, dict[str, tuple[float, ...]]]] = {
    "splus": {"mag_*": (99.0, -99.0), "err_mag_*": (99.0, -99.0)},
    "vista": {"vista_*": (-999999500.0,)},
}
"""By survey and pattern of column names, the numbers that stand for a missing value.

S-PLUS: 99 where a source was not detected or not measured (Data Release 4, Herpich et al. 2024).
VISTA Science Archive: the default value of real numbers, -0.9999995e9 (its glossary of attributes).
"""


class FlagSettings(Settings):
    """What one column of flags says of other columns; one of its two lists must be given."""

    columns: SomeColumns = Field(description="Columns whose values the flag is about.")
    unreliable: Annotated[tuple[str, ...], *Once] = Field(
        (), description="Flags, without what stands in brackets, whose values count as missing."
    )
    reliable: Annotated[tuple[str, ...], *Once] = Field(
        (), description="The only flags whose values count; without a flag, a value is missing."
    )

    @model_validator(mode="after")
    def _one_list(self) -> FlagSettings:
        if bool(self.unreliable) == bool(self.reliable):
            raise ValueError("must have either unreliable or reliable flags")
        return self


class ColumnSettings(Settings):
    """Columns that identify and place a source, and values that are no measurements."""

    id: ColumnName = Field(
        "id", description="Identifier of a source, binary or text, unique in a field."
    )
    ra: ColumnName = Field("ra", description="Right ascension (ICRS, degree).")
    dec: ColumnName = Field("dec", description="Declination (ICRS, degree).")
    presets: Annotated[tuple[Preset, ...], *Once] = Field(
        tuple(SENTINELS),
        description="Surveys whose sentinels count as missing values: splus (99 and -99 in mag_* "
        "and err_mag_*), vista (-0.9999995e9 in vista_*).",
    )
    sentinels: dict[ColumnName, tuple[float, ...]] = Field(
        {},
        description="More sentinels, by a column's name or a pattern of it: {'flux_*': [-999]}.",
    )
    flags: dict[ColumnName, FlagSettings] = Field(
        {
            "specz_f_z": FlagSettings(
                columns=("specz_z", "specz_e_z", "specz_class_spec"), unreliable=("REMOVE",)
            )
        },
        description="By name, columns of flags that say which values of other columns are not "
        "reliable, and so missing: to tokenizers, training and evaluation.",
    )
