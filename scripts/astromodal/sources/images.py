"""Cutouts of sources from the FITS images of a field.

A field has any number of images per band: one of the whole field, several that overlap, or many
small ones. They may be uncompressed, or compressed tile by tile (``.fits.fz``). Only the rows of
pixels that a block of sources needs are in memory, and those that the next block may need too.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Final

import numpy as np
import pyarrow as pa
from astropy.coordinates import SkyCoord
from scipy.spatial import KDTree

from astromodal.config.sources import SourceSettings
from astromodal.data.columns import cutout_column
from astromodal.data.provenance import BandCounts
from astromodal.sources.files import RawFile
from astromodal.sources.sky_image import SkyImage
from astromodal.storage.hashing import hash_file

_OPEN: Final = 32
"""Images that are open at a time."""


class ImageSource:
    """Cutouts from the images of one field.

    Pixels keep the values that the file states: FITS scaling (``BSCALE``, ``BZERO``) is applied, a
    calibration in flux is not. Pixels of S-PLUS images are counts/s. Values that the file marks as
    undefined (``BLANK``) are NaN.

    Parameters
    ----------
    name : str
        Name of the source in ``sources``.
    settings : SourceSettings
        The source. Its bands are the columns.
    files : sequence of RawFile
        Images of one field, in any order. Files of other bands are ignored.
    size : int
        Side of a cutout (pixel).

    Attributes
    ----------
    counts : dict of str to BandCounts
        Numbers of cutouts up to now, by band.

    Raises
    ------
    DataError
        If a file is no FITS file, is damaged or truncated, or holds no image whose header has
        celestial coordinates.
    """

    def __init__(
        self, name: str, settings: SourceSettings, files: Sequence[RawFile], size: int
    ) -> None:
        self._size = size
        self._images: dict[str, list[SkyImage]] = {band: [] for band in settings.bands}
        self._open: dict[SkyImage, None] = {}  # the one used last is at the end
        self._digests: dict[str, str] = {}
        try:
            for file in sorted(files, key=lambda file: file.path):
                if file.band in self._images:
                    image = SkyImage(name, file.path)
                    self._images[file.band].append(image)
                    self._use(image)
        except BaseException:
            self.close()
            raise
        self.counts = {band: BandCounts(len(images)) for band, images in self._images.items()}

    def schema(self) -> pa.Schema:
        """Return the names and types of the columns of a cube: one list of pixels per band."""
        return pa.schema([(cutout_column(band), pa.list_(pa.float32())) for band in self._images])

    def cut(self, ra: np.ndarray, dec: np.ndarray, wanted: np.ndarray) -> list[pa.Array]:
        """Return the cutouts of a block of sources, one array per band of `schema`.

        A cutout has the pixels of ``astropy.nddata.Cutout2D`` in mode ``partial``. If several
        images of a band contain the source, it is cut from the one whose edges are farthest. Blocks
        are fast if their sources are sorted so that consecutive blocks need consecutive rows of
        pixels: by declination, where north is up.

        Parameters
        ----------
        ra, dec : float64 (n,)
            ICRS positions of the sources at the epoch of the images (degree).
        wanted : bool (n,)
            Which sources are cut; the others are null.

        Returns
        -------
        list of list<float32> array (n,)
            ``size ** 2`` pixels, row by row from the first row of the image; NaN beyond the edge of
            the image. Null where a source is not wanted, or outside every image of the band.

        Raises
        ------
        DataError
            If an image is damaged.
        """
        rows = np.flatnonzero(wanted & np.isfinite(ra) & (np.abs(dec) <= 90))
        sky = SkyCoord(ra[rows], dec[rows], unit="deg")
        return [self._cut(band, rows, sky, wanted) for band in self._images]

    def digests(self) -> dict[str, str]:
        """Return the hash of each image's bytes, by path; files are read once."""
        if not self._digests:
            every = (image.path for images in self._images.values() for image in images)
            self._digests = {str(path): hash_file(path) for path in every}
        return self._digests

    def close(self) -> None:
        """Close all images."""
        for image in self._open:
            image.close()
        self._open.clear()

    def __enter__(self) -> ImageSource:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _cut(self, band: str, rows: np.ndarray, sky: SkyCoord, wanted: np.ndarray) -> pa.Array:
        """Return the cutouts of a band; `rows` of the block are at the positions `sky`."""
        chosen, position = _choose(self._images[band], sky)
        inside = chosen >= 0
        corners = np.ceil(position[inside] - self._size / 2).astype(np.int64)  # as Cutout2D
        chosen, rows = chosen[inside], rows[inside]
        pixels = np.empty((len(rows), self._size, self._size), np.float32)
        counts = self.counts[band]
        for number in np.unique(chosen):
            image = self._images[band][number]
            self._use(image)
            counts.n_partial += image.cut(pixels, corners, np.flatnonzero(chosen == number))
        counts.n_cut += len(rows)
        counts.n_outside += int(wanted.sum()) - len(rows)
        return _lists(pixels, rows, len(wanted))

    def _use(self, image: SkyImage) -> None:
        """Open an image; close the one that was not used for longest if too many are open."""
        self._open.pop(image, None)
        self._open[image] = None
        image.open()
        if len(self._open) > _OPEN:
            oldest = next(iter(self._open))
            del self._open[oldest]
            oldest.close()


def _choose(images: Sequence[SkyImage], sky: SkyCoord) -> tuple[np.ndarray, np.ndarray]:
    """Return the number of the image that each source is cut from, and its position there.

    Returns
    -------
    int64 (n,)
        -1 for a source outside every image.
    float64 (n, 2)
        Position (y, x) (pixel; the centre of the first is 0).
    """
    chosen = np.full(len(sky), -1)
    position = np.full((len(sky), 2), np.nan)
    if not images or not len(sky):
        return chosen, position
    most = np.full(len(sky), -np.inf)
    tree = KDTree(sky.cartesian.xyz.value.T)
    centres, radii = np.stack([i.centre for i in images]), [i.radius for i in images]
    for number, near in enumerate(tree.query_ball_point(centres, radii, return_sorted=True)):
        if not near:
            continue
        index = np.array(near)
        found = images[number].positions(sky[index])
        low, high = found + 0.5, np.array(images[number].shape) - 0.5 - found
        margin = np.minimum(low, high).min(axis=1)  # NaN where the image has no such position
        better = (margin >= 0) & (margin > most[index])
        index = index[better]
        chosen[index], position[index], most[index] = number, found[better], margin[better]
    return chosen, position


def _lists(pixels: np.ndarray, rows: np.ndarray, n: int) -> pa.Array:
    """Return n lists of pixels; those that are not in `rows` are null."""
    null = np.ones(n, bool)
    null[rows] = False
    length = pixels.shape[1] * pixels.shape[2]
    ends = pa.array(np.concatenate([[0], np.cumsum(~null)]) * length).cast(pa.int32())
    values = pa.array(pixels.reshape(-1))
    return pa.ListArray.from_arrays(ends, values, mask=pa.array(null))
