"""Settings of the input: paths, names of columns, and the simulated sky."""

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
"""Numbers that stand for a missing value, by survey and pattern of column names.

S-PLUS: 99 where a source was not detected or not measured (Data Release 4, Herpich et al. 2024).
VISTA Science Archive: the default value of real numbers, -0.9999995e9 (its glossary of attributes).
"""


class FlagSettings(Settings):
    """Meaning of one column of flags; either `unreliable` or `reliable` must be given."""

    columns: SomeColumns = Field(description="Columns whose values the flags describe.")
    unreliable: Annotated[tuple[str, ...], *Once] = Field(
        (), description="Flags whose values are missing; text in brackets is ignored."
    )
    reliable: Annotated[tuple[str, ...], *Once] = Field(
        (), description="Flags whose values are used; values with another flag or none are missing."
    )

    @model_validator(mode="after")
    def _one_list(self) -> FlagSettings:
        if bool(self.unreliable) == bool(self.reliable):
            raise ValueError("must have either unreliable or reliable flags")
        return self


class ColumnSettings(Settings):
    """Columns of identifiers and positions, and rules for values that are missing."""

    id: ColumnName = Field(
        "id", description="Identifier of a source, binary or text, unique in a field."
    )
    ra: ColumnName = Field("ra", description="Right ascension (ICRS, degree).")
    dec: ColumnName = Field("dec", description="Declination (ICRS, degree).")
    presets: Annotated[tuple[Preset, ...], *Once] = Field(
        tuple(SENTINELS),
        description="Surveys whose sentinels are missing values: splus (99 and -99 in mag_* and "
        "err_mag_*), vista (-0.9999995e9 in vista_*).",
    )
    sentinels: dict[ColumnName, tuple[float, ...]] = Field(
        {},
        description="Further sentinels, by column or pattern of columns: {'flux_*': [-999]}.",
    )
    flags: dict[ColumnName, FlagSettings] = Field(
        {
            "specz_f_z": FlagSettings(
                columns=("specz_z", "specz_e_z", "specz_class_spec"), unreliable=("REMOVE",)
            )
        },
        description="By name, columns of flags that mark values of other columns as not reliable; "
        "tokenizers, training and evaluation treat these values as missing.",
    )


FIELD: Final = "{field}"
"""Placeholder of a field's name in ``paths.datacube_template``."""
LAST: Final = "last"
"""Value of ``training.init_from`` for the run's own last model."""
_VARIABLE = re.compile(r"\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)\}|)", re.ASCII)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://")
_REPLACED = re.compile(r"[{}]|<[a-z][a-z0-9_]*>")
"""Parts of a path that Snakemake would replace: wildcards and its path variables."""
_IMAGE = re.compile(r"[A-Za-z0-9_./:@+-]+")
"""Names of container images, which Snakemake puts into a command of a shell."""


def expanded(path: str) -> str:
    """Replace ``~``, ``~user``, ``$VAR`` and ``${VAR}`` in a path, as a shell does.

    An expanded path stays the same: jobs are given expanded paths and validate them again.

    Raises
    ------
    ValueError
        If a variable is not set or empty, there is no such user, or the path holds a character that
        cannot be printed or a part that Snakemake would replace.
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
    """Expand a path that is no template; ``./x//y/`` becomes x/y, as Snakemake writes it."""
    return _plain(_of_one(expanded(path)))


def template(path: str) -> str:
    """Expand a path or an address that holds ``{field}`` once."""
    found = expanded(path)
    if found.count(FIELD) != 1:
        raise _wrong(f"hold {FIELD} exactly once", found)
    return found if is_address(found) else _plain(found)


def is_address(path: str) -> bool:
    """Return whether a path is one of an object store, such as ``s3://bucket/cube.parquet``."""
    return _SCHEME.match(path) is not None


def model_file(path: str) -> str:
    """Expand the path of a model; `LAST` is returned unchanged."""
    return path if path == LAST else _of_one(expanded(path))


def script(path: str) -> str:
    """Expand the path of a Python file."""
    return _plain(_of_one(expanded(path)))


def image(name: str) -> str:
    """Expand the path of a container image; an address such as ``docker://…`` is unchanged.

    Raises
    ------
    ValueError
        If the path is none, or the name holds a character that means something to a shell.
    """
    found = name if "://" in name else script(name)
    if not _IMAGE.fullmatch(found):
        raise _wrong("hold letters, digits and _ . / : @ + - only", found, "rename the image")
    return found


FolderPath = Annotated[str, Field(min_length=1), AfterValidator(folder)]
TemplatePath = Annotated[str, Field(min_length=1), AfterValidator(template)]
ModelPath = Annotated[str, Field(min_length=1), AfterValidator(model_file)]
ScriptPath = Annotated[str, Field(min_length=1), AfterValidator(script)]
ImageName = Annotated[str, Field(min_length=1), AfterValidator(image)]


def _plain(path: str) -> str:
    """A path without ``.`` and empty parts; ``./~`` keeps its dot, which quotes the tilde."""
    found = str(PurePosixPath(path))
    return f"./{found}" if found.startswith("~") else found


def _value(name: str | None, path: str) -> str:
    """Return the value of an environment variable."""
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
    """Return the error in the grammar of `must_be`; the setting's name is put before it later."""
    return ValueError(f"must {must}, got {got!r}" + (f"; {do}" if do else ""))


Band = Literal["U", "F378", "F395", "F410", "F430", "G", "F515", "R", "F660", "I", "F861", "Z"]
BANDS: Final[tuple[Band, ...]] = get_args(Band)
"""Bands of S-PLUS, which simulated cutouts have."""
Survey = Literal["images", "gaia", "gaiaxp", "desi", "vista", "specz", "ztf"]


class SimulatedField(Settings):
    """One simulated field; settings that are null are those of the simulated sky."""

    n_sources: Positive | None = Field(None, description="Number of rows of this field.")
    ra: Annotated[float, Field(ge=-360, le=360)] | None = Field(
        None, description="Right ascension of the centre (degree)."
    )
    dec: Annotated[float, Field(ge=-90, le=90)] | None = Field(
        None, description="Declination of the centre (degree)."
    )
    seeing: Annotated[float, Field(ge=0.8, le=10)] | None = Field(
        None, description="FWHM of the point spread function in r (arcsec)."
    )
    absent: Annotated[tuple[Survey, ...], *Once] = Field(
        (), description="Surveys without data in this field: the cube lacks their columns."
    )
    absent_bands: Annotated[tuple[Band, ...], *Once] = Field(
        (), description="Bands whose cutouts are all null."
    )


class SimulateSettings(Settings):
    """The simulated sky, used where paths.datacube_template is null."""

    seed: int = Field(20260101, description="Seed of the sky; the same seed gives the same bytes.")
    n_sources: Positive = Field(400, description="Rows per field.")
    cutout_fraction: Fraction = Field(
        0.69, description="Fraction of sources with image cutouts; all of these have a Gaia match."
    )
    xp_fraction: Fraction = Field(0.05, description="Fraction of sources with Gaia XP spectra.")
    desi_fraction: Fraction = Field(0.08, description="Fraction of sources with DESI spectra.")
    specz_fraction: Fraction = Field(0.08, description="Fraction of sources with a redshift.")
    light_curve_fraction: Fraction = Field(
        0.0,
        description="Fraction of sources with ZTF light curves, at any declination; with 0 the "
        "cubes lack their columns.",
    )
    fields: Annotated[dict[FieldName, SimulatedField], AfterValidator(by_name)] = Field(
        {f"SIM-{i:04d}": SimulatedField() for i in range(1, 5)},
        description="The simulated fields, by name.",
    )
