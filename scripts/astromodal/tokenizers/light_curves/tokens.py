"""Light-curve codes of a field."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from astromodal.core.vocab import MISSING_CODE
from astromodal.data.cube import Cube
from astromodal.data.light_curves import LightCurveBatch, read_light_curves
from astromodal.storage.hashing import hash_values
from astromodal.tokenizers.spectra.groups import GroupTokens
from astromodal.tokenizers.spectra.tokenizer import SpectrumTokenizer


@dataclass(frozen=True)
class EncodedCurves:
    """One group's light curves: those without a good epoch, or a codebook, have no scale code.

    Attributes
    ----------
    row : int32 (m,)
        Rows in the cube, ascending.
    live : bool (m,)
        Whether a curve has a good epoch.
    codes : uint16 (n,)
        Codes of the epochs, one curve after another.
    lengths : int64 (m,)
        Epochs of each.
    scale : uint16 (m,)
        Codes of the median magnitudes.
    input_hash : str
        Hash of what was encoded; the number of rows read at a time does not change it.
    """

    row: np.ndarray
    live: np.ndarray
    codes: np.ndarray
    lengths: np.ndarray
    scale: np.ndarray
    input_hash: str

    def counts(self) -> dict[str, int]:
        """Light curves, and those with a good epoch, under the names that spectra have."""
        return {"n_spectra": len(self.row), "n_live": int(self.live.sum())}

    def tokens(self, row: np.ndarray) -> GroupTokens:
        """Codes of the objects at `row` (n,), which holds all rows of this group."""
        known = self.scale != MISSING_CODE
        codes = self.codes[np.repeat(known, self.lengths)]
        return GroupTokens.of_rows(
            row, self.row[known], codes, self.lengths[known], self.scale[known]
        )


def encode_light_curves(cube: Cube, tokenizer: SpectrumTokenizer, group: str) -> EncodedCurves:
    """Encode every light curve of a group, whole: sequences, not codes, have a longest one."""
    digests = [hashlib.sha256() for _ in range(5)]
    rows, live, lengths = [np.empty(0, np.int32)], [np.empty(0, bool)], [np.empty(0, np.int64)]
    codes, scales = [np.empty(0, np.uint16)], [np.empty(0, np.uint16)]
    for batch in read_light_curves(cube, group):
        _update(digests, batch)
        epochs, scale = tokenizer.encode_curves(group, batch)
        rows.append(batch.row)
        live.append(batch.live())
        lengths.append(batch.lengths())
        codes.append(epochs)
        scales.append(scale)
    return EncodedCurves(
        np.concatenate(rows),
        np.concatenate(live),
        np.concatenate(codes),
        np.concatenate(lengths),
        np.concatenate(scales),
        hash_values([digest.hexdigest() for digest in digests]),
    )


def _update(digests: list[hashlib._Hash], batch: LightCurveBatch) -> None:
    """Add a batch to the digests of its parts, which batch sizes do not change."""
    parts = (batch.row, batch.lengths(), batch.time, batch.mag, batch.error)
    for digest, array in zip(digests, parts, strict=True):
        digest.update(np.ascontiguousarray(array).data)
