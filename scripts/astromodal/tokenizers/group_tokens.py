"""Codes of one group's objects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from astromodal.core.vocab import MISSING_CODE


@dataclass(frozen=True)
class GroupTokens:
    """Codes of one group.

    Attributes
    ----------
    codes : uint16 (sum of lengths,)
        Codes of all objects, one object after another; 65535 where missing.
    indptr : int64 (n + 1,)
        Object i's codes are ``codes[indptr[i]:indptr[i + 1]]``: all bins of a spectrum, the good
        epochs of a light curve, or none where it has no live one of this group.
    scale : uint16 (n,)
        Codes of the scales; 65535 where there is no live spectrum or light curve.
    """

    codes: np.ndarray
    indptr: np.ndarray
    scale: np.ndarray

    @classmethod
    def of_rows(
        cls,
        row: np.ndarray,
        own: np.ndarray,
        codes: np.ndarray,
        lengths: np.ndarray,
        scale: np.ndarray,
    ) -> GroupTokens:
        """Codes of the objects at `row`, of which some are of this group.

        Parameters
        ----------
        row : int32 (n,)
            Rows of all objects, ascending.
        own : int32 (m,)
            Rows of this group's objects, ascending, all of them in `row`.
        codes : uint16 (sum of lengths,)
            Their codes, one object after another.
        lengths : int64 (m,)
            Number of codes of each.
        scale : uint16 (m,)
            Their scales' codes.
        """
        place = np.searchsorted(row, own)
        every = np.zeros(len(row), dtype=np.int64)
        every[place] = lengths
        scales = np.full(len(row), MISSING_CODE, dtype=np.uint16)
        scales[place] = scale
        return cls(codes, np.concatenate([[0], np.cumsum(every)]).astype(np.int64), scales)
