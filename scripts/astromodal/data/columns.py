"""Every column of a cube that is read: name, type, length, unit, meaning.

Readers get the names of their columns from here, or from the registry of spectrum groups. Plans
compare cubes with the table before any job runs. `astromodal.data.schema` prints it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from astromodal.config.inputs import ColumnSettings
from astromodal.config.schema import Config
from astromodal.surveys.registry import spectrum_group

PIXELS: Final = "ct / s"
"""Unit of the pixels of a cutout."""
SHAPE_COLUMNS = ("a_pixel_det", "b_pixel_det", "theta_det")
"""Columns of a source's shape: semi-axes (pixel) and angle from the x axis (degree)."""
NAME_IDS: Final = "name the column of identifiers in columns.id"
"""What to do where a cube lacks the column of identifiers."""
NAME_CUT: Final = (
    "name a magnitude that the cubes have in selection.column, or null to select every row"
)
"""What to do where a cube lacks the column of the selection."""
GAIA_COLUMN: Final = "gaia_designation"
"""Column with the name of a row's Gaia source. ``gaia_source_id`` was rounded, it is exact."""

Kind = Literal["id", "number", "text", "list", "list or text", "flag", "label"]
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
    "label": (
        "a column of numbers, or of classes as text",
        frozenset({"text", "numbers", "whole numbers", "nothing"}),
    ),
}
"""What a column of each kind must be, in words and in the kinds of `Footer.kinds`."""
_UNITS = (
    (r"^(err_)?mag_|apermag\d(err)?$", "mag"),
    (r"^[ab]_pixel", "pix"),
    (r"^theta", "deg"),
    (r"^(ellipticity|elongation|fwhm_n)|^specz_e?_?z$", ""),
    (r"parallax(_error)?$", "mas"),
    (r"pm(ra|dec)(_error)?$", "mas / yr"),
    (r"mean_flux(_error)?$", "electron / s"),
    (r"teff", "K"),
    (r"logg|_mh_", "dex"),
)
"""Units of scalar columns, by patterns of their names. The first that matches is used."""
_SMALLEST_BINS = ((r"^specz_z$", 5e-4),)
"""Smallest width of a bin by patterns of names. A redshift of 5e-4 is 150 km/s: bins of equal mass
would tell the velocities of stars apart, which no photometry knows."""
_LARGEST_BINS = (
    (r"^specz_z$", 0.1),
    (r"teff", 1000.0),
    (r"logg|_mh_", 0.1),
)
"""Largest width of a bin by patterns of names. Labels have long tails: a bin of equal mass would
hold all stars from 13,000 to 30,000 K."""
_PERIODS = ((r"^theta", 180.0),)
"""Periods by patterns of names: an ellipse looks the same after half a turn."""
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
"""Meanings of scalar columns, by patterns of their names. The first that matches is used."""


@dataclass(frozen=True)
class Column:
    """A column that is read.

    Attributes
    ----------
    name : str
        Name of the column.
    kind : str
        What it must hold, a key of `ACCEPTED`.
    dtype : str
        Type that cubes have; other types of the same kind are read too.
    setting : str
        Dotted name of the setting that names the column, or from which its name follows.
    unit : str, optional
        Unit, as `astropy.units.Unit` reads it; empty without a unit, None where it is not known.
    length : int, optional
        Number of values of a list; None for any length, and where the column holds no lists.
    meaning : str
        What it holds, in words.
    """

    name: str
    kind: Kind
    dtype: str
    setting: str
    unit: str | None = ""
    length: int | None = None
    meaning: str = ""


def cutout_column(band: str) -> str:
    """Return the name of the column with the cutouts of a band."""
    return f"splus_cut_{band}"


def group_columns(group: str) -> list[str]:
    """Return the names of the columns that a spectrum group is read from."""
    return spectrum_group(group).column_names


def scalar_unit(column: str) -> str | None:
    """Return the unit of a scalar column; empty without a unit, None where it is not known."""
    return next((unit for pattern, unit in _UNITS if re.search(pattern, column)), None)


def scalar_meaning(column: str) -> str:
    """Return what a scalar column means, in words; empty where it is not known."""
    for pattern, words in _MEANINGS:
        if match := re.search(pattern, column):
            return words.format(*match.groups())
    return ""


def smallest_bin(column: str) -> float:
    """Return the smallest width of a bin of a scalar column, in its unit; 0 for any width."""
    widths = (width for pattern, width in _SMALLEST_BINS if re.search(pattern, column))
    return next(widths, 0.0)


def largest_bin(column: str) -> float:
    """Return the largest width of a bin of a scalar column, in its unit; infinite for any width."""
    widths = (width for pattern, width in _LARGEST_BINS if re.search(pattern, column))
    return next(widths, math.inf)


def period(column: str) -> float | None:
    """Return the period of a scalar column that is an angle, in its unit; None for others."""
    return next((value for pattern, value in _PERIODS if re.search(pattern, column)), None)


def cube_columns(config: Config) -> dict[str, tuple[Column, ...]]:
    """Return the columns of a cube that are read, by modality.

    Parameters
    ----------
    config : Config
        The configuration. It names the columns of sources, labels and scalars, the spectrum
        groups, and the bands of cutouts.

    Returns
    -------
    dict
        Columns by the names of ``astromodal.core.paths.MODALITIES``, but for that of fine-tuning. A
        column may belong to several modalities.
    """
    scalars = [_scalar(n, "tokenizers.scalar.columns") for n in config.tokenizers.scalar.columns]
    spectra = [c for group in config.tokenizers.spectrum.groups for c in _group(group)]
    gaia = Column(GAIA_COLUMN, "text", "string", "", meaning="name of the Gaia source of a row")
    read = {
        "sources": [*_sources(config)],
        "scalars": [*scalars, gaia],
        "spectra": spectra,
        "images": [*_images(config)],
        "labels": [*_labels(config)],
    }
    return _with_flags(read, config)


def planned_columns(config: Config) -> dict[str, tuple[Column, ...]]:
    """Return the columns of `cube_columns`, and those of labels that models are fine-tuned to.

    Jobs that do not fine-tune know nothing of these: a new label redoes none of them.
    """
    return cube_columns(config) | _with_flags({"finetuned": [*_finetuned(config)]}, config)


def _with_flags(
    read: Mapping[str, Sequence[Column]], config: Config
) -> dict[str, tuple[Column, ...]]:
    """Return columns by modality, with the flags that say which of their values are reliable."""
    flags = {name: _flags_of((c.name for c in own), config.columns) for name, own in read.items()}
    return {name: (*own, *flags[name]) for name, own in read.items()}


def modality_columns(columns: Mapping[str, Sequence[Column]]) -> dict[str, tuple[str, ...]]:
    """Return the names of columns by modality."""
    return {modality: tuple(column.name for column in own) for modality, own in columns.items()}


def _scalar(name: str, setting: str) -> Column:
    unit, meaning = scalar_unit(name), scalar_meaning(name)
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


def _group(group: str) -> Iterator[Column]:
    setting = "tokenizers.spectrum.groups"
    for c in spectrum_group(group).columns:
        yield Column(c.name, c.kind, c.dtype, setting, c.unit, c.length, c.meaning)


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


def _finetuned(config: Config) -> Iterator[Column]:
    for label, source in config.finetune.labels.items():
        setting = f"finetune.labels.{label}"
        if source.column is not None:
            unit, meaning = source.unit or scalar_unit(source.column), f"the label {label}"
            yield Column(source.column, "label", "", f"{setting}.column", unit, meaning=meaning)
            if source.error is not None:
                yield replace(_scalar(source.error, ""), setting=f"{setting}.error")


def _flags_of(names: Iterable[str], settings: ColumnSettings) -> list[Column]:
    """Return the columns of flags that say which values of some columns are reliable."""
    read = set(names)
    return [
        Column(flag, "flag", "string", "columns.flags", meaning=f"reliability of {says.columns[0]}")
        for flag, says in settings.flags.items()
        if not read.isdisjoint(says.columns)
    ]
