"""How well light-curve codes keep the light curves."""

from __future__ import annotations

from typing import Any

import numpy as np

from astromodal.evaluation.light_curves.figures import add_curve_figures
from astromodal.evaluation.light_curves.sample import CurveSample
from astromodal.evaluation.metrics import codebook_numbers, median_error, pooled_r2_error, r2_of
from astromodal.evaluation.report.section import Section
from astromodal.evaluation.report.style import styled
from astromodal.evaluation.report.values import Measurement

SNR_EDGES = (0.0, 10.0, 30.0, 100.0, np.inf)
"""Edges of the S/N bins (median S/N of a curve's epochs)."""


def add_light_curves(
    section: Section, samples: dict[str, CurveSample], n_examples: int, seed: int
) -> None:
    """Add the light curves' numbers, headlines, notes and figures to the spectra's section.

    Parameters
    ----------
    part : Part
        The section.
    samples : dict of str to CurveSample
        Every light-curve group of the tokenizer.
    n_examples, seed : int
        Light curves in the figure of examples, and the seed of bootstrap errors.
    """
    if not samples:
        return
    section.summary += (
        " A light curve keeps its own epochs: each one's magnitude, precision and time step become "
        "one code, the median magnitude one more. R² and χ² compare decoded with observed "
        "magnitudes, weighted by inverse variance, R² about the object's median; a source that "
        "does not vary has only noise to explain."
    )
    live = {name: s for name, s in samples.items() if len(s.ids)}
    section.numbers["light_curves"] = {name: curve_numbers(s, seed) for name, s in samples.items()}
    for name in samples.keys() - live.keys():
        section.notes.append(f"{name}: no evaluated object has a light curve with codes.")
    for name in live:
        numbers = section.numbers["light_curves"][name]
        section.add_headline(
            f"Light curves {name}: χ²", numbers["chi2"].value, numbers["chi2"].error,
            note=f"reduced χ² of decoded magnitudes, median of {numbers['n_curves']} light curves; "
            "below 1, coding changes a magnitude by less than its noise does",
            verdict="good" if numbers["chi2"].value < 1 else "bad",
        )  # fmt: skip
    if live:
        with styled():
            add_curve_figures(section, live, n_examples)


def curve_numbers(sample: CurveSample, seed: int) -> dict[str, Any]:
    """All numbers of one group, overall and by S/N.

    ``step_error`` is the mean over a curve's epochs of |ln((1 + decoded step) / (1 + step))|, its
    median over curves; ``end_error`` the error of the time from a curve's first to its last epoch,
    over that time.
    """
    observed, n = sample.observed, np.maximum(sample.observed.lengths(), 1)
    chi2, residual, total = curve_chi2(sample)
    values = r2_of(residual, total)
    snr = sample.snr()
    truth = true_steps(observed.time, observed.indptr)
    step = sample.sums(np.abs(np.log1p(sample.decoded.step) - np.log1p(truth))) / n
    precision = sample.sums(np.abs(np.log(sample.decoded.error / observed.error))) / n
    bins = []
    for low, high in zip(SNR_EDGES[:-1], SNR_EDGES[1:], strict=True):
        chosen = (snr >= low) & (snr < high)
        bins.append({
            "low": low, "high": high, "n": int(chosen.sum()),
            "r2": Measurement(*median_error(values[chosen], seed)),
            "chi2": Measurement(*median_error(chi2[chosen], seed)),
        })  # fmt: skip
    return {
        "n_curves": len(sample.ids),
        "n_epochs": len(observed.time),
        "r2": Measurement(*median_error(values, seed)),
        "r2_pooled": Measurement(*pooled_r2_error(residual, total, seed)),
        "chi2": Measurement(*median_error(chi2, seed)),
        "median_error": Measurement(
            *median_error(np.abs(sample.decoded_median - sample.median), seed)
        ),
        "precision_error": Measurement(*median_error(precision, seed)),
        "step_error": Measurement(*median_error(step, seed)),
        "end_error": Measurement(*median_error(end_error(sample), seed)),
        "snr": bins,
        "codebook": codebook_numbers(sample.counts),
    }


def curve_chi2(sample: CurveSample) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each curve, float64 (m,) each: reduced χ², and the sums of squares that R² is made of.

    The sums are of (observed - decoded)² and of (observed - the object's median)², in units of the
    errors.
    """
    observed = sample.observed
    median = np.repeat(sample.median, observed.lengths())
    residual = sample.sums(((observed.mag - sample.decoded.mag) / observed.error) ** 2)
    total = sample.sums(((observed.mag - median) / observed.error) ** 2)
    return residual / np.maximum(observed.lengths(), 1), residual, total


def true_steps(time: np.ndarray, indptr: np.ndarray) -> np.ndarray:
    """Days since the epoch before, float64 (n,), of curves that all have an epoch; first 0."""
    step = np.diff(time, prepend=0.0)
    step[indptr[:-1]] = 0.0
    return step


def end_error(sample: CurveSample) -> np.ndarray:
    """Error of a curve's whole duration over it, float64 (m,); NaN where it has none."""
    if not len(sample.ids):
        return np.empty(0)
    first, last = sample.observed.indptr[:-1], sample.observed.indptr[1:] - 1
    duration = sample.observed.time[last] - sample.observed.time[first]
    off = np.abs(sample.decoded.time[last] - duration)
    return np.divide(off, duration, out=np.full(len(off), np.nan), where=duration > 0)
