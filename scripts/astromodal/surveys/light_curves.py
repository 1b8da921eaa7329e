"""Groups of light curves: one band of magnitudes against time, ragged as they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from astromodal.surveys.group import CubeSlice, GroupKind, GroupSettings, SpectrumGroup


@dataclass(frozen=True)
class LightCurveBatch:
    """Good epochs of one group's light curves, one curve after another, each in time order.

    An epoch is good where its magnitude and its time are finite, its error is finite and
    positive, and neither magnitude nor error is a sentinel. Bad epochs are left out.

    Attributes
    ----------
    row : int32 (m,)
        Rows in the cube, ascending: every row with a list, even without a good epoch.
    indptr : int64 (m + 1,)
        The epochs of curve i are ``indptr[i]`` to ``indptr[i + 1]``.
    time : float64 (n,)
        Heliocentric MJD (day), ascending within a curve; epochs of equal time keep the order of
        the file.
    mag, error : float64 (n,)
        Magnitude and its standard error (mag).
    """

    row: np.ndarray
    indptr: np.ndarray
    time: np.ndarray
    mag: np.ndarray
    error: np.ndarray

    def lengths(self) -> np.ndarray:
        """Return the number of good epochs of each curve, int64 (m,)."""
        return np.diff(self.indptr)

    def live(self) -> np.ndarray:
        """Return which curves have a good epoch, bool (m,)."""
        return self.lengths() > 0

    def owner(self) -> np.ndarray:
        """Return the number of the curve that each epoch belongs to, int64 (n,)."""
        return np.repeat(np.arange(len(self.row)), self.lengths())

    def take(self, curves: np.ndarray) -> LightCurveBatch:
        """Return some curves, given by their numbers or by a mask, in the order given."""
        place = np.arange(len(self.row))[curves]
        at, indptr = gather(self.indptr, place)
        return LightCurveBatch(self.row[place], indptr, self.time[at], self.mag[at], self.error[at])

    @classmethod
    def join(cls, parts: Sequence[LightCurveBatch]) -> LightCurveBatch:
        """Return the curves of all parts, one part after another; no curve for no part."""
        lengths = [np.zeros(1, np.int64), *(part.lengths() for part in parts)]
        return cls(
            np.concatenate([np.empty(0, np.int32), *(part.row for part in parts)]),
            np.cumsum(np.concatenate(lengths)),
            *(
                np.concatenate([np.empty(0), *(getattr(part, name) for part in parts)])
                for name in ("time", "mag", "error")
            ),
        )


def gather(indptr: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where the values of some ragged lists stand among the values of all lists.

    Parameters
    ----------
    indptr : int64 (n + 1,)
        The values of list i are ``indptr[i]`` to ``indptr[i + 1]``.
    chosen : int64 (m,)
        Numbers of the chosen lists, in the order wanted.

    Returns
    -------
    places : int64 (sum of lengths,)
        Places of their values, one list after another.
    indptr : int64 (m + 1,)
        Where each chosen list starts and ends among `places`.
    """
    lengths = np.diff(indptr)[chosen]
    ends = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    places = np.arange(ends[-1]) + np.repeat(indptr[:-1][chosen] - ends[:-1], lengths)
    return places, ends


class LightCurveGroup(SpectrumGroup):
    """A group of light curves in three columns of lists: magnitude, error and time.

    `columns` names them in this order.
    """

    kind: ClassVar[GroupKind] = "light_curve"
    ragged: ClassVar[bool] = True
    partial: ClassVar[bool] = True
    sentinels: ClassVar[bool] = True
    n_columns: ClassVar[int | None] = 3

    def n_slots(self, settings: GroupSettings) -> int:
        """Return the most epochs that a sequence holds."""
        return settings.max_epochs

    def read(self, piece: CubeSlice) -> LightCurveBatch:
        """Return the light curves of some rows of a cube."""
        return self.read_curves(piece)

    def read_curves(self, piece: CubeSlice) -> LightCurveBatch:
        """Return the light curves of some rows of a cube, those without a good epoch included.

        Raises
        ------
        DataError
            Where the lists of a row differ in length.
        """
        names = self.column_names
        # Times need float64: a float32 at MJD 58,000 resolves 0.004 days only.
        parts = [piece.lists(name, np.float64) for name in names]
        lengths = np.stack([part[1] for part in parts])  # (3, rows)
        rows = piece.rows()
        wrong = np.flatnonzero((lengths != lengths[0]).any(axis=0))
        if len(wrong):
            unequal = lengths[:, wrong[0]]
            at = int(np.flatnonzero(unequal != unequal[0])[0])
            must = f"a list as long as that of {names[0]!r}, {unequal[0]}"
            raise piece.error(names[at], must, f"{unequal[at]} in row {rows[wrong[0]]}")
        mag, error, time = (part[0] for part in parts)
        has = lengths[0] > 0
        good = np.isfinite(mag) & np.isfinite(time) & np.isfinite(error) & (error > 0)
        good &= ~piece.sentinel(names[0], mag) & ~piece.sentinel(names[1], error)
        owner = np.repeat(np.arange(int(has.sum())), lengths[0][has])[good]
        time, mag, error = time[good], mag[good], error[good]
        order = np.lexsort((time, owner))  # stable: epochs of equal time keep their order
        counts = np.bincount(owner, minlength=int(has.sum()))
        indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        return LightCurveBatch(rows[has], indptr, time[order], mag[order], error[order])
