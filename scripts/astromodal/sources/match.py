"""Cross-match of a source's objects with the rows of a cube, by position or by exact ids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord, offset_by, search_around_sky

_NONE: Final = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True)
class Positions:
    """Positions on the sky.

    Attributes
    ----------
    ra, dec : float64 (n,)
        ICRS position (degree).
    """

    ra: np.ndarray
    dec: np.ndarray

    def __len__(self) -> int:
        return len(self.ra)

    def moved(self, pmra: np.ndarray, pmdec: np.ndarray, years: np.ndarray) -> Positions:
        """Return the positions after a time of proper motion along great circles.

        Parallax and radial velocity are not known for most sources and are left out: over decades
        they change positions by less than an arcsecond for all but the nearest stars.

        Parameters
        ----------
        pmra, pmdec : float64 (n,)
            Proper motions (mas / yr), pmra with cos(dec).
        years : float64 (n,)
            Time (Julian year). A position stays where time or motion is not finite.
        """
        moves = np.isfinite(pmra * pmdec * years)
        angle = np.arctan2(pmra, pmdec)[moves] * u.rad
        distance = (np.hypot(pmra, pmdec) * years)[moves] * u.mas
        start = self.ra[moves] * u.deg, self.dec[moves] * u.deg
        new_ra, new_dec = offset_by(*start, angle, distance)
        ra, dec = self.ra.copy(), self.dec.copy()
        ra[moves], dec[moves] = new_ra.to_value(u.deg) % 360.0, new_dec.to_value(u.deg)
        return Positions(ra, dec)

    def sky(self) -> SkyCoord:
        """Return the positions as coordinates of astropy."""
        return SkyCoord(self.ra * u.deg, self.dec * u.deg)


@dataclass(frozen=True)
class Pairs:
    """Rows of a cube and the objects that belong to them.

    Attributes
    ----------
    row, object : int64 (k,)
        Numbers of the rows, ascending and each once, and of their objects.
    separation : float64 (k,)
        Angle between row and object (arcsec); NaN where they were joined by ids.
    contested : int
        Number of objects that are the nearest one, or have the id, of several rows.
    """

    row: np.ndarray
    object: np.ndarray
    separation: np.ndarray
    contested: int = 0


def match_positions(
    rows: Positions, objects: Positions, radius: float, one_to_one: bool = True
) -> Pairs:
    """Match each row with an object within a radius.

    Parameters
    ----------
    rows, objects : Positions
        Positions at the same epoch, all finite.
    radius : float
        Largest separation (arcsec).
    one_to_one : bool
        If true, pairs are made in the order of their separations, and a row or object that has a
        partner gets no other one. If not, each row gets its nearest object, which may belong to
        several rows.

    Returns
    -------
    Pairs
        Pairs by ascending row. Of equal separations, the first row and first object count.
    """
    if not len(rows) or not len(objects):
        return _pairs(_NONE, _NONE, np.zeros(0))
    row, found, angle, _ = search_around_sky(rows.sky(), objects.sky(), radius * u.arcsec)
    separation = angle.to_value(u.arcsec)
    order = np.lexsort((found, row, separation))
    row, found, separation = row[order], found[order], separation[order]
    nearest = np.unique(row, return_index=True)[1]
    chosen = _greedy(row, found) if one_to_one else nearest
    contested = _repeated(found[nearest])
    return _pairs(row[chosen], found[chosen], separation[chosen], contested)


def match_ids(rows: np.ndarray, objects: np.ndarray) -> Pairs:
    """Join rows and objects by equal ids.

    Parameters
    ----------
    rows, objects : int64 or str (n,), (m,)
        Ids of the rows, of which several may be equal, and of the objects, each once.

    Returns
    -------
    Pairs
        Pairs by ascending row.
    """
    if not len(rows) or not len(objects):
        return _pairs(_NONE, _NONE, np.zeros(0))
    order = np.argsort(objects, kind="stable")
    place = np.minimum(np.searchsorted(objects, rows, sorter=order), len(objects) - 1)
    found = order[place]
    row = np.flatnonzero(objects[found] == rows)
    return _pairs(row, found[row], np.full(len(row), np.nan), _repeated(found[row]))


def _greedy(row: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Return which of the pairs, in their order, have a row and an object that are still free."""
    chosen, rows, objects = list[int](), set[int](), set[int]()
    for k, (i, j) in enumerate(zip(row.tolist(), found.tolist(), strict=True)):
        if i not in rows and j not in objects:
            rows.add(i)
            objects.add(j)
            chosen.append(k)
    return np.array(chosen, dtype=np.int64)


def _repeated(values: np.ndarray) -> int:
    """Return the number of values that occur more than once."""
    return int((np.unique(values, return_counts=True)[1] > 1).sum())


def _pairs(row: np.ndarray, found: np.ndarray, separation: np.ndarray, contested: int = 0) -> Pairs:
    order = np.argsort(row, kind="stable")
    return Pairs(row[order], found[order], separation[order], contested)
