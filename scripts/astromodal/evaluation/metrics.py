"""Measures of how well something was kept, each with its uncertainty."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from astromodal.core.vocab import MISSING_CODE
from astromodal.evaluation.report.style import new_figure
from astromodal.evaluation.report.values import Table

N_RESAMPLES = 200
LN2 = float(np.log(2.0))


def r2(truth: np.ndarray, estimate: np.ndarray, weight: np.ndarray | None = None) -> np.ndarray:
    """Each object's explained variance, float64 (n,); arguments as for `squares`."""
    residual, total, _ = squares(truth, estimate, weight)
    return r2_of(residual, total)


def squares(
    truth: np.ndarray, estimate: np.ndarray, weight: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sums of squares of each object, which `r2_of` turns into its explained variance.

    Parameters
    ----------
    truth, estimate : (n, L) float
        What was measured and what came back; a pair counts where both are finite.
    weight : (n, L) float, optional
        Weight of each value, for example an inverse variance; zero leaves the value out.

    Returns
    -------
    residual, total : (n,) float64
        Weighted sums of (truth - estimate)² and of (truth - the object's own weighted mean)².
    count : (n,) int64
        Values that took part.
    """
    weight = np.ones(truth.shape) if weight is None else np.asarray(weight, dtype=np.float64)
    good = np.isfinite(truth) & np.isfinite(estimate) & np.isfinite(weight) & (weight > 0)
    w = np.where(good, weight, 0.0)
    t, e = np.where(good, truth, 0.0).astype(np.float64), np.where(good, estimate, 0.0)
    mean = (w * t).sum(1) / np.maximum(w.sum(1), np.finfo(float).tiny)
    residual = (w * (t - e) ** 2).sum(1)
    total = (w * (t - mean[:, None]) ** 2).sum(1)
    return residual, total, good.sum(1)


def r2_of(residual: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Explained variance 1 - residual / total; NaN where the truth does not vary."""
    residual, total = np.asarray(residual, float), np.asarray(total, float)
    ratio = np.divide(residual, total, out=np.full(np.shape(total), np.nan), where=total > 0)
    return 1.0 - ratio


def reduced_chi2(flux: np.ndarray, estimate: np.ndarray, ivar: np.ndarray) -> np.ndarray:
    """Mean of (flux - estimate)² × ivar over each object's good values.

    Nothing is fitted, so the number of degrees of freedom is the number of values. As `estimate`
    was made from `flux`, noise and all, a perfect code gives 0, and 1 means that coding changes a
    value by as much as its noise does.

    Parameters
    ----------
    flux, estimate, ivar : (n, L) float
        Measured flux, what came back, and the inverse variance of the former.

    Returns
    -------
    (n,) float64
        NaN for an object without a good value.
    """
    good = np.isfinite(flux) & np.isfinite(estimate) & np.isfinite(ivar) & (ivar > 0)
    difference = np.where(good, flux, 0.0).astype(np.float64) - np.where(good, estimate, 0.0)
    chi2 = (difference**2 * np.where(good, ivar, 0.0)).sum(1)
    count = good.sum(1)
    return np.divide(chi2, count, out=np.full(len(count), np.nan), where=count > 0)


def perplexity(counts: np.ndarray) -> float:
    """Number of equally used codes that would carry as much: exp of the entropy of `counts`.

    Returns 0 where nothing was counted.
    """
    counts = np.asarray(counts, dtype=np.float64)
    if counts.sum() <= 0:
        return 0.0
    p = counts[counts > 0] / counts.sum()
    return float(np.exp(-(p * np.log(p)).sum()))


def bootstrap_error(
    statistic: Callable[[np.ndarray], float | np.ndarray],
    n: int,
    seed: int,
    resamples: int = N_RESAMPLES,
) -> np.ndarray:
    """Standard error of a statistic of `n` objects, by drawing objects with replacement.

    Parameters
    ----------
    statistic : callable
        Takes object numbers (n,) and returns the statistic, a scalar or an array.
    n : int
        Number of objects; an error needs at least two.
    seed : int
        Seed of the draws: same seed, same error.
    resamples : int
        Number of draws.

    Returns
    -------
    float64 array of the statistic's shape
        Standard deviation over the draws in which the statistic was finite; NaN where there were
        fewer than two of them.
    """
    if n < 2:
        return np.full(np.shape(statistic(np.arange(n))), np.nan) if n else np.array(np.nan)
    rng = np.random.default_rng(seed)
    draws = np.array([statistic(rng.integers(0, n, n)) for _ in range(resamples)], dtype=np.float64)
    finite = np.isfinite(draws)
    count = finite.sum(0)
    mean = np.where(finite, draws, 0.0).sum(0) / np.maximum(count, 1)
    variance = np.where(finite, (draws - mean) ** 2, 0.0).sum(0) / np.maximum(count - 1, 1)
    return np.where(count > 1, np.sqrt(variance), np.nan)


def median_error(values: np.ndarray, seed: int) -> tuple[float, float]:
    """Median of the finite `values` (n,) and its bootstrap error; NaN where there are none."""
    return quantile_error(values, 0.5, seed)


def quantile_error(values: np.ndarray, q: float, seed: int) -> tuple[float, float]:
    """Quantile `q` of the finite `values` (n,) and its bootstrap error; NaN where there are none.

    The k-th smallest of n values drawn with replacement is the sorted value at floor(n U), where U,
    the k-th smallest of n uniform numbers, follows Beta(k, n + 1 - k): so it is drawn directly. The
    error is half the 16 to 84 % range of the draws, which one wild value does not blow up.
    """
    values = np.sort(np.asarray(values, dtype=np.float64))
    values = values[np.isfinite(values)]
    n = len(values)
    if not n:
        return np.nan, np.nan
    found = float(np.quantile(values, q))
    if n < 2:
        return found, np.nan
    k = min(max(round(q * (n - 1)) + 1, 1), n)
    uniform = np.random.default_rng(seed).beta(k, n + 1 - k, 5 * N_RESAMPLES)
    drawn = values[np.minimum((uniform * n).astype(np.int64), n - 1)]
    return found, robust_sigma(drawn)


def mean_error(sums: np.ndarray, counts: np.ndarray, seed: int) -> tuple[float, float]:
    """Mean over all values from each object's sum and count (n,), with its bootstrap error.

    Objects, not values, are drawn: the values of one object are not independent.
    """
    if not counts.sum():
        return np.nan, np.nan

    def mean(index: np.ndarray) -> float:
        total = counts[index].sum()
        return float(sums[index].sum() / total) if total else np.nan

    return float(sums.sum() / counts.sum()), float(bootstrap_error(mean, len(sums), seed))


def fraction_error(hits: np.ndarray) -> tuple[float, float]:
    """Share of True among `hits` (n,), and half the width of Wilson's 68 % interval.

    Unlike a bootstrap's, that error is not zero where all or none are hits: few objects cannot show
    that there are no exceptions (Wilson 1927, JASA 22, 209). NaN where there are no objects.
    """
    n = len(hits)
    if not n:
        return np.nan, np.nan
    share = float(np.mean(hits))
    return share, float(np.sqrt(share * (1 - share) / n + 1 / (4 * n**2)) / (1 + 1 / n))


def scatter_error(values: np.ndarray, seed: int) -> tuple[float, float]:
    """`robust_sigma` of the finite `values` (n,), and its bootstrap error."""
    values = values[np.isfinite(values)]
    error = bootstrap_error(lambda index: robust_sigma(values[index]), len(values), seed)
    return robust_sigma(values), float(error)


def of_objects(
    statistic: Callable[[np.ndarray], float], values: np.ndarray, seed: int
) -> tuple[float, float]:
    """Statistic of all finite `values` (n, B) of n objects together, and its bootstrap error.

    Objects, not values, are drawn: the B values of one object are not independent. NaN where
    nothing is finite.
    """
    values = values[np.isfinite(values).any(1)]

    def pooled(index: np.ndarray) -> float:
        found = values[index]
        found = found[np.isfinite(found)]
        return statistic(found) if found.size else np.nan

    return pooled(np.arange(len(values))), float(bootstrap_error(pooled, len(values), seed))


def pooled_r2_error(residual: np.ndarray, total: np.ndarray, seed: int) -> tuple[float, float]:
    """Explained variance of all objects together and its bootstrap error over objects (n,)."""
    if not len(total) or not total.sum() > 0:
        return np.nan, np.nan

    def pooled(index: np.ndarray) -> float:
        return float(r2_of(residual[index].sum(), total[index].sum()))

    return pooled(np.arange(len(total))), float(bootstrap_error(pooled, len(total), seed))


def robust_sigma(values: np.ndarray) -> float:
    """Half the 16-to-84 percentile range of the finite `values`: sigma of a Gaussian core."""
    values = values[np.isfinite(values)]
    return float(np.diff(np.quantile(values, [0.16, 0.84]))[0] / 2) if values.size else np.nan


def column_medians(values: np.ndarray) -> np.ndarray:
    """Median of the finite values of each column of (n, C), (C,); NaN where there are none."""
    return np.array([_median(column[np.isfinite(column)]) for column in values.T])


def _median(values: np.ndarray) -> float:
    return float(np.median(values)) if values.size else np.nan


def count_codes(codes: np.ndarray, size: int) -> np.ndarray:
    """How often each of `size` codes occurs, int64 (size,); missing codes do not count."""
    known = codes[codes != MISSING_CODE]
    return np.bincount(known.ravel(), minlength=size)[:size].astype(np.int64)


def codebook_numbers(counts: np.ndarray) -> dict[str, Any]:
    """Size, tokens, dead codes, perplexity and bits of a codebook from its codes' `counts` (K,).

    `bits` is the entropy of the codes' frequencies: what a code takes in an ideal coder that knows
    them and nothing else; an id of K takes log2 K.
    """
    size, tokens = len(counts), int(counts.sum())
    dead = int((counts == 0).sum())
    evenly = perplexity(counts)
    return {
        "size": size,
        "tokens": tokens,
        "used": size - dead,
        "dead": dead,
        "dead_expected": round(size * (1 - 1 / size) ** tokens) if size else 0,
        "perplexity": evenly,
        "bits": float(np.log2(evenly)) if evenly else 0.0,
    }


def plot_codebooks(counts: dict[str, np.ndarray], colours: dict[str, str]) -> Figure:
    """Share of the tokens that each codebook's most used codes take, cumulated."""
    figure, axes = new_figure(height=2.9)
    axis = axes[0, 0]
    for name, count in counts.items():
        share = np.cumsum(np.sort(count)[::-1]) / count.sum()
        axis.plot(np.arange(1, len(count) + 1), share, color=colours[name], label=name)
    axis.set(
        xlabel="codes, most used first", ylabel="share of all tokens", xscale="log", ylim=(0, 1.02)
    )
    axis.legend()
    return figure


def codebook_table(numbers: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """A row a codebook."""
    heading = [
        "codebook", "centroids", "tokens evaluated", "codes used", "dead codes",
        "dead if all were equally likely", "perplexity (codes)", "entropy (bits a code)",
    ]  # fmt: skip
    keys = ("size", "tokens", "used", "dead", "dead_expected", "perplexity", "bits")
    return Table(heading, [[name, *(n[key] for key in keys)] for name, n in numbers.items()])
