"""Light curves of the evaluated objects: sample, errors, figures and tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from astromodal.config.schema import ColumnSettings
from astromodal.data.spectra import read_light_curves
from astromodal.errors import FormatError, must_be
from astromodal.evaluation.context import EvaluatedField, EvaluationContext, check_ids, sample_rows
from astromodal.evaluation.metrics import (
    CodebookUse,
    column_medians,
    count_codes,
    measure_median,
    measure_pooled_r2,
    r2_of,
)
from astromodal.evaluation.report.section import Measurement, Row, Table
from astromodal.evaluation.report.style import INK, new_figure
from astromodal.evaluation.spectra.figures import choose_ranks, colour
from astromodal.evaluation.spectra.measures import SnrBin, measure_by_snr
from astromodal.surveys.light_curves import LightCurveBatch, gather
from astromodal.surveys.registry import light_curves
from astromodal.tokenizers.light_curves import DecodedCurves, median_magnitude
from astromodal.tokenizers.spectra.tokenizer import SpectrumTokenizer
from astromodal.tokenizers.spectra.tokens import SpectrumTokens, load_spectrum_tokens

SNR_EDGES = (0.0, 10.0, 30.0, 100.0, np.inf)
"""Edges of the S/N bins (median S/N of the epochs of a light curve)."""


@dataclass(frozen=True)
class CurveSample:
    """Live light curves of one group: m curves of n epochs in total.

    Attributes
    ----------
    ids : unicode (m,)
        The objects.
    observed : LightCurveBatch
        Observed light curves; rows are those of each curve's own field.
    decoded : DecodedCurves
        Decoded light curves, with the same epochs.
    median, decoded_median : float64 (m,)
        Median magnitude, as observed and as decoded.
    counts : int64 (K,)
        How often each code occurs among all eligible light curves.
    """

    ids: np.ndarray
    observed: LightCurveBatch
    decoded: DecodedCurves
    median: np.ndarray
    decoded_median: np.ndarray
    counts: np.ndarray

    def snr(self) -> np.ndarray:
        """Return the median S/N of each curve's epochs, float64 (m,): 1.086 mag over the error."""
        ratio = 2.5 / np.log(10) / self.observed.error
        pieces = np.split(ratio, self.observed.indptr[1:-1])
        return np.array([column_medians(piece[:, None])[0] for piece in pieces if len(piece)])

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Sum `values` (n,) over the epochs of each curve, float64 (m,)."""
        return np.bincount(self.observed.owner(), values, minlength=len(self.ids))


def sample_curves(
    context: EvaluationContext, tokenizer: SpectrumTokenizer
) -> dict[str, CurveSample]:
    """Sample light curves of all fields and decode their codes.

    Returns
    -------
    dict of str to CurveSample
        Every light-curve group of the tokenizer, also those without a curve.

    Raises
    ------
    FormatError
        Where the codes are not those of the cube's light curves.
    """
    fields, evaluation = context.fields, context.settings.evaluation
    groups = light_curves(tokenizer.groups)
    if not groups:
        return {}
    tokens = [load_spectrum_tokens(f.files["tokens"], tokenizer.hash) for f in fields]
    places = []
    for f, token in zip(fields, tokens, strict=True):
        has = np.any([np.diff(token.groups[g].indptr) > 0 for g in groups], axis=0)
        places.append(np.flatnonzero(has & f.rows()[token.row]))
    sampled = sample_rows(places, evaluation.max_objects, evaluation.seed)
    samples = {}
    for group in groups:
        size = len(tokenizer[group].centroids)
        counts = np.zeros(size, dtype=np.int64)
        ids = [np.empty(0, "U1")]
        batches, codes, scales = [], [np.empty(0, np.uint16)], [np.empty(0, np.uint16)]
        for f, token, eligible, chosen in zip(fields, tokens, places, sampled, strict=True):
            own = token.groups[group]
            counts += count_codes(own.codes[gather(own.indptr, eligible)[0]], size)
            curves = _observed(f, group, token, chosen, context.settings.columns)
            place = np.searchsorted(token.row, curves.row)
            ids.append(token.ids[place])
            batches.append(curves)
            codes.append(own.codes[gather(own.indptr, place)[0]])
            scales.append(own.scale[place])
        observed, scale = LightCurveBatch.join(batches), np.concatenate(scales)
        samples[group] = CurveSample(
            ids=np.concatenate(ids),
            observed=observed,
            decoded=tokenizer.decode_curves(group, np.concatenate(codes), observed.indptr, scale),
            median=median_magnitude(observed),
            decoded_median=tokenizer.decode_scale(group, scale),
            counts=counts,
        )
    return samples


def _observed(
    field: EvaluatedField,
    group: str,
    token: SpectrumTokens,
    chosen: np.ndarray,
    columns: ColumnSettings,
) -> LightCurveBatch:
    """Read the light curves of the chosen objects that have codes."""
    cube = field.open(columns)
    check_ids(cube.ids(), token.row, token.ids, field.files["tokens"])
    lengths = np.diff(token.groups[group].indptr)
    coded = chosen[lengths[chosen] > 0]
    batches = [b.take(np.isin(b.row, token.row[coded])) for b in read_light_curves(cube, group)]
    curves = LightCurveBatch.join(batches)
    same_rows = np.array_equal(curves.row, token.row[coded])
    if not same_rows or not np.array_equal(curves.lengths(), lengths[coded]):
        what = f"{group} codes of {field.files['tokens'].name}"
        raise FormatError(must_be(what, "of the cube's light curves", "others", "encode again"))
    return curves


@dataclass(frozen=True)
class CurveNumbers:
    """All numbers of one group of light curves; errors are medians over curves.

    Attributes
    ----------
    n_curves, n_epochs : int
        Light curves, and epochs in total.
    r2, chi2 : Measurement
        R² about the median magnitude, and reduced χ².
    r2_pooled : Measurement
        R² of all light curves together.
    median_error : Measurement
        Error of the decoded median magnitude (mag).
    precision_error : Measurement
        Mean over a curve's epochs of |ln(decoded error / error)|.
    step_error : Measurement
        Mean over a curve's epochs of |ln((1 + decoded step) / (1 + step))|, steps in days.
    end_error : Measurement
        Error of the time from the first to the last epoch, relative to that time.
    snr : tuple of SnrBin
        Medians by S/N.
    codebook : CodebookUse
        Use of the codes.
    """

    n_curves: int
    n_epochs: int
    r2: Measurement
    r2_pooled: Measurement
    chi2: Measurement
    median_error: Measurement
    precision_error: Measurement
    step_error: Measurement
    end_error: Measurement
    snr: tuple[SnrBin, ...]
    codebook: CodebookUse


def measure_curves(sample: CurveSample, seed: int) -> CurveNumbers:
    """Measure one group of light curves."""
    observed, n = sample.observed, np.maximum(sample.observed.lengths(), 1)
    chi2, residual, total = curve_chi2(sample)
    r2 = r2_of(residual, total)
    truth = true_steps(observed.time, observed.indptr)
    step = sample.sums(np.abs(np.log1p(sample.decoded.step) - np.log1p(truth))) / n
    precision = sample.sums(np.abs(np.log(sample.decoded.error / observed.error))) / n
    return CurveNumbers(
        n_curves=len(sample.ids),
        n_epochs=len(observed.time),
        r2=measure_median(r2, seed),
        r2_pooled=measure_pooled_r2(residual, total, seed),
        chi2=measure_median(chi2, seed),
        median_error=measure_median(np.abs(sample.decoded_median - sample.median), seed),
        precision_error=measure_median(precision, seed),
        step_error=measure_median(step, seed),
        end_error=measure_median(end_error(sample), seed),
        snr=measure_by_snr(sample.snr(), SNR_EDGES, r2, chi2, seed),
        codebook=CodebookUse.of(sample.counts),
    )


def curve_chi2(sample: CurveSample) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the reduced χ² and the sums of squares of each curve, float64 (m,) each.

    The residual sum is of (observed - decoded)², the total of (observed - the object's median)²,
    both in units of the errors.
    """
    observed = sample.observed
    median = np.repeat(sample.median, observed.lengths())
    residual = sample.sums(((observed.mag - sample.decoded.mag) / observed.error) ** 2)
    total = sample.sums(((observed.mag - median) / observed.error) ** 2)
    return residual / np.maximum(observed.lengths(), 1), residual, total


def true_steps(time: np.ndarray, indptr: np.ndarray) -> np.ndarray:
    """Return the days since the previous epoch, float64 (n,); 0 for the first of each curve.

    Every curve must have an epoch.
    """
    step = np.diff(time, prepend=0.0)
    step[indptr[:-1]] = 0.0
    return step


def end_error(sample: CurveSample) -> np.ndarray:
    """Return the relative error of each curve's duration, float64 (m,).

    NaN for a curve whose epochs have all the same time.
    """
    if not len(sample.ids):
        return np.empty(0)
    first, last = sample.observed.indptr[:-1], sample.observed.indptr[1:] - 1
    duration = sample.observed.time[last] - sample.observed.time[first]
    off = np.abs(sample.decoded.time[last] - duration)
    return np.divide(off, duration, out=np.full(len(off), np.nan), where=duration > 0)


def plot_curves(sample: CurveSample, group: str, most: int) -> tuple[Figure, Table]:
    """Plot observed and decoded light curves at evenly spaced ranks of variability.

    Returns
    -------
    figure, table
        The figure, and a table with the numbers of each light curve in it.
    """
    observed, decoded, n = sample.observed, sample.decoded, sample.observed.lengths()
    chi2, _, total = curve_chi2(sample)
    variability = total / n
    order = np.lexsort((sample.ids, -variability))
    chosen = order[choose_ranks(len(order), most)].tolist()
    figure, axes = new_figure(len(chosen), 1, height=0.6 + 1.2 * len(chosen), sharex=True)
    rows: list[Row] = []
    for axis, i in zip(axes[:, 0], chosen, strict=True):
        epochs = slice(observed.indptr[i], observed.indptr[i + 1])
        time = observed.time[epochs] - observed.time[epochs.start]
        axis.errorbar(
            time, observed.mag[epochs], observed.error[epochs], fmt=".", color=INK, markersize=3,
            linewidth=0.5,
        )  # fmt: skip
        axis.plot(
            decoded.time[epochs], decoded.mag[epochs], ".", color=colour(group), markersize=3,
            alpha=0.8,
        )  # fmt: skip
        axis.invert_yaxis()
        axis.set_title(str(sample.ids[i]), loc="left", fontsize=7)
        off = float(decoded.time[epochs][-1] - time[-1])
        rows.append([str(sample.ids[i]), int(n[i]), float(variability[i]), float(chi2[i]), off])
    axes[-1, 0].set_xlabel("time since the first epoch (day)")
    figure.supylabel("magnitude (mag)", fontsize=8, color=INK)
    heading = ["object", "epochs", "χ² about the median", "reduced χ²", "error of the end (day)"]
    return figure, Table(heading, rows)


def plot_curve_quality(
    samples: Mapping[str, CurveSample], numbers: Mapping[str, CurveNumbers]
) -> Figure:
    """Plot the medians of 1 - R² and of the reduced χ² in bins of S/N, with bootstrap errors."""
    figure, axes = new_figure(1, 2, height=3.0)
    left, right = axes[0]
    for name, sample in samples.items():
        snr = sample.snr()
        used = [b for b in numbers[name].snr if b.n]
        x = [np.median(snr[(snr >= b.low) & (snr < b.high)]) for b in used]
        r2, chi2 = (np.array([m.value for m in each]) for each in _medians(used))
        errors = [np.nan_to_num([m.error for m in each]) for each in _medians(used)]
        for axis, value, error in zip(axes[0], (1 - r2, chi2), errors, strict=True):
            low = np.minimum(error, 0.9 * np.abs(value))  # a log axis hides a bar that reaches 0
            axis.errorbar(x, value, [low, error], fmt="o", color=colour(name), label=name)
    left.set(xscale="log", yscale="log", xlabel="S/N of an epoch (median)",
             ylabel="unexplained variance 1 - R²")  # fmt: skip
    right.set(xscale="log", yscale="log", xlabel="S/N of an epoch (median)", ylabel="reduced χ²")
    right.axhline(1, color=INK, linestyle="--", linewidth=0.9)
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure


def _medians(bins: list[SnrBin]) -> tuple[list[Measurement], list[Measurement]]:
    return [b.r2 for b in bins], [b.chi2 for b in bins]


def curve_table(groups: Mapping[str, CurveNumbers]) -> Table:
    """Return a table with one row per group and one per bin of S/N."""
    heading = [
        "group", "S/N", "light curves", "median R²", "median reduced χ²", "R² of all together",
        "error of the median (mag)", "error of the precision (%)", "error of 1 + step (%)",
        "error of the duration (%)",
    ]  # fmt: skip
    rows: list[Row] = []
    for name, n in groups.items():
        percent = [each.scaled(100) for each in (n.precision_error, n.step_error, n.end_error)]
        whole = [n.r2, n.chi2, n.r2_pooled, n.median_error]
        rows.append([name, "all", n.n_curves, *whole, *percent])
        rows += [[name, str(b), b.n, b.r2, b.chi2, *[None] * 5] for b in n.snr if b.n]
    return Table(heading, rows)
