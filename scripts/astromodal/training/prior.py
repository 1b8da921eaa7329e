"""Where training starts: the frequencies of codes given their slot, smooth in what codes mean.

In each slot the log odds of codes against their frequency in the whole range are taken to be
linear in the codes' features. Fitting that needs far fewer counts than a frequency for each code
does: with 500 images it predicts better than the unigram baseline. How strongly coefficients are
held back is what the counts themselves make most probable.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from astromodal.training.layout import Block, Range
from astromodal.training.unigram import Unigram

_FIRST_RIDGE = 30.0  # pull towards the whole range, in counts
_RIDGES = (1.0, 1e6)
_ITERATIONS = 12
_HALVINGS = 8


def fit_prior(unigram: Unigram, block: Block, features: np.ndarray) -> np.ndarray:
    """Coefficients of the features in each slot of a block.

    Parameters
    ----------
    unigram : Unigram
        Counts of the training sequences.
    block : Block
        The block.
    features : float32 (V, F)
        Features of every token id.

    Returns
    -------
    float32 (slots, F)
        0 where a slot has ids of its own, whose frequencies the biases hold.
    """
    out = np.zeros((block.length, features.shape[1]), dtype=np.float32)
    for ids in block.ranges:
        if not ids.stride and ids.n_slots > 1:
            out[ids.first : ids.first + ids.n_slots] = _fit(unigram, ids, features)
    return out


def _fit(unigram: Unigram, ids: Range, features: np.ndarray) -> np.ndarray:
    """Newton's method with halved steps, all slots at once, float64 (n_slots, F)."""
    own = features[ids.offset : ids.offset + ids.size].astype(np.float64)  # (K, F)
    counts = unigram.counts(ids)
    odds = _Odds(own, unigram.log_pooled(ids), counts.sum(axis=1), counts @ own)
    fitted, ridge = np.zeros((ids.n_slots, own.shape[1])), _FIRST_RIDGE
    for _ in range(_ITERATIONS):
        gradient, curvature = odds.derivatives(fitted, ridge)
        inverse = np.linalg.inv(curvature)  # (slots, F, F)
        step = (inverse @ gradient[:, :, None])[:, :, 0]
        value, length = odds.value(fitted, ridge), np.ones(ids.n_slots)
        for _ in range(_HALVINGS):
            worse = odds.value(fitted + length[:, None] * step, ridge) < value
            if not worse.any():
                break
            length[worse] /= 2
        fitted = fitted + length[:, None] * step
        # MacKay 1992, Neural Computation 4, 415: parameters that the counts decide on, over their
        # summed squares.
        decided = fitted.size - ridge * np.trace(inverse, axis1=1, axis2=2).sum()
        ridge = float(np.clip(decided / max((fitted**2).sum(), 1e-12), *_RIDGES))
    return fitted


@dataclass(frozen=True)
class _Odds:
    """Penalised log likelihood of slots whose log odds are linear in features."""

    features: np.ndarray  # (K, F)
    base: np.ndarray  # (slots or 1, K), log frequencies in the whole range
    total: np.ndarray  # (slots,), codes seen
    seen: np.ndarray  # (slots, F), features of the codes seen, summed

    def _logits(self, a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Logits less their largest, (slots, K), and log of their normalisation, (slots,)."""
        logits = self.base + a @ self.features.T
        largest = logits.max(axis=1, keepdims=True)
        logits -= largest
        return logits, largest[:, 0] + np.log(np.exp(logits).sum(axis=1))

    def value(self, a: np.ndarray, ridge: float) -> np.ndarray:
        """Log likelihood of each slot's counts and log density of its coefficients, (slots,)."""
        norm = self._logits(a)[1]
        return (a * self.seen).sum(axis=1) - self.total * norm - ridge / 2 * (a * a).sum(axis=1)

    def derivatives(self, a: np.ndarray, ridge: float) -> tuple[np.ndarray, np.ndarray]:
        """Gradient of the value, (slots, F), and its negative second derivatives."""
        n = self.features.shape[1]
        chance = np.exp(self._logits(a)[0])
        chance /= chance.sum(axis=1, keepdims=True)
        mean = chance @ self.features  # (slots, F)
        products = (self.features[:, :, None] * self.features[:, None, :]).reshape(-1, n * n)
        second = (chance @ products).reshape(-1, n, n)
        spread = second - mean[:, :, None] * mean[:, None, :]
        gradient = self.seen - self.total[:, None] * mean - ridge * a
        return gradient, self.total[:, None, None] * spread + ridge * np.eye(n)
