"""Where training starts: the frequencies of codes given their slot, smooth in what codes mean.

In each slot the log odds of codes against their frequency in the whole range are taken to be
linear in the codes' features. Fitting that needs far fewer counts than a frequency for each code
does. How strongly coefficients are held back is what the counts themselves make most probable.

What no smooth function of a centroid tells is added: codes that stand at the edge of a cutout
alone, say. The log odds that the counts still ask for are a matrix, slots × codes, and its leading
singular vectors are features of codes, their contrasts, beside those of their centroids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import log_softmax

from astromodal.training.layout import Block, Range
from astromodal.training.unigram import Unigram, smooth

N_CONTRASTS = 16
"""Contrasts of a code."""

_FIRST_RIDGE = 30.0  # pull towards the whole range, in counts
_RIDGES = (1.0, 1e6)
_ITERATIONS = 12
_HALVINGS = 8
_LARGEST = 8.0  # of a contrast


@dataclass(frozen=True)
class Start:
    """Features of codes, and what every slot starts with.

    Attributes
    ----------
    features : float32 (V, F + G)
        Features of every token id: those of its centroid, and its contrasts.
    coefficients : dict of str to float32 (slots, F + G)
        Of the features, by block; 0 where a slot has ids of its own, whose frequencies the biases
        hold.
    """

    features: np.ndarray
    coefficients: dict[str, np.ndarray]


def fit_start(unigram: Unigram, blocks: Sequence[Block], centroids: np.ndarray) -> Start:
    """Fit the start of a training.

    Parameters
    ----------
    unigram : Unigram
        Counts of the training sequences.
    blocks : sequence of Block
        The blocks.
    centroids : float32 (V, F)
        Features of every token id's centroid.
    """
    n_ids, n_features = centroids.shape
    features = np.zeros((n_ids, n_features + N_CONTRASTS), dtype=np.float32)
    features[:, :n_features] = centroids
    coefficients = {}
    for block in blocks:
        out = np.zeros((block.length, features.shape[1]), dtype=np.float32)
        for ids in block.ranges:
            if not ids.stride and ids.n_slots > 1:
                slots = slice(ids.first, ids.first + ids.n_slots)
                fitted = _fit(unigram, ids, centroids)
                rest, found = _contrasts(unigram, ids, centroids, fitted)
                out[slots] = np.concatenate([fitted, rest], axis=1)
                features[ids.offset : ids.offset + ids.size, n_features:] = found
        coefficients[block.name] = out
    return Start(features, coefficients)


def _contrasts(
    unigram: Unigram, ids: Range, centroids: np.ndarray, fitted: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients, float64 (n_slots, G), and contrasts, float64 (K, G), of what is left to tell.

    Singular vectors with codes weighted by their frequency, which is how they count in a likelihood
    near it. Of unit variance over the codes as they occur; rare ones are held within a few times
    that.
    """
    common = unigram.log_pooled(ids)  # (n_slots or 1, K)
    own = centroids[ids.offset : ids.offset + ids.size].astype(np.float64)
    told = log_softmax(common + fitted @ own.T, axis=1)
    left = smooth(unigram.counts(ids), np.exp(told)) - told
    weight = np.exp(common.mean(axis=0) / 2)
    slots, size, codes = np.linalg.svd(left * weight, full_matrices=False)
    rank = min(N_CONTRASTS, len(size))
    coefficients, found = np.zeros((len(left), N_CONTRASTS)), np.zeros((ids.size, N_CONTRASTS))
    coefficients[:, :rank] = slots[:, :rank] * size[:rank]
    found[:, :rank] = (codes[:rank] / weight).T.clip(-_LARGEST, _LARGEST)
    return coefficients, found


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
