"""Statistics over objects with their standard errors, R² and chi² of each object, use of codes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import entr

from astromodal.core.vocab import MISSING_CODE
from astromodal.evaluation.report.section import Measurement, Row, Table

N_RESAMPLES = 200
"""Bootstrap samples that a standard error is computed from."""
_AT_ONCE = 1 << 20  # numbers of objects of all bootstrap samples that are computed together
LN2 = float(np.log(2.0))
"""Nats per bit."""


def r2(truth: np.ndarray, estimate: np.ndarray, weight: np.ndarray | None = None) -> np.ndarray:
    """Return the coefficient of determination of each object, float64 (n,).

    Arguments are those of `squares`; NaN where an object's truth does not vary.
    """
    residual, total, _ = squares(truth, estimate, weight)
    return r2_of(residual, total)


def squares(
    truth: np.ndarray, estimate: np.ndarray, weight: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the residual and the total sum of squares of each object.

    Parameters
    ----------
    truth, estimate : (n, L) float
        Measured and decoded values; a pair counts where both are finite.
    weight : (n, L) float, optional
        Weight of each value, for example an inverse variance; zero excludes the value.

    Returns
    -------
    residual, total : (n,) float64
        Weighted sums of (truth - estimate)² and of (truth - the object's own weighted mean)².
    count : (n,) int64
        Values that count.
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
    """Return R² = 1 - residual / total of sums of squares; NaN where the truth does not vary."""
    residual, total = np.asarray(residual, float), np.asarray(total, float)
    ratio = np.divide(residual, total, out=np.full(np.shape(total), np.nan), where=total > 0)
    return 1.0 - ratio


def reduced_chi2(flux: np.ndarray, estimate: np.ndarray, ivar: np.ndarray) -> np.ndarray:
    """Return the mean of (flux - estimate)² × ivar over each object's good values.

    Nothing is fitted, so the number of degrees of freedom is the number of values. The estimate is
    decoded from the same noisy flux: a lossless code gives 0, and 1 means that coding changes a
    value by as much as its noise does.

    Parameters
    ----------
    flux, estimate, ivar : (n, L) float
        Measured flux, decoded flux, and the inverse variance of the measured flux.

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


def bootstrap_error(
    statistic: Callable[[np.ndarray], float | np.ndarray],
    n: int,
    seed: int,
    resamples: int = N_RESAMPLES,
    clusters: np.ndarray | None = None,
) -> np.ndarray:
    """Return the standard error of a statistic of `n` objects by bootstrap.

    Parameters
    ----------
    statistic : callable
        Takes object numbers (n,) and returns the statistic, a scalar or an array.
    n : int
        Number of objects; an error needs at least two.
    seed : int
        Seed of the resampling: the same seed gives the same error.
    resamples : int
        Number of bootstrap samples.
    clusters : int (n,), optional
        Cluster of each object. Whole clusters are resampled, whose objects may be alike; each
        object alone where None.

    Returns
    -------
    float64 array of the statistic's shape
        Standard deviation over the samples in which the statistic was finite; NaN where there were
        fewer than two of them.
    """
    if n < 2:
        return np.full(np.shape(statistic(np.arange(n))), np.nan) if n else np.array(np.nan)
    samples = [statistic(each) for each in resampled(seed, n, resamples, clusters)]
    return scatter_of(np.array(samples, dtype=np.float64))


def resampled(
    seed: int, n: int, resamples: int, clusters: np.ndarray | None
) -> Iterator[np.ndarray]:
    """Yield the object numbers of each bootstrap sample; parameters as in `bootstrap_error`."""
    rng = np.random.default_rng(seed)
    if clusters is None:
        yield from (rng.integers(0, n, n) for _ in range(resamples))
        return
    order = np.argsort(clusters, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(clusters[order])) + 1)
    for _ in range(resamples):
        yield np.concatenate([members[i] for i in rng.integers(0, len(members), len(members))])


def _bootstrap_together(statistic: Callable[[np.ndarray], np.ndarray], n: int, seed: int) -> float:
    """Return what `bootstrap_error` does for a statistic of several samples at once.

    It takes object numbers (samples, n) and returns float64 (samples,).
    """
    if n < 2:
        return np.nan
    rng, step = np.random.default_rng(seed), max(1, _AT_ONCE // n)
    sizes = [min(step, N_RESAMPLES - begin) for begin in range(0, N_RESAMPLES, step)]
    samples = [statistic(rng.integers(0, n, (size, n))) for size in sizes]
    return float(scatter_of(np.concatenate(samples)))


def scatter_of(samples: np.ndarray) -> np.ndarray:
    """Return the standard deviation of finite samples along the first axis; NaN of fewer than 2."""
    finite = np.isfinite(samples)
    count = finite.sum(0)
    mean = np.where(finite, samples, 0.0).sum(0) / np.maximum(count, 1)
    variance = np.where(finite, (samples - mean) ** 2, 0.0).sum(0) / np.maximum(count - 1, 1)
    return np.where(count > 1, np.sqrt(variance), np.nan)


def measure_statistic(
    statistic: Callable[[np.ndarray], float], n: int, seed: int, clusters: np.ndarray | None = None
) -> Measurement:
    """Measure a scalar statistic of `n` objects, with its error as `bootstrap_error` has it."""
    return measure_resampled(statistic, n, resampled(seed, n, N_RESAMPLES, clusters))


def measure_resampled(
    statistic: Callable[[np.ndarray], float], n: int, samples: Iterable[np.ndarray]
) -> Measurement:
    """Measure a statistic of `n` objects over given bootstrap samples; NaN without objects."""
    if not n:
        return Measurement(np.nan, np.nan, 0)
    value = float(statistic(np.arange(n)))
    error = scatter_of(np.array([statistic(each) for each in samples])) if n > 1 else np.nan
    return Measurement(value, float(error), n)


def measure_median(values: np.ndarray, seed: int) -> Measurement:
    """Measure the median of the finite `values` (n,), with its bootstrap error."""
    return measure_quantile(values, 0.5, seed)


def measure_quantile(values: np.ndarray, q: float, seed: int) -> Measurement:
    """Measure the quantile `q` of the finite `values` (n,), with its bootstrap error.

    The k-th smallest of n values drawn with replacement is the sorted value at floor(n U), where U,
    the k-th smallest of n uniform numbers, follows Beta(k, n + 1 - k); so U is drawn directly. The
    error is half the 16 to 84 % range of the draws, which a single outlier does not inflate. NaN
    without finite values; the error is NaN with only one.
    """
    values = np.sort(np.asarray(values, dtype=np.float64))
    values = values[np.isfinite(values)]
    n = len(values)
    if not n:
        return Measurement(np.nan, np.nan, 0)
    quantile = float(np.quantile(values, q))
    if n < 2:
        return Measurement(quantile, np.nan, n)
    k = min(max(round(q * (n - 1)) + 1, 1), n)
    uniform = np.random.default_rng(seed).beta(k, n + 1 - k, 5 * N_RESAMPLES)
    resampled = values[np.minimum((uniform * n).astype(np.int64), n - 1)]
    return Measurement(quantile, robust_sigma(resampled), n)


def measure_mean(sums: np.ndarray, counts: np.ndarray, seed: int) -> Measurement:
    """Measure the mean over all values of all objects, with its bootstrap error.

    Objects, not values, are resampled: the values of one object are not independent.

    Parameters
    ----------
    sums, counts : (n,) float, (n,) int
        Sum and number of each object's values.
    seed : int
        Seed of the resampling.

    Returns
    -------
    Measurement
        NaN where no object has a value. Its ``n`` counts the objects that have one.
    """
    n = int((counts > 0).sum())
    if not counts.sum():
        return Measurement(np.nan, np.nan, n)

    def means(index: np.ndarray) -> np.ndarray:
        total = counts[index].sum(axis=1)
        found = np.full(len(index), np.nan)
        return np.divide(sums[index].sum(axis=1), total, out=found, where=total > 0)

    error = _bootstrap_together(means, len(sums), seed)
    return Measurement(float(sums.sum() / counts.sum()), error, n)


def measure_fraction(hits: np.ndarray) -> Measurement:
    """Measure the fraction of True among `hits` (n,), with half of Wilson's 68 % interval.

    Unlike the error of a bootstrap, this error is not zero where all or none are hits: few objects
    cannot show that there are no exceptions (Wilson 1927, JASA 22, 209). NaN without objects.
    """
    n = len(hits)
    if not n:
        return Measurement(np.nan, np.nan, 0)
    share = float(np.mean(hits))
    half_width = np.sqrt(share * (1 - share) / n + 1 / (4 * n**2)) / (1 + 1 / n)
    return Measurement(share, float(half_width), n)


def measure_scatter(values: np.ndarray, seed: int) -> Measurement:
    """Measure the `robust_sigma` of the finite `values` (n,), with its bootstrap error."""
    values = values[np.isfinite(values)]

    def scatters(index: np.ndarray) -> np.ndarray:
        low, high = np.quantile(values[index], [0.16, 0.84], axis=1)
        return np.asarray(high - low) / 2

    error = _bootstrap_together(scatters, len(values), seed)
    return Measurement(robust_sigma(values), error, len(values))


def measure_pooled(
    statistic: Callable[[np.ndarray], float], values: np.ndarray, seed: int
) -> Measurement:
    """Measure a statistic of all finite `values` (n, B) of n objects together.

    Objects, not values, are resampled: the B values of one object are not independent. NaN where
    no value is finite.
    """
    values = values[np.isfinite(values).any(1)]

    def pooled(index: np.ndarray) -> float:
        finite = values[index]
        finite = finite[np.isfinite(finite)]
        return statistic(finite) if finite.size else np.nan

    return measure_statistic(pooled, len(values), seed)


def measure_pooled_r2(residual: np.ndarray, total: np.ndarray, seed: int) -> Measurement:
    """Measure R² of all objects together, with its bootstrap error over objects.

    Parameters
    ----------
    residual, total : (n,) float
        Sums of squares of each object, as `squares` returns them.
    seed : int
        Seed of the resampling.

    Returns
    -------
    Measurement
        NaN where the truth does not vary.
    """
    if not len(total) or not total.sum() > 0:
        return Measurement(np.nan, np.nan, 0)

    def pooled(index: np.ndarray) -> np.ndarray:
        return r2_of(residual[index].sum(axis=1), total[index].sum(axis=1))

    error = _bootstrap_together(pooled, len(total), seed)
    return Measurement(float(r2_of(residual.sum(), total.sum())), error, len(total))


def robust_sigma(values: np.ndarray) -> float:
    """Return half the 16 to 84 % range of the finite `values`: sigma of a Gaussian core."""
    values = values[np.isfinite(values)]
    return float(np.diff(np.quantile(values, [0.16, 0.84]))[0] / 2) if values.size else np.nan


def column_medians(values: np.ndarray) -> np.ndarray:
    """Return the median of the finite values of each column of (n, C), float64 (C,).

    NaN for a column without a finite value.
    """
    # Non-finite values are sorted to the end of each column.
    ordered = np.sort(np.where(np.isfinite(values), values, np.nan), axis=0)
    count = np.isfinite(ordered).sum(axis=0)
    if not len(ordered):
        return np.full(len(count), np.nan)
    middle = np.stack([np.maximum(count - 1, 0) // 2, count // 2]).clip(max=len(ordered) - 1)
    pair = np.take_along_axis(ordered, middle, axis=0)
    return np.where(count > 0, pair.mean(axis=0, dtype=np.float64), np.nan)


def bin_label(low: float, high: float) -> str:
    """Return the label of a bin of a quantity: "1 to 3", or "over 30" without an upper edge."""
    return f"{low:g} to {high:g}" if np.isfinite(high) else f"over {low:g}"


@dataclass(frozen=True)
class CodebookUse:
    """How often the codes of a codebook occur.

    Attributes
    ----------
    size : int
        Centroids of the codebook.
    tokens : int
        Codes that were counted.
    used, dead : int
        Centroids whose code occurs, and centroids whose code does not.
    dead_expected : int
        Dead centroids that are expected if all codes are equally likely.
    perplexity : float
        Number of equally frequent codes that have the same entropy.
    bits : float
        Entropy of the frequencies of the codes (bits per code). An ideal coder that knows these
        frequencies needs this many bits; a code as a plain number takes log2(size).
    """

    size: int
    tokens: int
    used: int
    dead: int
    dead_expected: int
    perplexity: float
    bits: float

    @classmethod
    def of(cls, counts: np.ndarray) -> CodebookUse:
        """Compute the numbers from how often each code occurs, int (K,)."""
        size, tokens = len(counts), int(counts.sum())
        dead = int((counts == 0).sum())
        effective = perplexity(counts)
        return cls(
            size=size,
            tokens=tokens,
            used=size - dead,
            dead=dead,
            dead_expected=round(size * (1 - 1 / size) ** tokens) if size else 0,
            perplexity=effective,
            bits=float(np.log2(effective)) if effective else 0.0,
        )


def perplexity(counts: np.ndarray) -> float:
    """Return exp of the entropy of frequencies `counts` (K,); 0 where nothing was counted."""
    total = np.sum(counts)
    return float(np.exp(entr(counts / total).sum())) if total > 0 else 0.0


def count_codes(codes: np.ndarray, size: int) -> np.ndarray:
    """Count how often each of `size` codes occurs, int64 (size,); missing codes do not count."""
    known = codes[codes != MISSING_CODE]
    return np.bincount(known.ravel(), minlength=size)[:size].astype(np.int64)


def codebook_table(codebooks: Mapping[str, CodebookUse]) -> Table:
    """Return a table with one row per codebook."""
    heading = [
        "codebook", "centroids", "tokens evaluated", "codes used", "dead codes",
        "dead if all were equally likely", "perplexity (codes)", "entropy (bits per code)",
    ]  # fmt: skip
    rows: list[Row] = [
        [name, c.size, c.tokens, c.used, c.dead, c.dead_expected, c.perplexity, c.bits]
        for name, c in codebooks.items()
    ]
    return Table(heading, rows)
