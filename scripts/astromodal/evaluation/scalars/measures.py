"""Scalars before and after coding, and errors in units of their column, of bins and of ranks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from astromodal.core.vocab import MISSING_CODE
from astromodal.evaluation.context import EvaluationContext, check_ids, coded_scalars, sample_rows
from astromodal.evaluation.metrics import (
    CodebookUse,
    count_codes,
    measure_median,
    measure_quantile,
    robust_sigma,
)
from astromodal.evaluation.report.section import Measurement
from astromodal.evaluation.report.style import unit
from astromodal.tokenizers.scalars.tokenizer import ScalarTokenizer, load_scalar_tokens

IDEAL_BINS = 0.25
"""Median |decoded - measured| (bin widths) of values spread uniformly inside their bin."""
UNKNOWN = Measurement(np.nan)


@dataclass(frozen=True)
class ScalarSample:
    """Scalars of the evaluated objects, before and after coding.

    Attributes
    ----------
    truth : float64 (n, C)
        Measured values; NaN where missing.
    codes : uint16 (n, C)
        Their codes.
    used : int64 (C, n_bins)
        How often each code occurs among all eligible objects.
    n_eligible : int
        Number of objects that the sample is drawn from.
    """

    truth: np.ndarray
    codes: np.ndarray
    used: np.ndarray
    n_eligible: int


def sample_scalars(context: EvaluationContext, tokenizer: ScalarTokenizer) -> ScalarSample:
    """Sample objects of all fields, and count the codes of every eligible object.

    Raises
    ------
    FormatError
        Where the codes are not those of the cube's values.
    """
    fields, evaluation = context.fields, context.settings.evaluation
    tokens = [load_scalar_tokens(f.files["tokens"], tokenizer.hash) for f in fields]
    places = [np.flatnonzero(f.rows()[t.row]) for f, t in zip(fields, tokens, strict=True)]
    sampled = sample_rows(places, evaluation.max_objects, evaluation.seed)
    n_columns = len(tokenizer.columns)
    used = np.zeros((n_columns, tokenizer.n_bins), dtype=np.int64)
    truth, codes = [np.empty((0, n_columns))], [np.empty((0, n_columns), dtype=np.uint16)]
    jobs = list(zip(fields, tokens, places, sampled, strict=True))
    for field, token, eligible, chosen in context.progress(jobs, len(jobs), "scalars of fields"):
        for i in range(n_columns):
            used[i] += count_codes(token.codes[eligible, i], tokenizer.n_bins)
        cube = field.open(context.settings.columns)
        rows = token.row[chosen]
        check_ids(cube.ids(), rows, token.ids[chosen], field.files["tokens"])
        codes.append(token.codes[chosen])
        truth.append(coded_scalars(cube, tokenizer, rows, codes[-1], "encode_scalars"))
    n_eligible = sum(len(p) for p in places)
    return ScalarSample(np.concatenate(truth), np.concatenate(codes), used, n_eligible)


@dataclass(frozen=True)
class CodingErrors:
    """Errors of the decoded values of one column.

    Attributes
    ----------
    outside : float
        Fraction of the values beyond the range of the training values.
    median, p90 : Measurement
        Median and 90th percentile of |decoded - measured|, in the column's unit.
    median_bins, p90_bins : Measurement
        The same in widths of the value's bin; NaN where no bin has a width.
    median_rank : Measurement
        Median difference in rank: the fraction of the training values in between.
    best_possible : float
        Median error if values were spread uniformly inside their bins, in the column's unit.
    spread : float
        Half the 16 to 84 % range of the values, in the column's unit.
    of_measurement_error : float
        Median of the decoding error over the error in the catalogue; NaN where it has none.
    """

    outside: float = np.nan
    median: Measurement = UNKNOWN
    p90: Measurement = UNKNOWN
    median_bins: Measurement = UNKNOWN
    p90_bins: Measurement = UNKNOWN
    median_rank: Measurement = UNKNOWN
    best_possible: float = np.nan
    spread: float = np.nan
    of_measurement_error: float = np.nan


@dataclass(frozen=True)
class ColumnNumbers(CodingErrors):
    """All numbers of one column; its errors are NaN where no object has a value.

    Attributes
    ----------
    column, unit : str
        Name and unit; the unit is empty for a pure number.
    n : int
        Evaluated objects with a value.
    missing : float
        Fraction of the evaluated objects without a value; NaN without objects.
    n_codes : int
        Bins of the column.
    used, used_expected : float
        Fraction of the bins that occur, and the fraction expected if all were equally likely;
        NaN without bins.
    """

    column: str = ""
    unit: str = ""
    n: int = 0
    missing: float = np.nan
    n_codes: int = 0
    used: float = np.nan
    used_expected: float = np.nan


@dataclass(frozen=True)
class ScalarNumbers:
    """All numbers of the section.

    Attributes
    ----------
    n_objects, n_eligible : int
        Evaluated objects, and objects that they were drawn from.
    columns : dict of str to ColumnNumbers
        By column.
    bits_an_object : float
        Bits of an ideal coder for the known values of an object, on average and each on its own.
    median_bins : float
        Median over columns of the median decoding error (bin widths).
    worst_column : str, optional
        Column of the largest median error in bin widths.
    columns_over_half_a_bin : tuple of str
        Columns whose median error exceeds half a bin by two standard errors.
    """

    n_objects: int
    n_eligible: int
    columns: Mapping[str, ColumnNumbers]
    bits_an_object: float
    median_bins: float = np.nan
    worst_column: str | None = None
    columns_over_half_a_bin: tuple[str, ...] = ()


def bits_an_object(sample: ScalarSample) -> float:
    """Return the mean bits of an object's codes, as `ScalarNumbers` has them; 0 without objects."""
    total = sum(CodebookUse.of(counts).bits * int(counts.sum()) for counts in sample.used)
    return total / max(1, sample.n_eligible)


def measure_column(
    tokenizer: ScalarTokenizer, sample: ScalarSample, i: int, seed: int
) -> ColumnNumbers:
    """Measure the decoding errors of column `i`."""
    truth, codes = sample.truth[:, i], sample.codes[:, i]
    known = np.isfinite(truth) & (codes != MISSING_CODE)
    n_codes, name = int(tokenizer.n_codes[i]), tokenizer.columns[i]
    used, used_expected = _code_use(sample.used[i], n_codes)
    errors = _errors(tokenizer, sample, i, known, seed) if known.any() else CodingErrors()
    return ColumnNumbers(
        **vars(errors),
        column=name,
        unit=unit(name),
        n=int(known.sum()),
        missing=float(1 - known.mean()) if len(truth) else np.nan,
        n_codes=n_codes,
        used=used,
        used_expected=used_expected,
    )


def _errors(
    tokenizer: ScalarTokenizer, sample: ScalarSample, i: int, known: np.ndarray, seed: int
) -> CodingErrors:
    value, code = sample.truth[known, i], sample.codes[known, i].astype(np.int64)
    edges = tokenizer.edges[i, : int(tokenizer.n_codes[i]) + 1]
    decoded = tokenizer.centers[i, code]
    error = np.abs(decoded - value)
    width = edges[code + 1] - edges[code]
    bins = in_bins(error, width)
    rank = np.abs(ranks(tokenizer, i, decoded) - ranks(tokenizer, i, value))
    return CodingErrors(
        outside=float(np.mean((value < edges[0]) | (value > edges[-1]))),
        median=measure_median(error, seed),
        p90=measure_quantile(error, 0.9, seed),
        median_bins=measure_median(bins, seed),
        p90_bins=measure_quantile(bins, 0.9, seed),
        median_rank=measure_median(rank, seed),
        best_possible=float(np.median(width) * IDEAL_BINS),
        spread=robust_sigma(value),
        of_measurement_error=_over_catalogue_error(tokenizer, sample, i, known, error),
    )


def in_bins(error: np.ndarray, width: np.ndarray) -> np.ndarray:
    """Return errors in units of the width of their bins.

    In a bin without a width (one tied value) an error of 0 gives 0, any other error NaN.
    """
    exact = np.where(error == 0, 0.0, np.nan)
    return np.divide(error, width, out=exact, where=width > 0)


def ranks(tokenizer: ScalarTokenizer, i: int, values: np.ndarray) -> np.ndarray:
    """Return the fraction of column `i`'s training values below each of `values`.

    The fraction is interpolated linearly inside a bin.
    """
    n_codes = int(tokenizer.n_codes[i])
    cumulated = np.append(0.0, np.cumsum(tokenizer.weights[i, :n_codes]))
    return np.interp(values, tokenizer.edges[i, : n_codes + 1], cumulated)


def _code_use(counts: np.ndarray, n_codes: int) -> tuple[float, float]:
    """Return the fraction of codes that occur, and its expectation for equally likely codes."""
    if not n_codes:
        return np.nan, np.nan
    expected = 1 - (1 - 1 / n_codes) ** counts.sum() if n_codes > 1 else float(counts.sum() > 0)
    return float((counts[:n_codes] > 0).mean()), float(expected)


def _over_catalogue_error(
    tokenizer: ScalarTokenizer, sample: ScalarSample, i: int, known: np.ndarray, error: np.ndarray
) -> float:
    """Return the median decoding error over the catalogue's error; NaN where it has none."""
    name = tokenizer.columns[i]
    spellings = (f"err_{name}", f"{name}_error", f"{name}err", name.replace("_z", "_e_z"))
    partners = [p for p in spellings if p != name and p in tokenizer.columns]
    if not partners:
        return np.nan
    sigma = sample.truth[known, tokenizer.columns.index(partners[0])]
    good = np.isfinite(sigma) & (sigma > 0)
    return float(np.median(error[good] / sigma[good])) if good.any() else np.nan


@dataclass(frozen=True)
class Residuals:
    """Residuals of the values of one column, m objects.

    Attributes
    ----------
    column, unit : str
        Name and unit of the column.
    value, residual : float64 (m,)
        Measured values, and decoded minus measured values.
    low, high : float64 (m,)
        Smallest and largest residual that a value in the same bin can have.
    """

    column: str
    unit: str
    value: np.ndarray
    residual: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @classmethod
    def of(cls, tokenizer: ScalarTokenizer, sample: ScalarSample, column: str) -> Residuals:
        """Compute the residuals of a column."""
        i = tokenizer.columns.index(column)
        known = np.isfinite(sample.truth[:, i]) & (sample.codes[:, i] != MISSING_CODE)
        value, code = sample.truth[known, i], sample.codes[known, i].astype(np.int64)
        center, edges = tokenizer.centers[i, code], tokenizer.edges[i]
        return cls(
            column=column,
            unit=unit(column),
            value=value,
            residual=center - value,
            low=center - edges[code + 1],
            high=center - edges[code],
        )
