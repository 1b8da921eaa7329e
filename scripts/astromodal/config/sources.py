"""Settings of raw survey files, from which cubes are built."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from astromodal.config.base import ColumnName, Once, Settings
from astromodal.config.inputs import BANDS, Band, expanded

_STAND_INS: Final = {"{field}": "%field%", "{band}": "%band%"}
"""Parts of a file's path that stand for a field and a band, and text without braces for them."""
_ARCSEC: Final = {"mas": 1e-3, "arcsec": 1.0, "arcmin": 60.0, "deg": 3600.0}
_ANGLE: Final = re.compile(r"\s*([0-9.eE+-]+)\s*([a-z]+)\s*")


def in_arcsec(value: object) -> object:
    """Return an angle such as ``1.2 arcsec`` as a number of arcsec; a number is one already.

    Raises
    ------
    ValueError
        If text is no number with a unit of mas, arcsec, arcmin or deg.
    """
    if not isinstance(value, str):
        return value
    match = _ANGLE.fullmatch(value)
    try:
        if match is not None:
            return float(match[1]) * _ARCSEC[match[2]]
    except (KeyError, ValueError):
        pass
    raise ValueError(f"must be a number with a unit ({', '.join(_ARCSEC)}), got {value!r}")


def raw_files(path: str) -> str:
    """Expand ``~`` and ``$VAR`` in a pattern of files; ``{field}`` and ``{band}`` stay.

    Raises
    ------
    ValueError
        If a placeholder stands in it twice, or the path is invalid.
    """
    bare = path
    for placeholder, stand_in in _STAND_INS.items():
        if path.count(placeholder) > 1:
            raise ValueError(f"must hold {placeholder} once, got {path!r}")
        bare = bare.replace(placeholder, stand_in)
    found = expanded(bare)
    for placeholder, stand_in in _STAND_INS.items():
        found = found.replace(stand_in, placeholder)
    return found


_Radius = Annotated[float, Field(gt=0, le=300)]
_Angle = Annotated[str, Field(pattern=f"^{_ANGLE.pattern}$")]
Arcsec = Annotated[_Radius, BeforeValidator(in_arcsec, json_schema_input_type=_Radius | _Angle)]
RawFiles = Annotated[str, Field(min_length=1), AfterValidator(raw_files)]
SourceName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]


class MatchSettings(Settings):
    """Cross-match of a source with the rows of the cube."""

    radius: Arcsec = Field(1.0, description="Largest separation, such as 1.2 arcsec.")
    epoch: Annotated[float, Field(ge=1900, le=2100)] | None = Field(
        None,
        description="Epoch of the cube's positions (Julian year), to which proper motions move the "
        "source's; null leaves positions as they are.",
    )
    one_to_one: bool = Field(
        True,
        description="Whether an object belongs to the nearest of the rows that it matches; if "
        "not, it belongs to every row whose nearest object it is.",
    )


class SourceSettings(Settings):
    """One source of raw files: a catalogue, images, spectra or light curves."""

    kind: Literal["catalogue", "images", "gaia_xp", "desi_coadd", "sdss_spec", "light_curves"] = (
        Field(description="What the files hold.")
    )
    files: RawFiles = Field(
        description="Path of the files, with * and ? as in a shell, or a HATS catalogue. {field} "
        "stands for a field's name; images also have {band}."
    )
    preset: str | None = Field(
        None,
        description="Names of a catalogue's columns: a preset of astromodal (splus_idr3, "
        "splus_dr4, jplus, gaia_dr3, vista, specz_compilation, ztf) or the path of a YAML file.",
    )
    match: MatchSettings = Field(MatchSettings(), description="Cross-match by position.")
    join: ColumnName | None = Field(
        None,
        description="Column of the cube whose ids are those of the source, which is then joined by "
        "them and not by position; null is gaia_designation for gaia_xp.",
    )
    size: Annotated[int, Field(ge=8, le=1024)] | None = Field(
        None, description="Side of a cutout (pixel); null is tokenizers.image.size."
    )
    matched: SourceName | None = Field(
        None,
        description="Source that a row must have matched to get cutouts; null cuts for every row.",
    )
    limit: float | None = Field(
        None, description="Faintest magnitude of selection.column that gets cutouts; null: any."
    )
    bands: Annotated[tuple[Band, ...], *Once] = Field(
        BANDS, description="Bands of images; a missing file leaves its band null."
    )

    @model_validator(mode="after")
    def _of_kind(self) -> SourceSettings:
        catalogue = self.kind in ("catalogue", "light_curves")
        if catalogue != (self.preset is not None):
            must = "given for" if catalogue else "left out for"
            raise ValueError(f"preset must be {must} kind {self.kind}, got {self.preset!r}")
        if (self.kind == "images") != ("{band}" in self.files):
            must = "hold {band}" if self.kind == "images" else "hold no {band}"
            raise ValueError(f"files must {must} for kind {self.kind}, got {self.files!r}")
        return self

    @property
    def joined_by(self) -> str | None:
        """The column of the cube that the source is joined by; None for a match by position."""
        return self.join or ("gaia_designation" if self.kind == "gaia_xp" else None)


class CubeSettings(Settings):
    """How cubes are built from `sources`."""

    base: SourceName | None = Field(
        None, description="Catalogue whose rows the cubes have; null for the first of sources."
    )
    healpix_order: Annotated[int, Field(ge=0, le=9)] = Field(
        4,
        description="Order of the HEALPix cells (NESTED, ICRS) that are the fields of a base "
        "catalogue without fields; cells of order 4 are 3.7 deg across.",
    )
    row_group: Annotated[int, Field(ge=64, le=65536)] = Field(
        1024, description="Rows of a cube that are in memory at a time, and of its row groups."
    )


class FieldRule(Settings):
    """Where the name of a row's field stands."""

    column: ColumnName = Field(description="Column that holds the name, or an id that contains it.")
    pattern: str | None = Field(
        None, description="Regular expression with one group: the name inside the column's text."
    )

    @field_validator("pattern")
    @classmethod
    def _one_group(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            try:
                groups = re.compile(pattern).groups
            except re.error as error:
                raise ValueError(
                    f"must be a regular expression, got {pattern!r}: {error}"
                ) from None
            if groups != 1:
                raise ValueError(f"must have one group, got {groups} in {pattern!r}")
        return pattern


def _some(value: object) -> object:
    return [value] if isinstance(value, str) else value


RawNames = Annotated[tuple[ColumnName, ...], Field(min_length=1), BeforeValidator(_some)]
"""Names that a raw column may have; the first that a file holds is read."""


class ColumnRule(Settings):
    """Which raw column becomes a column of the cube, and how."""

    names: RawNames = Field(
        description="Names of the raw column in the files; the first that a file holds is read."
    )
    unit: str | None = Field(
        None,
        description="Unit in the cube; values are converted where the file states another. "
        "Null leaves them as they are.",
    )
    sentinels: tuple[float, ...] = Field((), description="Values that stand for a missing one.")
    element: Annotated[int, Field(ge=0)] | None = Field(
        None, description="Position of the value in a raw column of lists, from 0."
    )
    prefix: str = Field(
        "", description="Text before each value that has it not yet; makes text of whole numbers."
    )
    type: Literal["float64", "float32", "int64", "text"] = Field(
        "float64", description="Type of the column in the cube."
    )


def _rule(value: Any) -> Any:
    return {"names": value} if isinstance(value, (str, list, tuple)) else value


def _in_band(rule: Any, text: str) -> Any:
    """Replace ``{band}`` in all texts of a rule."""
    if isinstance(rule, str):
        return rule.replace("{band}", text)
    if isinstance(rule, dict):
        return {name: _in_band(value, text) for name, value in rule.items()}
    return [_in_band(value, text) for value in rule] if isinstance(rule, list) else rule


class MotionRule(Settings):
    """Proper motion of a catalogue's positions."""

    pmra: ColumnName = Field(description="Raw column of mu_alpha* (mas/yr, with cos dec).")
    pmdec: ColumnName = Field(description="Raw column of mu_delta (mas/yr).")
    epoch: Annotated[float, Field(ge=1900, le=2100)] | ColumnName = Field(
        description="Epoch of the positions (Julian year), or the raw column that holds it."
    )


class LongRule(Settings):
    """Light curves with one row per measurement, or nested in one column."""

    nested: ColumnName | None = Field(
        None, description="Column with a row's measurements; null where each has a row of its own."
    )
    time: ColumnName = Field("hmjd", description="Time of a measurement (MJD, day).")
    mag: ColumnName = Field("mag", description="Magnitude of a measurement.")
    error: ColumnName = Field("magerr", description="Error of the magnitude.")
    band: ColumnName = Field("filterid", description="Band of a measurement.")
    bands: dict[str, Literal["g", "r", "i"]] = Field(
        {"1": "g", "2": "r", "3": "i", "g": "g", "r": "r", "i": "i"},
        description="Names of the bands in the files, and those of the cube.",
    )
    good: dict[ColumnName, tuple[float, ...]] = Field(
        {}, description="Values of columns that mark good measurements; others are left out."
    )


class Preset(Settings):
    """The columns of a catalogue: a YAML file that a user can copy and change."""

    title: str = Field(description="What the catalogue is, and where its columns are described.")
    id: RawNames | None = Field(None, description="Raw columns of ids, text or whole numbers.")
    id_parts: tuple[ColumnName, ...] = Field(
        (),
        description="Raw columns whose values, joined by -, are the id where no column of ids is.",
    )
    ra: RawNames = Field(description="Raw columns of the right ascension (ICRS, deg).")
    dec: RawNames = Field(description="Raw columns of the declination (ICRS, deg).")
    field: tuple[FieldRule, ...] = Field(
        (), description="Where the field's name stands; the first column that a file holds counts."
    )
    motion: MotionRule | None = Field(None, description="Proper motion of the positions.")
    sentinels: dict[ColumnName, tuple[float, ...]] = Field(
        {},
        description="Values that stand for a missing one, by column of the cube or pattern of "
        "columns: {'mag_*': [99]}.",
    )
    bands: dict[str, str | int] = Field(
        {},
        description="Text in place of {band} in names of the cube's columns, and the text in place "
        "of {band} in their rules: a rule whose name holds {band} stands for one rule per band.",
    )
    columns: dict[ColumnName, Annotated[ColumnRule, BeforeValidator(_rule)]] = Field(
        {}, description="Columns of the cube, by name, and the raw columns that they come from."
    )
    curves: LongRule | None = Field(
        None, description="Where the measurements of a light curve are."
    )

    @model_validator(mode="before")
    @classmethod
    def _per_band(cls, values: Any) -> Any:
        """Write out the rules that stand for one rule per band."""
        if not isinstance(values, dict) or not isinstance(values.get("columns"), dict):
            return values
        bands = values.get("bands") or {}
        if not isinstance(bands, dict):
            return values
        columns: dict[Any, Any] = {}
        for name, rule in values["columns"].items():
            if not isinstance(name, str) or "{band}" not in name:
                columns[name] = rule
                continue
            if not bands:
                raise ValueError(f"must give bands for columns.{name}, got none")
            for band, text in bands.items():
                columns[name.replace("{band}", str(band))] = _in_band(rule, str(text))
        return {**values, "columns": columns}
