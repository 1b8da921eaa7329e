"""DESI: coadded spectra and their redshifts.

The files are those of the DESI data model (https://desidatamodel.readthedocs.io, pages
``coadd-SURVEY-PROGRAM-PIXNUM`` and ``redrock-SURVEY-PROGRAM-PIXNUM``): row i of the images
``B_FLUX``, … is row i of the table ``FIBERMAP``. Redshifts stand in a file of their own beside it,
``redrock-…`` for ``coadd-…``, and are matched by ``TARGETID``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
import pyarrow as pa

from astromodal.config.sources import SourceSettings
from astromodal.data.parquet import lists
from astromodal.sources.files import RawFile, redrock_path
from astromodal.sources.fits_files import FitsFile, open_fits
from astromodal.sources.rows import finite, index_table, row_digests
from astromodal.surveys.desi import GRIDS

_ARMS: Final = {name.removeprefix("desi_"): grid for name, grid in GRIDS.items()}
_PARTS: Final = ("wave", "flux", "ivar")
_IMAGES: Final = ("WAVELENGTH", "FLUX", "IVAR")
_PIXELS: Final = pa.list_(pa.float32())
_ROWS: Final = 256
"""Fibres that are in memory at once, some 20 MB."""
_TOLERANCE: Final = 0.01
"""Largest difference (Angstrom) of a wavelength from the grid: a hundredth of a pixel, and ten
times the rounding of float32."""
_NEEDED: Final = ("TARGETID", "TARGET_RA", "TARGET_DEC", "OBJTYPE", "COADD_FIBERSTATUS")
_OPTIONAL: Final = ("PMRA", "PMDEC", "REF_EPOCH", "COADD_EXPTIME")


class DesiReader:
    """A reader of DESI coadds."""

    in_index: ClassVar[bool] = False

    def __init__(self, name: str, settings: SourceSettings) -> None:
        self._name = name

    def schema(self) -> pa.Schema:
        """Return the columns of a cube: spectra of all arms, target and redshift."""
        arms = [(f"desi_{part}_{arm}", _PIXELS) for arm in _ARMS for part in _PARTS]
        numbers = [("desi_z", pa.float64()), ("desi_zerr", pa.float64())]
        rest = [("desi_zwarn", pa.int64()), ("desi_spectype", pa.string())]
        return pa.schema([*arms, ("desi_TARGETID", pa.int64()), *numbers, *rest])

    def index(self, file: RawFile) -> Iterator[pa.Table]:
        """Yield one row per fibre of a coadd.

        ``_key`` is the target id, ``_rank`` the squared signal-to-noise of the LRG template
        (``TSNR2_LRG``), or the exposure time (s) where a file has none. Fibres on the sky, fibres
        that are bad, and spectra without a good pixel have a ``_reason``.

        Raises
        ------
        DataError
            Where coadd or redshifts are damaged, lack what is needed, or have other wavelengths.
        """
        with open_fits(self._name, file.path) as opened:
            coadd = _Coadd.of(opened, self._redshifts(file.path))
            rank = coadd.rank()
            for rows in coadd.blocks():
                table, live = coadd.read(rows, self.schema())
                part = {name: values[rows] for name, values in coadd.fibres.items()}
                yield index_table(
                    rows, pa.array(part["TARGETID"]), row_digests(table), rank=rank[rows],
                    ra=part["TARGET_RA"], dec=part["TARGET_DEC"],
                    reason=_reasons(part, live), **_motion(part),
                )  # fmt: skip

    def read(self, file: RawFile, rows: np.ndarray) -> pa.Table:
        """Return spectra, targets and redshifts of some fibres of a coadd.

        Returns
        -------
        table
            Pixels whose mask is not 0, or that are not finite, have the inverse variance 0. Arms
            that the file lacks are null. Redshift and error are null where ``ZWARN`` is not 0.

        Raises
        ------
        DataError
            As `index` does, and where the file has no such row.
        """
        with open_fits(self._name, file.path) as opened:
            coadd = _Coadd.of(opened, self._redshifts(file.path))
            return coadd.read(np.asarray(rows, np.int64), self.schema())[0]

    def _redshifts(self, path: Path) -> dict[str, np.ndarray] | None:
        """Return the redshifts of a coadd, sorted by target; None where there is no file."""
        beside = redrock_path(path)
        if beside is None or not beside.exists():
            return None
        with open_fits(self._name, beside) as opened:
            names = ("TARGETID", "Z", "ZERR", "ZWARN", "SPECTYPE")
            found = opened.columns(opened.hdu("REDSHIFTS"), names)
            _check_ids(opened, found["TARGETID"])
            order = np.argsort(found["TARGETID"], kind="stable")
            found = {name: values[order] for name, values in found.items()}
            twice = found["TARGETID"][1:][np.diff(found["TARGETID"]) == 0]
            if np.any(twice >= 0):  # ids of fibres without a target are negative
                got = f"TARGETID {twice[twice >= 0][0]} twice"
                raise opened.error("a table with one redshift per target", got)
            return found


@dataclass(frozen=True)
class _Coadd:
    """An open coadd.

    Attributes
    ----------
    file : FitsFile
        The file.
    fibres : dict
        Columns of the fibermap.
    redshifts : dict, optional
        Columns of the redshifts, sorted by ``TARGETID``.
    arms : dict
        The images of flux, inverse variance and mask (None where there is none), by arm.
    """

    file: FitsFile
    fibres: dict[str, np.ndarray]
    redshifts: dict[str, np.ndarray] | None
    arms: dict[str, tuple[Any, Any, Any]]

    @classmethod
    def of(cls, file: FitsFile, redshifts: dict[str, np.ndarray] | None) -> _Coadd:
        """Return the coadd of a file after a check of its parts."""
        fibres = file.columns(file.hdu("FIBERMAP"), _NEEDED, _OPTIONAL)
        _check_ids(file, fibres["TARGETID"])
        own = [arm for arm in _ARMS if any(f"{arm.upper()}_{p}" in file.names for p in _IMAGES)]
        if not own:
            file.hdu(*(f"{arm.upper()}_FLUX" for arm in _ARMS))
        arms = {}
        for arm in own:
            _check_wavelengths(file, arm)
            flux, ivar = (file.hdu(f"{arm.upper()}_{part}") for part in ("FLUX", "IVAR"))
            mask = f"{arm.upper()}_MASK"
            arms[arm] = (flux, ivar, file.hdu(mask) if mask in file.names else None)
            shape = (len(fibres["TARGETID"]), _ARMS[arm].length)
            for image in arms[arm]:
                if image is not None and image.shape != shape:
                    must = f"a coadd with {shape[0]} fibres of {shape[1]} pixels in {image.name}"
                    raise file.error(must, f"an image of {image.shape}")
        return cls(file, fibres, redshifts, arms)

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield the rows of all fibres, a block at a time."""
        n = len(self.fibres["TARGETID"])
        for first in range(0, n, _ROWS):
            yield np.arange(first, min(first + _ROWS, n))

    def rank(self) -> np.ndarray:
        """Return how good each spectrum is, float64 (n,)."""
        targets = self.fibres["TARGETID"]
        if "SCORES" in self.file.names:
            scores = self.file.columns(self.file.hdu("SCORES"), (), ("TARGETID", "TSNR2_LRG"))
            if len(scores) == 2:
                order = np.argsort(scores["TARGETID"], kind="stable")
                at, found = _places(targets, scores["TARGETID"][order])
                rank = scores["TSNR2_LRG"][order][at].astype(np.float64)
                return np.where(found & np.isfinite(rank), rank, 0.0)
        rank = self.fibres.get("COADD_EXPTIME", np.zeros(len(targets))).astype(np.float64)
        return np.where(np.isfinite(rank), rank, 0.0)

    def read(self, rows: np.ndarray, schema: pa.Schema) -> tuple[pa.Table, np.ndarray]:
        """Return the columns of some fibres, and which of them have a good pixel, bool (k,)."""
        n = len(self.fibres["TARGETID"])
        if len(rows) and not (rows[0] >= 0 and rows[-1] < n):
            raise self.file.error(f"a coadd with a row {rows[-1]}", f"{n} rows")
        live = np.zeros(len(rows), bool)
        columns: dict[str, pa.Array] = {"desi_TARGETID": pa.array(self.fibres["TARGETID"][rows])}
        for arm, (flux_image, ivar_image, mask_image) in self.arms.items():
            flux, ivar = _rows_of(flux_image, rows), _rows_of(ivar_image, rows)
            good = np.isfinite(flux) & np.isfinite(ivar) & (ivar > 0)
            if mask_image is not None:
                good &= _rows_of(mask_image, rows) == 0
            wave = np.broadcast_to(_ARMS[arm].points(), flux.shape)
            live |= good.any(axis=1)
            values = {"wave": wave, "flux": flux, "ivar": np.where(good, ivar, 0)}
            columns |= {f"desi_{p}_{arm}": lists(v, _PIXELS) for p, v in values.items()}
        columns |= self._redshift_columns(rows)
        empty = (columns.get(f.name, pa.nulls(len(rows), f.type)) for f in schema)
        return pa.table(list(empty), schema=schema), live

    def _redshift_columns(self, rows: np.ndarray) -> dict[str, pa.Array]:
        """Return the redshifts of some fibres, which are null where there is none."""
        if self.redshifts is None:
            return {}
        z = self.redshifts
        targets = self.fibres["TARGETID"][rows]
        at, found = _places(targets, z["TARGETID"])
        if not len(z["TARGETID"]):
            return {}
        sure = found & (z["ZWARN"][at] == 0)
        return {
            "desi_z": finite(np.where(sure, z["Z"][at], np.nan)),
            "desi_zerr": finite(np.where(sure, z["ZERR"][at], np.nan)),
            "desi_zwarn": pa.array(z["ZWARN"][at].astype(np.int64), mask=~found),
            "desi_spectype": pa.array(z["SPECTYPE"][at].tolist(), pa.string(), mask=~found),
        }


def _places(wanted: np.ndarray, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where ids stand among ascending ones, int64, and whether they do, bool."""
    at = np.minimum(np.searchsorted(ids, wanted), max(len(ids) - 1, 0))
    return at, (ids[at] == wanted) if len(ids) else np.zeros(len(wanted), bool)


def _check_ids(file: FitsFile, ids: np.ndarray) -> None:
    """Raise `DataError` where ids are no integers, as those that were rounded are."""
    if ids.dtype.kind != "i":
        raise file.error("a table with integers of 64 bits in TARGETID", f"{ids.dtype}")


def _check_wavelengths(file: FitsFile, arm: str) -> None:
    """Raise `DataError` where an arm's wavelengths are not those of its grid."""
    wave, grid = file.hdu(f"{arm.upper()}_WAVELENGTH").data, _ARMS[arm].points()
    off = np.inf if np.shape(wave) != grid.shape else np.abs(wave - grid).max()
    if not off < _TOLERANCE:
        must = f"a coadd with {len(grid)} wavelengths from {grid[0]:g} to {grid[-1]:g} Angstrom in "
        got = f"{np.size(wave)}" + (f" from {wave[0]:g} to {wave[-1]:g}" if np.size(wave) else "")
        raise file.error(f"{must}{arm.upper()}_WAVELENGTH", got)


def _rows_of(image: Any, rows: np.ndarray) -> np.ndarray:
    """Return some ascending rows of an image (k, L); only these are read."""
    runs = np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1) if len(rows) else []
    parts = [np.asarray(image.section[int(run[0]) : int(run[-1]) + 1]) for run in runs]
    return np.concatenate(parts) if parts else np.empty((0, image.shape[1]), np.float32)


def _motion(fibres: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return proper motions (mas / yr) and their epochs; NaN for those of 0, which are unknown."""
    if not {"PMRA", "PMDEC", "REF_EPOCH"} <= fibres.keys():
        return {}
    pmra, pmdec, epoch = (fibres[c].astype(np.float64) for c in ("PMRA", "PMDEC", "REF_EPOCH"))
    known = np.isfinite(pmra * pmdec) & ((pmra != 0) | (pmdec != 0)) & (epoch > 0)
    values = {"epoch": epoch, "pmra": pmra, "pmdec": pmdec}
    return {name: np.where(known, value, np.nan) for name, value in values.items()}


def _reasons(fibres: dict[str, np.ndarray], live: np.ndarray) -> list[str | None]:
    """Return why fibres are not used; None for those that are."""
    placed = np.isfinite(fibres["TARGET_RA"]) & np.isfinite(fibres["TARGET_DEC"])
    cases = [
        ((fibres["OBJTYPE"] != "TGT") | (fibres["TARGETID"] < 0), "sky fibre"),
        (fibres["COADD_FIBERSTATUS"] != 0, "bad fibre"),
        (~placed, "no position"),
        (~live, "no flux"),
    ]
    chosen = np.select([case for case, _ in cases], range(1, len(cases) + 1), 0)
    return [cases[k - 1][1] if k else None for k in chosen.tolist()]
