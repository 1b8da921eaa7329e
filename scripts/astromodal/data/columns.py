"""Every column that is read of a cube: its name, type, length, unit, and what it means.

Readers take the names of their columns from here, plans compare cubes with it before any job runs,
and ``docs/columns.md`` is made of it (``python -m astromodal.data.columns``).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final, Literal

from astromodal.config.inputs import ColumnSettings
from astromodal.config.load import load_config
from astromodal.config.schema import GROUPS, Config
from astromodal.data.missing import sentinels_of
from astromodal.storage.tempfiles import write_text
from astromodal.surveys.grids import DESI_GRIDS, is_light_curve, native_grid
from astromodal.surveys.units import PIXELS, group_units, scalar_unit

SHAPE_COLUMNS = ("a_pixel_det", "b_pixel_det", "theta_det")
"""Columns of a source's shape: semi-axes (pixel) and angle from the x axis (degree)."""
NAME_IDS: Final = "name the column of identifiers in columns.id"
"""What to do where there is no such column."""
NAME_CUT: Final = (
    "name a magnitude that the cubes have in selection.column, or null to select every row"
)
"""What to do where there is no such column."""
GAIA_COLUMN: Final = "gaia_designation"
"""Name of a row's Gaia source, exact where ``gaia_source_id`` was rounded."""
N_COEFFICIENTS: Final = 55
XP_PARTS: Final = {
    "coefficients": N_COEFFICIENTS,
    "coefficient_errors": N_COEFFICIENTS,
    "coefficient_correlations": N_COEFFICIENTS * (N_COEFFICIENTS - 1) // 2,
}
"""What makes a Gaia XP spectrum, and the count of numbers in each."""
_DESI_PARTS = ("flux", "ivar", "wave")
_LIGHT_CURVE_PARTS = ("mag", "magerr", "hmjd")

Kind = Literal["id", "number", "text", "list", "list or text", "flag"]
ACCEPTED: Final[dict[Kind, tuple[str, frozenset[str]]]] = {
    "id": ("a column of text, bytes or whole numbers", frozenset({"text", "whole numbers"})),
    "number": ("a column of numbers", frozenset({"numbers", "whole numbers", "nothing"})),
    "text": ("a column of text", frozenset({"text", "nothing"})),
    "list": ("a column of lists of numbers", frozenset({"lists", "nothing"})),
    "list or text": (
        "a column of lists of numbers or of texts '[a,b,…]'",
        frozenset({"lists", "text", "nothing"}),
    ),
    "flag": (
        "a column of flags, text or numbers",
        frozenset({"text", "numbers", "whole numbers", "nothing"}),
    ),
}
"""What a column of a kind must be, in words and by the kinds that a file's footer tells."""
_MEANINGS = (
    (r"^ellipticity_", "1 - minor / major axis"),
    (r"^elongation_", "major / minor axis"),
    (r"^a_pixel", "semi-major axis: second moment of the light"),
    (r"^b_pixel", "semi-minor axis: second moment of the light"),
    (r"^theta", "angle of the major axis from the x axis"),
    (r"^fwhm_n", "FWHM over that of stars"),
    (r"^err_mag_pstotal_(\w+)$", "error of mag_pstotal_{}"),
    (r"^mag_pstotal_(\w+)$", "3 arcsec magnitude in {}, corrected to a point source's total (AB)"),
    (r"^gaia_(\w+)_error$", "error of gaia_{}"),
    (r"^gaia_parallax$", "parallax"),
    (r"^gaia_pmra$", "proper motion in right ascension, with cos(dec)"),
    (r"^gaia_pmdec$", "proper motion in declination"),
    (r"^gaia_phot_(\w+)_mean_flux$", "mean flux in the band {}"),
    (r"^gaia_teff", "effective temperature"),
    (r"^gaia_logg", "logarithm of the surface gravity (cm/s²)"),
    (r"^gaia_mh", "metallicity [M/H]"),
    (r"^specz_z$", "spectroscopic redshift"),
    (r"^specz_e_z$", "error of specz_z"),
    (r"^vista_(\w+)apermag6err$", "error of vista_{}apermag6"),
    (r"^vista_(\w+)apermag6$", "magnitude in the band {} in an aperture 5.7 arcsec across (Vega)"),
)


@dataclass(frozen=True)
class Column:
    """A column that is read.

    Attributes
    ----------
    name : str
        Its name.
    kind : str
        What it must hold, a key of `ACCEPTED`.
    dtype : str
        As cubes have it; other types of the kind are read too.
    setting : str
        Dotted name of the setting that names it, or of which it follows.
    unit : str, optional
        As `astropy.units.Unit` reads it; empty where it has none, None where it is not known.
    length : int, optional
        Numbers of a list; None where it has none, or may have any.
    meaning : str
        What it holds.
    """

    name: str
    kind: Kind
    dtype: str
    setting: str
    unit: str | None = ""
    length: int | None = None
    meaning: str = ""


def cutout_column(band: str) -> str:
    """Column of a cube that holds the cutouts of a band."""
    return f"splus_cut_{band}"


def group_columns(group: str) -> list[str]:
    """Columns of a cube that a group's spectra or light curves are read from."""
    if is_light_curve(group):
        survey, band = group.rsplit("_", 1)
        return [f"{survey}_{part}_{band}" for part in _LIGHT_CURVE_PARTS]
    if group in DESI_GRIDS:
        return [f"desi_{part}_{group[-1]}" for part in _DESI_PARTS]
    return [f"{group}_{part}" for part in XP_PARTS]


def cube_columns(config: Config) -> dict[str, tuple[Column, ...]]:
    """Columns of a cube that the jobs of each modality read.

    Parameters
    ----------
    config : Config
        Of which columns, selection and labels are read, and the names of the tokenizers' columns,
        groups and bands.

    Returns
    -------
    dict
        By the names of ``astromodal.core.paths.MODALITIES``. A column may stand in several.
    """
    scalars = [_scalar(n, "tokenizers.scalar.columns") for n in config.tokenizers.scalar.columns]
    spectra = [c for group in config.tokenizers.spectrum.groups for c in _group(group, config)]
    gaia = Column(GAIA_COLUMN, "text", "string", "", meaning="tells rows of one Gaia source")
    read = {
        "sources": [*_sources(config)],
        "scalars": [*scalars, gaia],
        "spectra": spectra,
        "images": [*_images(config)],
        "labels": [*_labels(config)],
    }
    flags = {name: _flags_of((c.name for c in own), config.columns) for name, own in read.items()}
    return {name: (*own, *flags[name]) for name, own in read.items()}


def modality_columns(config: Config) -> dict[str, tuple[str, ...]]:
    """Names of the columns of `cube_columns`, by modality."""
    return {
        modality: tuple(column.name for column in columns)
        for modality, columns in cube_columns(config).items()
    }


def _scalar(name: str, setting: str) -> Column:
    unit, meaning = scalar_unit(name), ""
    for pattern, words in _MEANINGS:
        if found := re.search(pattern, name):
            meaning = words.format(*found.groups())
            break
    dtype = "float32" if name.startswith("err_mag_") or name.endswith("_det") else "float64"
    return Column(name, "number", dtype, setting, unit, meaning=meaning)


def _sources(config: Config) -> Iterator[Column]:
    names, cut = config.columns, config.selection.column
    yield Column(names.id, "id", "binary", "columns.id", meaning="identifies a source in its field")
    for name, words in ((names.ra, "right ascension (ICRS)"), (names.dec, "declination (ICRS)")):
        setting = "columns.ra" if name == names.ra else "columns.dec"
        yield Column(name, "number", "float64", setting, "deg", meaning=words)
    if cut is not None:
        yield _scalar(cut, "selection.column")


def _group(group: str, config: Config) -> Iterator[Column]:
    kind: Kind = "list"
    units: tuple[str, ...] = group_units(group)
    lengths: tuple[int | None, ...] = (None, None, None)
    if is_light_curve(group):
        words = ("magnitude of each epoch", "its error", "its heliocentric time (MJD)")
    elif group in DESI_GRIDS:
        words = ("flux", "inverse variance of the flux; 0: a bad pixel", "vacuum wavelength")
        lengths = (native_grid(group, config.tokenizers.spectrum).length,) * 3
    else:
        triangle = "the upper triangle without the diagonal, in column-major order"
        words = (
            "coefficients of basis functions",
            "their errors",
            f"correlations: {triangle}",
        )
        kind, lengths = "list or text", tuple(XP_PARTS.values())
    dtype = "list<float32>" if kind == "list" else "string"
    each = zip(group_columns(group), units, lengths, words, strict=True)
    for name, unit, length, meaning in each:
        yield Column(name, kind, dtype, "tokenizers.spectrum.groups", unit, length, meaning)


def _images(config: Config) -> Iterator[Column]:
    size = config.tokenizers.image.size
    words = f"cutout of {size} x {size} pixels of 0.55 arcsec, row by row"
    for band in config.tokenizers.image.bands:
        name, setting = cutout_column(band), "tokenizers.image.bands"
        yield Column(name, "list", "list<float32>", setting, PIXELS, size**2, words)
    for name in SHAPE_COLUMNS:
        yield replace(_scalar(name, ""), setting="")


def _labels(config: Config) -> Iterator[Column]:
    labels, setting = config.evaluation.labels, "evaluation.labels"
    numbers = {"redshift": (labels.redshift,), "stellar": labels.stellar, "tied": labels.tied,
               "magnitude": (labels.magnitude,)}  # fmt: skip
    for key, names in numbers.items():
        yield from (_scalar(name, f"{setting}.{key}") for name in names if name is not None)
    if labels.kind is not None:
        yield Column(
            labels.kind, "text", "string", f"{setting}.kind", meaning="class of the source"
        )


def _flags_of(names: Iterable[str], settings: ColumnSettings) -> list[Column]:
    """Columns of flags that say which values of some columns are reliable."""
    read = set(names)
    return [
        Column(flag, "flag", "string", "columns.flags", meaning=f"reliability of {says.columns[0]}")
        for flag, says in settings.flags.items()
        if not read.isdisjoint(says.columns)
    ]


_TITLES = {
    "sources": "What identifies, places and selects a source",
    "scalars": "Scalars",
    "images": "Image cutouts",
    "spectra": "Spectra and light curves",
    "labels": "What the report compares with",
}
_WORDS = {
    "scalars": "In the order of the vocabulary (`tokenizers.scalar.columns`).",
    "images": "One list a band, row by row from the first row of pixels; `tokenizers.image` names\n"
    "bands and size. The last three columns make the elliptical mask of a source.",
    "spectra": "Of a DESI arm and of a Gaia XP spectrum all columns must be there, or none. Light\n"
    "curves (`ztf_`) are read where `tokenizers.spectrum.groups` names them.",
    "labels": "`evaluation.labels` names your own.",
}
_MISSING: dict[Kind, str] = {
    "id": "must be there",
    "number": "null, NaN, ±inf",
    "text": "null, empty",
    "list": "null, empty",
    "list or text": "null, empty",
    "flag": "null, empty",
}
_TYPES: dict[Kind, str] = {
    "id": "text, bytes or whole numbers",
    "number": "any float or integer",
    "text": "text or bytes",
    "list": "list of any numbers",
    "list or text": "text `[a,b,…]` or `(a, b, …)`, or list of any numbers",
    "flag": "text, bytes or numbers",
}


def page() -> str:
    """The page, with every group of spectra and light curves that can be read."""
    config = load_config({"tokenizers": {"spectrum": {"groups": list(GROUPS)}}})
    parts = [
        "# Columns of a cube",
        "",
        "A cube is a parquet file, `datacube_{field}.parquet`, one row a source. These are the",
        "columns that are read of it by default; `config/README.md` names the settings that change",
        "them. A column that a cube lacks is missing, not an error, but for the identifier and the",
        "magnitude of the selection. Others may stand beside them. *type* is what cubes hold; what",
        "else is read stands below. *missing* lists what counts as a missing value. This page is",
        "generated by `make docs`.",
    ]
    for modality, columns in cube_columns(config).items():
        parts += ["", f"## {_TITLES[modality]}", ""]
        parts += [_WORDS[modality], ""] if modality in _WORDS else []
        parts += [*_table(columns, config.columns)]
    parts += ["", "## Types and special values", "", "| column of | may be | missing |"]
    parts += ["| --- | --- | --- |"]
    parts += [f"| {kind} | {_TYPES[kind]} | {_MISSING[kind]} |" for kind in _TYPES]
    parts += [
        "",
        "- A cutout that has another length than the table's was cut at an image's edge: it is",
        "  missing, and counted. A pixel that is exactly 0 or not finite is invalid. A band may be",
        "  null in all rows.",
        "- A DESI list of another length, or off the wavelength grid, is an error that names the",
        "  row. Pixels whose inverse variance is not positive are bad.",
        "- The three lists of a light curve have one length, any that is positive in each row.",
        "- Sentinels come from `columns.presets` and `columns.sentinels`; `columns.flags` says",
        "  which values are not reliable. Both are missing to tokenizers, training and evaluation,",
        "  and counted in the summary of each field.",
    ]
    return "\n".join(parts) + "\n"


def _table(columns: tuple[Column, ...], settings: ColumnSettings) -> Iterator[str]:
    yield "| column | type | length | unit | missing | meaning |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for column in dict.fromkeys(columns):
        sentinels = ", ".join(f"{value:.10g}" for value in sentinels_of(column.name, settings))
        missing = ", ".join(filter(None, (_MISSING[column.kind], sentinels)))
        length = (column.length or "any") if column.kind.startswith("list") else ""
        cells = (
            f"`{column.name}`", f"`{column.dtype}`", str(length), column.unit or "",
            missing, column.meaning,
        )  # fmt: skip
        yield "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    write_text(sys.argv[1], page())
