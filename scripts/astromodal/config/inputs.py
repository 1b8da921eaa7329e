"""Settings of what goes in: paths, names of columns, and the simulated sky."""

from __future__ import annotations

import os
import re
from pathlib import PurePosixPath
from typing import Annotated, Final, Literal, get_args

from pydantic import AfterValidator, Field, model_validator

from astromodal.config.base import (
    ColumnName,
    FieldName,
    Fraction,
    Once,
    Positive,
    Settings,
    SomeColumns,
    by_name,
)

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


FIELD: Final = "{field}"
"""Stands for a field's name in ``paths.datacube_template``."""
LAST: Final = "last"
"""Stands in ``training.init_from`` for the run's own last model."""
_VARIABLE = re.compile(r"\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)\}|)", re.ASCII)
_REPLACED = re.compile(r"[{}]|<[a-z][a-z0-9_]*>")
"""What Snakemake replaces in a path: wildcards, and path variables of its own."""


def expanded(path: str) -> str:
    """Replace ``~``, ``~user``, ``$VAR`` and ``${VAR}`` in a path, as a shell does.

    A path that is expanded already stays the same: jobs are given those, and validate them again.

    Raises
    ------
    ValueError
        Where a variable is not set or empty, there is no such user, or the path holds a character
        that cannot be printed, or a part that Snakemake would replace.
    """
    home = os.path.expanduser(path)
    if home.startswith("~"):
        raise _wrong("begin with the home folder of a user", path, "write ./~ for a folder's name")
    found = _VARIABLE.sub(lambda match: _value(match[1] or match[2], path), home)
    if not found.isprintable():
        raise _wrong("hold printable characters only", found)
    if found.startswith("~") or "$" in found:
        raise _wrong("hold no ~ or $ once variables are replaced", found)
    if replaced := _REPLACED.search(found.replace(FIELD, "")):
        what = f"hold no {replaced[0]}, which Snakemake would replace"
        raise _wrong(what, found, "rename the folder")
    return found


def folder(path: str) -> str:
    """Expand a path that is no pattern; ``./x//y/`` becomes x/y, which is Snakemake's form."""
    return _plain(_of_one(expanded(path)))


def template(path: str) -> str:
    """Expand a path that holds ``{field}`` once."""
    found = expanded(path)
    if found.count(FIELD) != 1:
        raise _wrong(f"hold {FIELD} exactly once", found)
    return _plain(found)


def model_file(path: str) -> str:
    """Expand the path of one model; `LAST` stays."""
    return path if path == LAST else _of_one(expanded(path))


def script(path: str) -> str:
    """Expand the path of a Python file."""
    return _plain(_of_one(expanded(path)))


FolderPath = Annotated[str, Field(min_length=1), AfterValidator(folder)]
TemplatePath = Annotated[str, Field(min_length=1), AfterValidator(template)]
ModelPath = Annotated[str, Field(min_length=1), AfterValidator(model_file)]
ScriptPath = Annotated[str, Field(min_length=1), AfterValidator(script)]


def _plain(path: str) -> str:
    """A path without ``.`` and empty parts; one that begins with ``~`` keeps what quotes that."""
    found = str(PurePosixPath(path))
    return f"./{found}" if found.startswith("~") else found


def _value(name: str | None, path: str) -> str:
    """What a variable stands for."""
    if name is None:
        raise _wrong("hold the name of a variable after $", path)
    value = os.environ.get(name)
    if not value:
        must = f"hold variables that are set, and {name} is not"
        raise _wrong(must, path, f"export {name}, or write what it stands for")
    return value


def _of_one(path: str) -> str:
    if FIELD in path:
        raise _wrong(f"hold no {FIELD}", path, "name one for all fields")
    return path


def _wrong(must: str, got: str, do: str | None = None) -> ValueError:
    """The error in the grammar of `must_be`; what reports it puts the setting's name before it."""
    return ValueError(f"must {must}, got {got!r}" + (f"; {do}" if do else ""))


Band = Literal["U", "F378", "F395", "F410", "F430", "G", "F515", "R", "F660", "I", "F861", "Z"]
BANDS: Final[tuple[Band, ...]] = get_args(Band)
"""The bands of S-PLUS, which simulated cutouts have."""
Survey = Literal["images", "gaia", "gaiaxp", "desi", "vista", "specz", "ztf"]


class SimulatedField(Settings):
    """One simulated field; what is null is taken from the sky's own settings."""

    n_sources: Positive | None = Field(None, description="Number of rows of this field.")
    ra: Annotated[float, Field(ge=-360, le=360)] | None = Field(
        None, description="Right ascension of the centre (degree)."
    )
    dec: Annotated[float, Field(ge=-90, le=90)] | None = Field(
        None, description="Declination of the centre (degree)."
    )
    seeing: Annotated[float, Field(ge=0.8, le=10)] | None = Field(
        None, description="PSF FWHM in the r band (arcsec), that pixels of 0.55 arcsec sample."
    )
    absent: Annotated[tuple[Survey, ...], *Once] = Field(
        (), description="Surveys that matched nothing here: the cube has no such columns."
    )
    absent_bands: Annotated[tuple[Band, ...], *Once] = Field(
        (), description="Bands whose cutouts are all null."
    )


class SimulateSettings(Settings):
    """The simulated sky, used where paths.datacube_template is null."""

    seed: int = Field(20260101, description="Seed of the sky: same seed, same bytes.")
    n_sources: Positive = Field(400, description="Rows a field.")
    cutout_fraction: Fraction = Field(
        0.69, description="Fraction of sources with image cutouts (drawn among Gaia matches)."
    )
    xp_fraction: Fraction = Field(0.05, description="Fraction of sources with Gaia XP spectra.")
    desi_fraction: Fraction = Field(0.08, description="Fraction of sources with DESI spectra.")
    specz_fraction: Fraction = Field(0.08, description="Fraction with a spectroscopic redshift.")
    light_curve_fraction: Fraction = Field(
        0.0,
        description="Fraction of sources with ZTF light curves, whatever their declination; "
        "0: the cubes have no such columns.",
    )
    fields: Annotated[dict[FieldName, SimulatedField], AfterValidator(by_name)] = Field(
        {f"SIM-{i:04d}": SimulatedField() for i in range(1, 5)},
        description="The simulated fields, by name.",
    )
