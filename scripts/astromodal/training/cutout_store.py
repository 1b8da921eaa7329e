"""The training cutouts of all fields, as one sequence of memory-mapped shards."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from astromodal.errors import FormatError, must_be
from astromodal.tokenizers.normaliser import ImageNormaliser
from astromodal.training.cutout_shard import CutoutShard


class CutoutStore:
    """Normalised cutouts with their sources' masks.

    Parameters
    ----------
    shards : sequence of CutoutShard
        One a field, in order.
    normaliser : ImageNormaliser
        The one that they must have gone through.
    size : int
        Side of a cutout (pixel).

    Raises
    ------
    FormatError
        Where a shard was made with another normaliser.
    """

    def __init__(
        self, shards: Sequence[CutoutShard], normaliser: ImageNormaliser, size: int
    ) -> None:
        for number, shard in enumerate(shards):
            if shard.normaliser_hash != normaliser.hash:
                what, must = f"training cutouts {number}", f"of normaliser {normaliser.hash}"
                do = "run prepare_cutouts again"
                raise FormatError(must_be(what, must, shard.normaliser_hash, do))
        self.size, self.n_bands = size, len(normaliser.bands)
        self._shards = tuple(shards)
        self._starts = np.cumsum([0, *(len(shard) for shard in shards)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def cutout(
        self, number: int, top: int = 0, left: int = 0, side: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """A square window of one cutout.

        Parameters
        ----------
        number : int
            The cutout, from 0.
        top, left, side : int
            First row, first column and side (pixel); the whole cutout by default.

        Returns
        -------
        x : float16 (B, side, side)
            Normalised pixels, NaN where not valid: a view of the mapped file.
        inside : bool (side, side)
            Pixels of the elliptical mask.
        """
        place = int(np.searchsorted(self._starts, number, side="right")) - 1
        shard, at = self._shards[place], number - int(self._starts[place])
        rows, columns = (slice(start, start + (side or self.size)) for start in (top, left))
        mask = np.unpackbits(shard.inside[at], count=self.size**2).view(bool)
        return shard.x[at, :, rows, columns], mask.reshape(self.size, self.size)[rows, columns]
