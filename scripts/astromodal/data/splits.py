"""Train, validation and test objects, divided by HEALPix cell.

Neighbours share a PSF, a sky level and often a cluster; a split by object would leak them. A cell's
split depends on its number and the seed alone, so a new field changes no other field's split.
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
"""HEALPix index of a row without a position; its id decides on its split."""

_FORMAT: dict[str, Any] = {"format": "split", "version": 1}


@dataclass(frozen=True)
class Split:
    """Every row of one cube, in row order: id, HEALPix cell, split, and whether it is selected."""

    ids: np.ndarray  # (n,) unicode
    healpix: np.ndarray  # (n,) int64, NESTED; NO_CELL without a position
    split: np.ndarray  # (n,) uint8: TRAIN, VALIDATION or TEST
    selected: np.ndarray  # (n,) bool

    def fit_rows(self) -> np.ndarray:
        """Rows that tokenizers may be fitted on, bool (n,): selected, in the training split."""
        return self.selected & (self.split == TRAIN)

    def save(self, path: str | Path) -> None:
        """Write an array file."""
        save_arrays(path, vars(self), **_FORMAT)


def load_split(path: str | Path) -> Split:
    """Read what `Split.save` wrote."""
    return Split(**load_arrays(path, **_FORMAT).arrays)


def split_field(cube: Cube, split: SplitSettings, selection: SelectionSettings) -> Split:
    """Assign every row of a cube its HEALPix cell and its split."""
    ids = cube.ids()
    position = cube.scalars([cube.settings.ra, cube.settings.dec])
    cells = healpix_cells(position[:, 0], position[:, 1], split.nside)
    return Split(ids, cells, assign(cells, ids, split), select(cube, selection))


def healpix_cells(ra: np.ndarray, dec: np.ndarray, nside: int) -> np.ndarray:
    """HEALPix cells (NESTED, ICRS) of positions in degrees, int64 (n,); NO_CELL where NaN.

    Right ascensions wrap; a declination beyond the poles counts as no position.
    """
    import astropy.units as u  # here: most jobs only load a split, and astropy takes a second
    from astropy_healpix import HEALPix

    known = np.isfinite(ra) & np.isfinite(dec) & (np.abs(dec) <= 90)
    cells = np.full(ra.shape, NO_CELL, dtype=np.int64)
    grid = HEALPix(nside=nside, order="nested")
    cells[known] = grid.lonlat_to_healpix((ra[known] % 360) * u.deg, dec[known] * u.deg)
    return cells


def assign(cells: np.ndarray, ids: np.ndarray, settings: SplitSettings) -> np.ndarray:
    """Draw the split of each cell, uint8 (n,); rows without a cell are drawn by their id."""
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
    """A number in [0, 1) that depends on the seed and the name alone, on any machine."""
    digest = hashlib.sha256(f"{seed} {name}".encode()).digest()
    return int.from_bytes(digest[:7], "big") / 2**56


def select(cube: Cube, settings: SelectionSettings) -> np.ndarray:
    """Apply the magnitude cut.

    Returns
    -------
    bool (n,)
        True where the magnitude lies in [minimum, maximum]; a missing magnitude does not.
        Everything is selected where the cut's column is null in the config.

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
    """Why rows are not selected.

    Returns
    -------
    dict
        Rows that have no magnitude (``missing``), and rows outside the cut at its bright and its
        faint end (``brighter``, ``fainter``); all 0 where the cut's column is null.

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
