"""Values that are no measurements: sentinels, and values that a flag calls unreliable."""

from __future__ import annotations

from fnmatch import fnmatchcase

import numpy as np

from astromodal.config.inputs import SENTINELS, ColumnSettings, FlagSettings

_FEWEST, _SMALLEST_SHARE = 5, 1e-3
"""Rows, and part of all rows, that hold a value before it is a pile-up."""
_CENTRAL = (1e-3, 1 - 1e-3)
"""Quantiles between which a column's other values are taken to lie."""


def sentinels_of(column: str, settings: ColumnSettings) -> np.ndarray:
    """Numbers that stand for a missing value in a column, float64 (k,)."""
    patterns = [*(SENTINELS[name] for name in settings.presets), settings.sentinels]
    found = [
        value
        for group in patterns
        for pattern, values in group.items()
        if fnmatchcase(column, pattern)
        for value in values
    ]
    return np.unique(found)


def is_sentinel(values: np.ndarray, sentinels: np.ndarray) -> np.ndarray:
    """Which values are one of the sentinels, bool like `values`.

    Both are compared as float32: a sentinel written in one precision is often stored in another.
    """
    if not len(sentinels):
        return np.zeros(values.shape, dtype=bool)
    with np.errstate(over="ignore"):  # a value beyond float32 is infinite, and no sentinel
        return np.isin(values.astype(np.float32), sentinels.astype(np.float32))


def base_class(texts: np.ndarray) -> np.ndarray:
    """Classes and flags without what stands in brackets: ``STAR(WD)`` is a ``STAR``.

    Parameters
    ----------
    texts : unicode (n,)
        Empty where missing.

    Returns
    -------
    unicode (n,)
    """
    return np.char.strip(np.char.partition(texts, "(")[..., 0]) if len(texts) else texts


def is_unreliable(flags: np.ndarray, settings: FlagSettings) -> np.ndarray:
    """Which rows' flags, unicode (n,), say that a value is not reliable, bool (n,)."""
    kinds = base_class(flags)
    if settings.reliable:
        return ~np.isin(kinds, settings.reliable)
    return np.isin(kinds, settings.unreliable)


def find_pile_up(values: np.ndarray) -> tuple[float, int] | None:
    """A value that many rows share and that lies far outside of a column's other values.

    Such a value is likely a sentinel that nobody named. Far outside means farther from the central
    99.8 % of the values that few rows share than these are wide.

    Parameters
    ----------
    values : float (n,)
        A column; NaN where missing.

    Returns
    -------
    tuple of float and int, optional
        The value that most rows share, and how many; None where there is no such value.
    """
    known = values[np.isfinite(values)]
    unique, counts = np.unique(known, return_counts=True)
    shared = counts >= max(_FEWEST, _SMALLEST_SHARE * len(known))
    others = np.repeat(unique[~shared], counts[~shared])
    if not shared.any() or len(others) < _FEWEST:
        return None
    low, high = np.quantile(others, _CENTRAL)
    distance = np.maximum(low - unique, unique - high)
    far = shared & (distance > high - low)
    if not far.any():
        return None
    most = int(np.argmax(np.where(far, counts, 0)))
    return float(unique[most]), int(counts[most])
