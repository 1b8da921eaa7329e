"""SDSS: one spectrum per file, resampled to the grid of `astromodal.surveys.sdss`.

The files are those of the SDSS data model (https://data.sdss.org/datamodel, page ``spec``):
``spec-PLATE-MJD-FIBER.fits`` of any data release, with or without the single exposures.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Final

import numpy as np
import pyarrow as pa

from astromodal.config.sources import SourceSettings
from astromodal.data.parquet import lists
from astromodal.sources.files import RawFile
from astromodal.sources.fits_files import FitsFile, open_fits
from astromodal.sources.rows import finite, index_table, row_digests
from astromodal.surveys.sdss import GRID

_PIXELS: Final = pa.list_(pa.float32())
_STEP: Final = 1e-4
"""Width of a pixel of the files, in log10 of the wavelength."""
_JITTER: Final = 0.1
"""Largest deviation from that width, as a share: float32 rounds a wavelength by 0.002 pixels."""
_SCHEMA: Final = pa.schema(
    [
        ("sdss_wave", _PIXELS),
        ("sdss_flux", _PIXELS),
        ("sdss_ivar", _PIXELS),
        ("sdss_z", pa.float64()),
        ("sdss_zerr", pa.float64()),
        ("sdss_zwarning", pa.int64()),
        ("sdss_class", pa.string()),
    ]
)
_TARGET: Final = ("PLUG_RA", "PLUG_DEC", "Z", "Z_ERR", "ZWARNING", "CLASS")
_OPTIONAL: Final = ("SPECOBJID", "SN_MEDIAN_ALL", "OBJTYPE", "SOURCETYPE")


class SdssReader:
    """A reader of SDSS spectra."""

    in_index: ClassVar[bool] = False

    def __init__(self, name: str, settings: SourceSettings) -> None:
        self._name = name

    def schema(self) -> pa.Schema:
        """Return the columns of a cube: the spectrum, the redshift and the class."""
        return _SCHEMA

    def index(self, file: RawFile) -> Iterator[pa.Table]:
        """Yield the one row of a file.

        ``_key`` is ``SPECOBJID`` as text: numbers of late plates do not fit into a signed integer
        of 64 bits. ``_rank`` is the median signal-to-noise ratio. ``_ra`` and ``_dec`` are
        ``PLUG_RA`` and ``PLUG_DEC``, whose FK5 (J2000) is ICRS within 0.03 arcsec.

        Raises
        ------
        DataError
            Where the file is damaged, or lacks what is needed.
        """
        with open_fits(self._name, file.path) as opened:
            target = _target(opened)
            table = _table(opened, target)
        live = bool(np.any(table["sdss_ivar"].combine_chunks().flatten().to_numpy() > 0))
        rank = float(target.get("SN_MEDIAN_ALL", 0.0))
        yield index_table(
            np.zeros(1, np.int64), pa.array([_key(target)], pa.string()), row_digests(table),
            ra=[target["PLUG_RA"]], dec=[target["PLUG_DEC"]],
            rank=[rank if np.isfinite(rank) else 0.0], reason=[_reason(target, live)],
        )  # fmt: skip

    def read(self, file: RawFile, rows: np.ndarray) -> pa.Table:
        """Return the spectrum, redshift and class of a file.

        Returns
        -------
        table
            Pixels of the file whose ``and_mask`` is not 0, or whose inverse variance is not
            positive, contribute nothing. Redshift and error are null where ``ZWARNING`` is not 0.

        Raises
        ------
        DataError
            As `index` does, and where a row is not 0.
        """
        with open_fits(self._name, file.path) as opened:
            if np.any(np.asarray(rows) != 0):
                raise opened.error(f"a spectrum with a row {np.max(rows)}", "1 row")
            return _table(opened, _target(opened)).take(np.asarray(rows, np.int64))


def _target(file: FitsFile) -> dict[str, np.generic]:
    """Return what a file says of its target."""
    found = file.columns(file.hdu("SPECOBJ", "SPALL"), _TARGET, _OPTIONAL)
    if len(found["Z"]) != 1:
        raise file.error("a file of one spectrum", f"{len(found['Z'])} targets")
    return {name: values[0] for name, values in found.items()}


def _key(target: dict[str, np.generic]) -> str | None:
    return str(target["SPECOBJID"]).strip() or None if "SPECOBJID" in target else None


def _reason(target: dict[str, np.generic], live: bool) -> str | None:
    """Return why a spectrum is not used; None where it is."""
    if "SKY" in (str(target.get(name, "")) for name in ("OBJTYPE", "SOURCETYPE")):
        return "sky fibre"
    if not np.all(np.isfinite([float(target["PLUG_RA"]), float(target["PLUG_DEC"])])):
        return "no position"
    return None if live else "no flux"


def _table(file: FitsFile, target: dict[str, np.generic]) -> pa.Table:
    """Return the columns of a cube of one spectrum."""
    if file.hdus[0].header.get("VACUUM", True) is False:
        raise file.error("a spectrum with vacuum wavelengths", "VACUUM = F")
    pixels = file.columns(file.hdu("COADD"), ("FLUX", "LOGLAM", "IVAR", "AND_MASK"))
    loglam = pixels["LOGLAM"].astype(np.float64)
    step = np.diff(loglam) / _STEP
    if not len(step) or not np.all(np.abs(step - 1) < _JITTER):
        got = f"{len(loglam)} pixels in steps of {step.min() if len(step) else 0:g} to "
        must = f"a spectrum with loglam in steps of {_STEP:g}"
        raise file.error(must, got + f"{step.max() if len(step) else 0:g} times that")
    ivar = np.where(pixels["AND_MASK"] == 0, pixels["IVAR"], 0)
    flux, ivar = resample(wavelength_edges(loglam), pixels["FLUX"], ivar, grid_edges())
    warning, wave = int(target["ZWARNING"]), GRID.points()
    z, error = (float(target[name]) if not warning else np.nan for name in ("Z", "Z_ERR"))
    columns = [
        *(lists(values[None], _PIXELS) for values in (wave, flux, ivar)),
        *(finite(np.array([value])) for value in (z, error)),
        pa.array([warning], pa.int64()),
        pa.array([str(target["CLASS"]) or None], pa.string()),
    ]
    return pa.table(columns, schema=_SCHEMA)


def wavelength_edges(loglam: np.ndarray) -> np.ndarray:
    """Return the edges (Angstrom) of pixels with these log10 of wavelengths, float64 (n + 1,).

    Edges are half-way between the centres of neighbours, in the logarithm.
    """
    middle = (loglam[1:] + loglam[:-1]) / 2
    ends = 2 * loglam[[0, -1]] - middle[[0, -1]]
    return 10.0 ** np.concatenate([ends[:1], middle, ends[1:]])


def grid_edges() -> np.ndarray:
    """Return the edges (Angstrom) of the pixels of the grid, float64 (L + 1,)."""
    return GRID.start + GRID.step * (np.arange(GRID.length + 1) - 0.5)


def resample(
    edges: np.ndarray, flux: np.ndarray, ivar: np.ndarray, to: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Resample a flux density to other pixels, so that the flux is conserved.

    An output pixel has the mean of the good input pixels, weighted by their overlaps w with it; its
    variance is that of this mean, the sum of w² σ² (Carnall 2017, arXiv:1705.05165, equations 3 and
    4). Errors of output pixels that share an input pixel are correlated: `ivar` cannot say that.

    Parameters
    ----------
    edges : float64 (n + 1,)
        Ascending edges of the input pixels.
    flux, ivar : float (n,)
        Flux density and inverse variance; pixels that are not finite or without weight are bad.
    to : float64 (m + 1,)
        Ascending edges of the output pixels, in the unit of `edges`.

    Returns
    -------
    flux, ivar : float64 (m,)
        Both are 0 in pixels that no good input pixel overlaps.
    """
    flux, ivar = np.asarray(flux, np.float64), np.asarray(ivar, np.float64)
    good, m = np.isfinite(flux) & np.isfinite(ivar) & (ivar > 0), len(to) - 1
    # All edges cut the axis into segments, each within one input and one output pixel.
    cuts = np.unique(np.concatenate([edges, to]))
    middle, length = (cuts[1:] + cuts[:-1]) / 2, np.diff(cuts)
    source = np.searchsorted(edges, middle) - 1
    target = np.searchsorted(to, middle) - 1
    inside = (source >= 0) & (source < len(flux)) & (target >= 0) & (target < len(to) - 1)
    inside[inside] &= good[source[inside]]
    source, target, length = source[inside], target[inside], length[inside]
    weight = np.bincount(target, length, m)
    share = length / weight[target]
    mean = np.bincount(target, share * flux[source], m)
    with np.errstate(over="ignore"):  # an infinite variance is no measurement
        variance = np.bincount(target, share**2 / ivar[source], m)
    inverse = np.zeros(m)
    inverse[weight > 0] = 1 / variance[weight > 0]
    return mean, inverse
