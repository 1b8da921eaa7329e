"""Image cutouts of one field, read a slice of rows at a time, and masks of their sources."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from astromodal.config.schema import ImageSettings
from astromodal.data.columns import cutout_column
from astromodal.data.cube import Cube
from astromodal.data.parquet import flatten, list_lengths

_SMALLEST_SEMI_AXIS = 4.0  # pixel: the core of a point source under the best seeing, 1.1 arcsec
_UNKNOWN_RADIUS = 8.0  # pixel: contains 95 % of a star's light under median seeing


def middle_of(size: int) -> int:
    """Return the pixel, of rows and of columns, that a cutout of `size` pixels is cut around.

    The source stands somewhere within it. S-PLUS stamps of 96 pixels are cut around pixel 48.
    """
    return size // 2


@dataclass(frozen=True)
class CutoutBatch:
    """Whole cutouts of a slice of rows.

    Attributes
    ----------
    row : int32 (m,)
        Rows in the cube, ascending.
    pixels : float32 (m, B, S, S)
        counts/s of each band; 0 where `valid` is False.
    valid : bool (m, B, S, S)
        False in a band that the source lacks, and at a pixel that is exactly 0 or not finite.
    """

    row: np.ndarray
    pixels: np.ndarray
    valid: np.ndarray


@dataclass
class CutoutCounts:
    """Numbers of rows with cutouts.

    Attributes
    ----------
    n_whole : int
        Rows whose present bands all have the right number of pixels, at least one of them valid.
    n_short : int
        Rows with a band of another number of pixels: the edge of an image cut it off, and its
        shape cannot be recovered.
    n_blank : int
        Rows whose present bands have the right number of pixels, none of them valid.
    bands : dict of str to int
        Whole cutouts that have this band.
    """

    n_whole: int = 0
    n_short: int = 0
    n_blank: int = 0
    bands: dict[str, int] = field(default_factory=dict)

    def add(self, part: CutoutSlice) -> None:
        """Count the rows of one slice."""
        self.n_whole += int(part.whole.sum())
        self.n_short += int(part.short.sum())
        self.n_blank += int(part.blank.sum())
        for band, has in part.present.items():
            self.bands[band] = self.bands.get(band, 0) + int((has & part.whole).sum())


@dataclass(frozen=True)
class CutoutSlice:
    """A slice of rows, and which of them have cutouts of which kind.

    Attributes
    ----------
    start : int
        Number of the first row.
    table : pyarrow.RecordBatch
        The columns of cutouts that the cube has.
    whole, short, blank : bool (m,)
        The rows that `CutoutCounts` counts.
    present : dict of str to bool (m,)
        By band, the rows with a list.
    """

    start: int
    table: pa.RecordBatch
    whole: np.ndarray
    short: np.ndarray
    blank: np.ndarray
    present: dict[str, np.ndarray]


def count_cutouts(cube: Cube, settings: ImageSettings) -> dict[str, Any]:
    """Count a cube's cutouts.

    Returns
    -------
    dict
        The attributes of `CutoutCounts`, as plain values.

    Raises
    ------
    DataError
        Where a column of cutouts holds no lists of numbers.
    """
    counts = CutoutCounts(bands=dict.fromkeys(settings.bands, 0))
    for part in cutout_slices(cube, settings):
        counts.add(part)
    return vars(counts)


def read_cutouts(
    cube: Cube,
    settings: ImageSettings,
    rows: int = 64,
    keep: np.ndarray | None = None,
    counts: CutoutCounts | None = None,
) -> Iterator[CutoutBatch]:
    """Stream the whole cutouts of a cube, in row order; short and blank ones are left out.

    Parameters
    ----------
    cube : Cube
        The field's datacube; it may lack some or all columns of cutouts.
    settings : ImageSettings
        Bands, in channel order, and the side of a cutout.
    rows : int
        Rows of the cube that are read at a time (28 MB for 64 rows of the survey's cutouts).
    keep : bool (n,), optional
        Rows of the cube to return; None for all.
    counts : CutoutCounts, optional
        It counts every row of the cube, whatever `keep` says, so that counting needs no second
        pass.

    Yields
    ------
    CutoutBatch
        At least one cutout.

    Raises
    ------
    DataError
        Where a column of cutouts holds no lists of numbers.
    """
    needed = keep if counts is None else None
    for part in cutout_slices(cube, settings, rows, needed):
        if counts is not None:
            counts.add(part)
        wanted = part.whole
        if keep is not None:
            wanted = wanted & keep[part.start : part.start + len(wanted)]
        if wanted.any():
            row = (part.start + np.flatnonzero(wanted)).astype(np.int32)
            yield CutoutBatch(row, *_pixels(part.table, settings, wanted))


def elliptical_mask(
    a_pixel: np.ndarray,
    b_pixel: np.ndarray,
    theta_deg: np.ndarray,
    size: int,
    scale: float = 3.0,
) -> np.ndarray:
    """Return the pixels that belong to the source in the middle of a cutout.

    Parameters
    ----------
    a_pixel, b_pixel : float (m,)
        Semi-axes (pixel): the second moments of the light. The semi-axes of the mask are at least
        4 pixel. Where one is not finite or not positive, the mask is a circle of 8 pixel.
    theta_deg : float (m,)
        Angle from the x axis (columns) to the y axis (rows), degree; 0 where it is not finite.
    size : int
        Side of the cutout (pixel); the mask is around `middle_of`.
    scale : float
        Semi-axes of the mask in units of the source's: at 3, the mask contains 99 % of the light
        of a Gaussian.

    Returns
    -------
    bool (m, S, S)
    """
    known = np.isfinite(a_pixel) & np.isfinite(b_pixel) & (a_pixel > 0) & (b_pixel > 0)
    a = np.where(known, np.maximum(scale * a_pixel, _SMALLEST_SEMI_AXIS), _UNKNOWN_RADIUS)
    b = np.where(known, np.maximum(scale * b_pixel, _SMALLEST_SEMI_AXIS), _UNKNOWN_RADIUS)
    theta = np.deg2rad(np.where(np.isfinite(theta_deg), theta_deg, 0.0))
    offset = np.arange(size) - middle_of(size)
    x, y = offset[None, None, :], offset[None, :, None]
    cosine, sine = np.cos(theta)[:, None, None], np.sin(theta)[:, None, None]
    along, across = x * cosine + y * sine, y * cosine - x * sine  # (m, S, S)
    return (along / a[:, None, None]) ** 2 + (across / b[:, None, None]) ** 2 <= 1


def cutout_slices(
    cube: Cube, settings: ImageSettings, rows: int = 64, keep: np.ndarray | None = None
) -> Iterator[CutoutSlice]:
    """Stream the columns of cutouts as they are, in row order; parameters of `read_cutouts`.

    Raises
    ------
    DataError
        Where a column of cutouts holds no lists of numbers.
    """
    bands = [band for band in settings.bands if cutout_column(band) in cube.columns]
    columns = [cutout_column(band) for band in bands]
    for name in columns:
        cube.require_lists(name)
    if not columns:
        return
    for part in cube.slices(columns, rows, keep):
        lists = {band: _lengths(part.table.column(cutout_column(band))) for band in bands}
        present = {band: valid for band, (_, valid) in lists.items()}
        some = np.logical_or.reduce(list(present.values()))
        wrong = [valid & (counts != settings.size**2) for counts, valid in lists.values()]
        short = np.logical_or.reduce(wrong)
        whole = some & ~short
        blank = _blank(part.table, whole)
        yield CutoutSlice(part.start, part.table, whole & ~blank, short, blank, present)


def _blank(table: pa.RecordBatch, whole: np.ndarray) -> np.ndarray:
    """Return which of the whole cutouts have no valid pixel, bool (m,)."""
    blank = whole.copy()
    for column in table.columns:
        if not blank.any():
            break
        values, counts, has = flatten(column)
        starts, rows = np.cumsum(counts) - counts, np.flatnonzero(blank & has)
        # The first pixel of nearly every cutout is valid: few lists are read to their end.
        blank[rows] = ~valid_pixels(values[starts[rows]])
        for row in rows[blank[rows]]:
            blank[row] = not valid_pixels(values[starts[row] : starts[row] + counts[row]]).any()
    return blank


def valid_pixels(pixels: np.ndarray) -> np.ndarray:
    """Return which pixels were measured: finite, and not exactly 0."""
    return np.isfinite(pixels) & (pixels != 0)


def _lengths(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Return the lengths of the lists, and which are not null; a column of nulls has none."""
    if pa.types.is_null(column.type):
        return np.zeros(len(column), np.int64), np.zeros(len(column), bool)
    return list_lengths(column)


def _pixels(
    table: pa.RecordBatch, settings: ImageSettings, wanted: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels, float32, and their validity, bool, (m, B, S, S) each, of some rows."""
    side = settings.size
    pixels = np.zeros((int(wanted.sum()), len(settings.bands), side, side), np.float32)
    names = set(table.schema.names)
    for channel, band in enumerate(settings.bands):
        if cutout_column(band) in names:
            values, counts, has = flatten(table.column(cutout_column(band)))
            if not wanted[has].all():
                values = values[np.repeat(wanted, counts)]  # wanted rows have whole lists or none
            pixels[has[wanted], channel] = values.reshape(-1, side, side)
    valid = valid_pixels(pixels)
    pixels[~valid] = 0
    return pixels, valid
