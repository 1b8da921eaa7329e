"""One FITS image of a part of the sky: positions of sources, and strips of rows of pixels."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from astropy.coordinates import ICRS, SkyCoord
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning
from astropy.wcs import WCS, NoConvergence
from astropy.wcs.utils import pixel_to_skycoord, skycoord_to_pixel, wcs_to_celestial_frame

from astromodal.errors import DataError, machine_error
from astromodal.sources.base import damaged

_PIECE: Final = 2**23
"""Pixels that are read at a time: 32 MB as float32, or as many as a cutout needs."""
_KEPT: Final = 2**22
"""Pixels that are kept for the next sources: 16 MB, some 440 rows of 9,500."""
_NEAR: Final = 1e-3
"""Distance from half a pixel (pixel) below which a source's position is computed alone."""
_WIDE: Final = math.radians(30)
"""Radius from which on an image is taken to cover the whole sky."""


class SkyImage:
    """One image of a FITS file.

    Attributes
    ----------
    path : Path
        The file.
    shape : tuple of int
        Numbers of rows and columns.
    centre : float64 (3,)
        Unit vector to the image's centre (ICRS).
    radius : float
        Length of a chord of the unit sphere from there; every pixel is nearer.
    """

    def __init__(self, source: str, path: Path) -> None:
        self._source = source
        self.path = path
        self._stream: BinaryIO | None = None
        self._hdus: fits.HDUList | None = None
        self._number = -1  # not found yet
        self.open()

    def open(self) -> None:
        """Open the file, if it is not open."""
        if self._hdus is not None:
            return
        try:
            with self._reading("a FITS image"):
                self._stream = self.path.open("rb")  # astropy leaves it open after an error
                self._hdus = _opened(self._stream)
                if self._number < 0:
                    self._find(self._hdus)
        except BaseException:
            self.close()
            raise
        self._kept = (0, np.empty((0, self.shape[1]), np.float32))

    def close(self) -> None:
        """Close the file, and forget its pixels."""
        if self._hdus is not None:
            self._hdus.close()
        if self._stream is not None:
            self._stream.close()
        self._hdus = self._stream = None
        self._kept = (0, np.empty((0, 0), np.float32))

    def _find(self, hdus: fits.HDUList) -> None:
        """Find the first image of a plane of the sky; set its shape, coordinates and position."""
        seen = []
        for number, hdu in enumerate(hdus):
            if not hdu.is_image or not hdu.shape:
                continue
            seen.append(f"HDU {number} of shape {hdu.shape}")
            if len(hdu.shape) < 2 or math.prod(hdu.shape[:-2]) != 1 or 0 in hdu.shape:
                continue
            wcs = WCS(hdu.header, fobj=hdus, naxis=2)
            if wcs.has_celestial and wcs.wcs.lngtyp.strip() == "RA":
                self._number, self._wcs, self.shape = number, wcs, tuple(hdu.shape[-2:])
                height = hdu.tile_shape[-2] if isinstance(hdu, fits.CompImageHDU) else 1
                self._tile = height if height * self.shape[1] <= _KEPT else 1
                self._swapped = wcs.wcs.lng > wcs.wcs.lat
                self._alone = wcs.has_distortion or not isinstance(
                    wcs_to_celestial_frame(wcs), ICRS
                )
                self._place()
                return
        must = "a FITS file with an image of two axes and a WCS of right ascension and declination"
        raise self._damaged(must, ", ".join(seen) or "no image")

    def _place(self) -> None:
        """Set the circle on the sky that the image lies in."""
        edge = np.linspace(0, 1, 9)
        zero, one = np.zeros(9), np.ones(9)
        y = np.concatenate([[0.5], edge, edge, zero, one]) * self.shape[0] - 0.5
        x = np.concatenate([[0.5], zero, one, edge, edge]) * self.shape[1] - 0.5
        sky = pixel_to_skycoord(*((y, x) if self._swapped else (x, y)), self._wcs).icrs
        vectors = sky.cartesian.xyz.value.T
        radius = float(sky[0].separation(sky[1:]).rad.max())
        wide = not radius * 1.05 < _WIDE or not np.isfinite(vectors).all()
        self.radius = 3.0 if wide else 2 * math.sin(radius * 1.05 / 2)  # no chord is longer than 2
        self.centre = np.array([1.0, 0, 0]) if wide else vectors[0]

    def positions(self, sky: SkyCoord) -> np.ndarray:
        """Return the positions (y, x) of sources (pixel); NaN where the image has none.

        Inverting distortions takes as many steps as the slowest of the sources needs. Near half a
        pixel, where that may change the cutout, a source's position is computed alone.
        """
        found = self._solved(sky)
        if self._alone and len(sky) > 1:
            close = np.abs(2 * found - np.rint(2 * found)).min(axis=1) < 2 * _NEAR
            for row in np.flatnonzero(close):
                found[row] = self._solved(sky[row : row + 1])
        return found

    def _solved(self, sky: SkyCoord) -> np.ndarray:
        """Return positions (y, x) of sources that are computed together."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of sources that all have no position
            try:
                x, y = skycoord_to_pixel(sky, self._wcs)
            except NoConvergence as error:
                x, y = error.best_solution.T
                for failed in (error.divergent, error.slow_conv):
                    if failed is not None:
                        x[failed] = np.nan
        # astropy returns the axis of right ascension first
        return np.stack((x, y) if self._swapped else (y, x), axis=1)

    def cut(self, pixels: np.ndarray, corners: np.ndarray, index: np.ndarray) -> int:
        """Write cutouts of some sources.

        Parameters
        ----------
        pixels : float32 (n, size, size)
            Where the cutouts are written.
        corners : int64 (n, 2)
            Row and column of the image that each cutout begins with; negative ones are outside.
        index : int64 (m,)
            Which of the n are cut.

        Returns
        -------
        int
            How many of them reach beyond the edge of the image.
        """
        (height, width), size, partial = self.shape, pixels.shape[-1], 0
        index = index[np.argsort(corners[index, 0], kind="stable")]
        top = corners[index, 0]
        most = max(_PIECE // width, size)
        first = 0
        while first < len(index):
            last = int(np.searchsorted(top, top[first] + most - size, side="right"))
            low, high = max(int(top[first]), 0), min(int(top[last - 1]) + size, height)
            start, rows = self._rows(low, high)
            for k in index[first:last]:
                y, x = (int(corner) for corner in corners[k])
                ys, xs = max(y, 0), max(x, 0)
                ye, xe = min(y + size, height), min(x + size, width)
                if (ye - ys, xe - xs) != (size, size):
                    partial += 1
                    pixels[k] = np.nan
                pixels[k, ys - y : ye - y, xs - x : xe - x] = rows[ys - start : ye - start, xs:xe]
            first = last
        return partial

    def _rows(self, low: int, high: int) -> tuple[int, np.ndarray]:
        """Return rows of pixels, from `low` or a little before it up to `high` or beyond it.

        Returns
        -------
        int
            Number of the first row.
        float32 (rows, width)
            The pixels.
        """
        low -= low % self._tile  # a tile is decompressed as a whole
        high = min(-(-high // self._tile) * self._tile, self.shape[0])
        start, kept = self._kept
        a, b = max(low, start), min(high, start + len(kept))
        if a < b:
            parts = (self._read(low, a), kept[a - start : b - start], self._read(b, high))
            rows = np.concatenate(parts)
        else:
            rows = self._read(low, high)
        keep = min(len(rows), _KEPT // self.shape[1])
        self._kept = (high - keep, rows[len(rows) - keep :].copy())
        return low, rows

    def _read(self, low: int, high: int) -> np.ndarray:
        """Read rows of pixels from the file."""
        if low == high or self._hdus is None:
            return np.empty((0, self.shape[1]), np.float32)
        with self._reading(f"readable in rows {low} to {high - 1}"), np.errstate(over="ignore"):
            hdu = self._hdus[self._number]
            section = hdu.section[(0,) * (len(hdu.shape) - 2) + (slice(low, high), slice(None))]
            pixels = np.asarray(section, np.float32)
            if pixels.shape != (high - low, self.shape[1]):
                raise ValueError(f"an array of shape {pixels.shape}")
        return pixels

    @contextmanager
    def _reading(self, must: str) -> Iterator[None]:
        """Turn errors of astropy, which are of all types, into a `DataError` that names the file.

        Raises
        ------
        MachineError
            If the disk, the memory or a limit of the system is the reason.
        """
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", AstropyWarning)
                yield
        except DataError:
            raise
        except Exception as error:
            if explained := machine_error(error, self.path):
                raise explained from error
            got = str(error).partition("\n")[0] or type(error).__name__
            raise self._damaged(must, got) from error

    def _damaged(self, must: str, got: str) -> DataError:
        return damaged(self._source, self.path, must, got)


def _opened(stream: BinaryIO) -> fits.HDUList:
    """Open a FITS file, and read the headers of all of its HDUs.

    Raises
    ------
    OSError
        If astropy warns that the file is truncated, or that an HDU is no HDU.
    """
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always", AstropyWarning)
        hdus = fits.open(stream, memmap=False, uint=False, lazy_load_hdus=False)
    for warning in found:
        message = str(warning.message)
        if "truncated" in message or "corrupted" in message:
            raise OSError(message)
    return hdus
