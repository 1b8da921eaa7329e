"""The split of the rows into training, validation and test, by HEALPix cell.

Neighbours share a PSF, a sky level and often a cluster, so that a split by object would leak from
training to test. The split of a cell depends on its number and the seed alone: a new field does
not change the split of another one.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from astromodal.config.schema import SelectionSettings, SplitSettings
from astromodal.data.columns import NAME_CUT
from astromodal.data.cube import Cube
from astromodal.storage.arrays import load_arrays, save_arrays

TRAIN, VALIDATION, TEST = 0, 1, 2
SPLIT_NAMES = ("train", "validation", "test")
NO_CELL = -1
"""HEALPix index of a row without a position. Its id decides on its split."""

_FORMAT: dict[str, Any] = {"format": "split", "version": 1}


@dataclass(frozen=True)
class Split:
    """Split and selection of every row of one cube, in row order.

    Attributes
    ----------
    ids : unicode (n,)
        Identifiers.
    healpix : int64 (n,)
        HEALPix cells, NESTED; `NO_CELL` without a position.
    split : uint8 (n,)
        `TRAIN`, `VALIDATION` or `TEST`.
    selected : bool (n,)
        Whether the row passes the magnitude cut.
    """

    ids: np.ndarray
    healpix: np.ndarray
    split: np.ndarray
    selected: np.ndarray

    def fit_rows(self) -> np.ndarray:
        """Return the rows that tokenizers are fitted on, bool (n,): selected training rows."""
        return self.selected & (self.split == TRAIN)

    def save(self, path: str | Path) -> None:
        """Write an array file."""
        save_arrays(path, vars(self), **_FORMAT)


def load_split(path: str | Path) -> Split:
    """Read what `Split.save` wrote."""
    return Split(**load_arrays(path, **_FORMAT).arrays)


def split_field(cube: Cube, split: SplitSettings, selection: SelectionSettings) -> Split:
    """Compute the HEALPix cell, the split and the selection of every row of a cube."""
    ids = cube.ids()
    position = cube.scalars([cube.settings.ra, cube.settings.dec])
    cells = healpix_cells(position[:, 0], position[:, 1], split.nside)
    return Split(ids, cells, assign(cells, ids, split), select(cube, selection))


def healpix_cells(ra: np.ndarray, dec: np.ndarray, nside: int) -> np.ndarray:
    """Return the HEALPix cells of some positions.

    Parameters
    ----------
    ra, dec : float (n,)
        ICRS positions (degree); NaN where missing. Right ascensions wrap at 360.
    nside : int
        Side of a base cell, in cells.

    Returns
    -------
    int64 (n,)
        Cells in NESTED order; `NO_CELL` where a coordinate is NaN, or a declination lies beyond
        the poles.
    """
    import astropy.units as u  # here: most jobs only load a split, and astropy takes a second
    from astropy_healpix import HEALPix

    known = has_position(ra, dec)
    cells = np.full(ra.shape, NO_CELL, dtype=np.int64)
    grid = HEALPix(nside=nside, order="nested")
    cells[known] = grid.lonlat_to_healpix((ra[known] % 360) * u.deg, dec[known] * u.deg)
    return cells


def has_position(ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    """Return which coordinates (degree) are known, and a place on the sky, bool (n,)."""
    return np.isfinite(ra) & np.isfinite(dec) & (np.abs(dec) <= 90)


def assign(cells: np.ndarray, ids: np.ndarray, settings: SplitSettings) -> np.ndarray:
    """Draw the split of each cell, uint8 (n,); the split of a row without a cell, by its id."""
    drawn = np.empty(len(cells), dtype=np.float64)
    unique, inverse = np.unique(cells, return_inverse=True)
    drawn[:] = np.array([_uniform(settings.seed, str(cell)) for cell in unique.tolist()] or [0.0])[
        inverse
    ]
    for row in np.flatnonzero(cells == NO_CELL):
        drawn[row] = _uniform(settings.seed, f"id {ids[row]}")
    split = np.full(len(cells), TRAIN, dtype=np.uint8)
    split[drawn < settings.validation + settings.test] = TEST
    split[drawn < settings.validation] = VALIDATION
    return split


def _uniform(seed: int, name: str) -> float:
    """Return a number in [0, 1) that depends on the seed and the name alone, on any machine."""
    digest = hashlib.sha256(f"{seed} {name}".encode()).digest()
    return int.from_bytes(digest[:7], "big") / 2**56


def select(cube: Cube, settings: SelectionSettings) -> np.ndarray:
    """Apply the magnitude cut.

    Returns
    -------
    bool (n,)
        True where the magnitude lies in [minimum, maximum]; False where it is missing. All rows
        are selected where `settings.column` is None.

    Raises
    ------
    DataError
        Where the cube has no such column.
    """
    if settings.column is None:
        return np.ones(cube.n_rows, dtype=bool)
    cube.require(settings.column, NAME_CUT)
    magnitude = cube.scalar(settings.column)
    return (magnitude >= settings.minimum) & (magnitude <= settings.maximum)


def count_cut(cube: Cube, settings: SelectionSettings) -> dict[str, int]:
    """Count the rows that are not selected, by reason.

    Returns
    -------
    dict
        Numbers of rows without a magnitude (``missing``), and of rows that are too bright
        (``brighter``) or too faint (``fainter``); all 0 where `settings.column` is None.

    Raises
    ------
    DataError
        Where the cube has no such column.
    """
    if settings.column is None:
        return {"missing": 0, "brighter": 0, "fainter": 0}
    cube.require(settings.column, NAME_CUT)
    magnitude = cube.scalar(settings.column)
    return {
        "missing": int(np.isnan(magnitude).sum()),
        "brighter": int((magnitude < settings.minimum).sum()),
        "fainter": int((magnitude > settings.maximum).sum()),
    }


def mean_direction(ra: np.ndarray, dec: np.ndarray) -> tuple[float, float]:
    """Return the mean of directions, also where they straddle RA 0.

    Parameters
    ----------
    ra, dec : float (n,)
        Directions (degree).

    Returns
    -------
    tuple of float
        Right ascension in [0, 360) and declination (degree).
    """
    a, d = np.deg2rad(ra), np.deg2rad(dec)
    x, y, z = np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)
    mean = np.array([x.mean(), y.mean(), z.mean()])
    return (
        float(np.rad2deg(np.arctan2(mean[1], mean[0])) % 360),
        float(np.rad2deg(np.arctan2(mean[2], np.hypot(mean[0], mean[1])))),
    )
