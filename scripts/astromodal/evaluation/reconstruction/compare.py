"""Tokenizer, model and baseline side by side, with errors that know they saw the same objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from astromodal.evaluation.metrics import bootstrap_error
from astromodal.evaluation.parts import Verdict, measured

TOKENIZER, MODEL, BASELINE = "tokenizer", "model", "baseline"
SHAPE, MEAN_SHAPE = "model, brightness told", "mean, brightness told"
"""The model's flux, and the training mean, at the brightness that fits what was measured best."""
MEAN = "mean"
"""The mean of training spectra or cutouts as it is."""
WAYS = (TOKENIZER, MODEL, MEAN, SHAPE, MEAN_SHAPE)
"""What stands side by side for spectra and cutouts."""


def compared(
    values: Mapping[str, np.ndarray],
    seed: int,
    pair: tuple[str, str] = (MODEL, BASELINE),
    *,
    lower_is_better: bool = False,
) -> dict[str, Any]:
    """Median of each way, and by how much one of them is better than another.

    Parameters
    ----------
    values : mapping of str to (n, B) float
        By way, B values of each object; only such count as are finite in every way.
    seed : int
        Seed of the bootstrap over objects, in whose draws all ways have the same objects.
    lower_is_better : bool
        Whether the values are errors.

    Returns
    -------
    dict
        ``n`` objects, `measured` medians by way, and ``gain``, `measured`; NaN without objects.
    """
    good = np.all([np.isfinite(v) for v in values.values()], axis=0)
    rows = good.any(axis=1)
    tables = {way: np.where(good, v, np.nan)[rows] for way, v in values.items()}
    sign = -1.0 if lower_is_better else 1.0
    n = int(rows.sum())

    def medians(index: np.ndarray) -> np.ndarray:
        found = {way: _median(table[index]) for way, table in tables.items()}
        return np.array([*found.values(), sign * (found[pair[0]] - found[pair[1]])])

    value = medians(np.arange(n))
    error = bootstrap_error(medians, n, seed) if n else np.full(len(value), np.nan)
    pairs = [measured(*pair) for pair in zip(value.tolist(), error.tolist(), strict=True)]
    return {"n": n, **dict(zip([*tables, "gain"], pairs, strict=True))}


def _median(values: np.ndarray) -> float:
    values = values[np.isfinite(values)]
    return float(np.median(values)) if values.size else np.nan


def brightness(factor: np.ndarray) -> np.ndarray:
    """|Δmag| that a factor of the flux stands for; NaN where the factor is not positive."""
    return np.abs(2.5 * np.log10(np.where(factor > 0, factor, np.nan)))


def scaled(
    shape: np.ndarray, values: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Each row of a shape at the scale that fits best.

    Parameters
    ----------
    shape : (L,) or (n, L) float
        The shape.
    values, weight : (n, L) float
        What it is fitted to by weighted least squares, where all are finite and the weight is
        positive.

    Returns
    -------
    fitted : float64 (n, L)
        The shape times its factor.
    factor : float64 (n,)
        0 where there is nothing to fit.
    """
    shape = np.broadcast_to(shape, values.shape)
    good = np.isfinite(values) & np.isfinite(shape) & (weight > 0)
    w, v, s = (np.where(good, a, 0.0).astype(np.float64) for a in (weight, values, shape))
    square = (w * s * s).sum(1)
    factor = np.divide((w * s * v).sum(1), square, out=np.zeros(len(v)), where=square > 0)
    return factor[:, None] * shape, factor


def verdict(*gains: Mapping[str, float]) -> Verdict:
    """Good where every gain exceeds its error; none where one has no error."""
    if not np.isfinite([gain["error"] for gain in gains]).all():
        return "none"
    return "good" if all(gain["value"] > gain["error"] for gain in gains) else "bad"
