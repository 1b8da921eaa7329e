"""Comparisons of methods on the same objects, for scalars, spectra and cutouts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from astromodal.evaluation.metrics import (
    bootstrap_error,
    measure_fraction,
    measure_mean,
    measure_median,
    measure_scatter,
    reduced_chi2,
)
from astromodal.evaluation.reconstruction.fluxes import (
    MEAN,
    MEAN_SCALED,
    MODEL_SCALED,
    PredictedImages,
    PredictedSpectra,
)
from astromodal.evaluation.reconstruction.sample import BASELINE, MODEL, TOKENIZER, PredictedScalars
from astromodal.evaluation.report.section import Measurement, Verdict

SCALED = (MODEL_SCALED, MEAN_SCALED)
"""The methods between which the gain of spectra and cutouts is measured."""


@dataclass(frozen=True)
class Comparison:
    """Medians of several methods on the same objects.

    Attributes
    ----------
    n : int
        Objects.
    medians : dict of str to Measurement
        Median by method; NaN without objects.
    gain : Measurement
        By how much the first of two methods is better than the second.
    """

    n: int
    medians: Mapping[str, Measurement]
    gain: Measurement


@dataclass(frozen=True)
class ColumnNumbers(Comparison):
    """Absolute errors of one scalar column, in its unit.

    Attributes
    ----------
    scatter : dict of str to Measurement
        68 % half-range of the errors by method.
    inside : Measurement
        Fraction of the values inside the central 68 % of the predicted distribution.
    spread : float
        Half of the 16 to 84 % range of the training values.
    from_all : Comparison, optional
        Prediction from everything else, with the prediction from other blocks as its baseline.
    """

    scatter: Mapping[str, Measurement]
    inside: Measurement
    spread: float
    from_all: Comparison | None = None


@dataclass(frozen=True)
class ScalarNumbers:
    """Errors of scalars: by column, and of all columns in units of their spread.

    Attributes
    ----------
    columns : dict of str to ColumnNumbers
        By column with a measured value.
    all : Comparison
        Absolute errors in units of the spread, of all columns.
    inside : Measurement
        Fraction of all values inside the central 68 % of their predicted distribution.
    """

    columns: Mapping[str, ColumnNumbers]
    all: Comparison
    inside: Measurement


@dataclass(frozen=True)
class FluxNumbers(Comparison):
    """R² of spectra or cutouts.

    Attributes
    ----------
    brightness : Comparison
        Absolute error of the brightness (mag), of the model and of the training mean.
    """

    brightness: Comparison


@dataclass(frozen=True)
class GroupNumbers(FluxNumbers):
    """R² and χ² of the spectra of one group.

    Attributes
    ----------
    chi2 : Comparison
        Reduced χ².
    inside : Measurement
        Fraction of the bins within one predicted standard deviation.
    """

    chi2: Comparison
    inside: Measurement


@dataclass(frozen=True)
class BandNumbers(FluxNumbers):
    """R² and magnitudes of the cutouts in one band.

    Attributes
    ----------
    dmag, dmag_scatter : dict of str to Measurement
        Median and 68 % half-range of the estimated minus the measured magnitude in the mask, of
        the tokenizer and of the model (mag).
    """

    dmag: Mapping[str, Measurement]
    dmag_scatter: Mapping[str, Measurement]


@dataclass(frozen=True)
class SpectrumNumbers:
    """R² of spectra, by group and of all groups together."""

    groups: Mapping[str, GroupNumbers]
    all: FluxNumbers


@dataclass(frozen=True)
class ImageNumbers:
    """R² of cutouts, by band and of all bands together."""

    bands: Mapping[str, BandNumbers]
    all: FluxNumbers


@dataclass(frozen=True)
class ReconstructionNumbers:
    """All numbers of the section; None for a block that no evaluated object has."""

    scalar: ScalarNumbers | None = None
    spectrum: SpectrumNumbers | None = None
    image: ImageNumbers | None = None


def compare(
    values: Mapping[str, np.ndarray],
    seed: int,
    pair: tuple[str, str] = (MODEL, BASELINE),
    *,
    lower_is_better: bool = False,
) -> Comparison:
    """Compare methods on the values that all of them have.

    Parameters
    ----------
    values : mapping of str to (n, B) float
        By method, B values of each object. A value counts where every method has a finite one.
    seed : int
        Seed of the bootstrap over objects. Each resampling has the same objects for all methods.
    pair : (str, str)
        The methods between which the gain is measured.
    lower_is_better : bool
        Whether the values are errors.
    """
    good = np.all([np.isfinite(v) for v in values.values()], axis=0)
    rows = good.any(axis=1)
    tables = {method: np.where(good, v, np.nan)[rows] for method, v in values.items()}
    sign = -1.0 if lower_is_better else 1.0
    n = int(rows.sum())

    def medians(index: np.ndarray) -> np.ndarray:
        by_method = {method: _median(table[index]) for method, table in tables.items()}
        return np.array([*by_method.values(), sign * (by_method[pair[0]] - by_method[pair[1]])])

    value = medians(np.arange(n))
    error = bootstrap_error(medians, n, seed) if n else np.full(len(value), np.nan)
    *each, gain = (Measurement(v, e) for v, e in zip(value.tolist(), error.tolist(), strict=True))
    return Comparison(n, dict(zip(tables, each, strict=True)), gain)


def _median(values: np.ndarray) -> float:
    values = values[np.isfinite(values)]
    return float(np.median(values)) if values.size else np.nan


def judge(*gains: Measurement) -> Verdict:
    """Return "good" where every gain exceeds its error, "none" where one has no error."""
    if not np.isfinite([gain.error for gain in gains]).all():
        return "none"
    return "good" if all(gain.value > gain.error for gain in gains) else "bad"


def measure_scalars(sample: PredictedScalars, seed: int) -> ScalarNumbers:
    """Measure the errors of each column, and of all columns in units of their spread."""
    with np.errstate(invalid="ignore", divide="ignore"):
        relative = {
            method: np.where(sample.spread > 0, np.abs(e) / sample.spread, np.nan)
            for method, e in sample.errors.items()
        }
    columns = {name: _measure_column(sample, i, seed) for i, name in enumerate(sample.columns)}
    every = np.concatenate([*sample.inside.values(), np.empty(0, bool)])
    return ScalarNumbers(
        columns={name: column for name, column in columns.items() if column.n},
        all=compare(relative, seed, lower_is_better=True),
        inside=measure_fraction(every),
    )


def _measure_column(sample: PredictedScalars, i: int, seed: int) -> ColumnNumbers:
    name = sample.columns[i]
    size = {method: np.abs(e[:, [i]]) for method, e in sample.errors.items()}
    from_all = None
    if name in sample.from_all:
        both = {MODEL: np.abs(sample.from_all[name][:, None]), BASELINE: size[MODEL]}
        from_all = compare(both, seed, lower_is_better=True)
    return ColumnNumbers(
        **vars(compare(size, seed, lower_is_better=True)),
        scatter={m: measure_scatter(e[:, i], seed) for m, e in sample.errors.items()},
        inside=measure_fraction(sample.inside[name]),
        spread=float(sample.spread[i]),
        from_all=from_all,
    )


def measure_group(sample: PredictedSpectra, seed: int) -> GroupNumbers:
    """Measure R², χ² and brightness of the spectra of one group."""
    chi2 = {
        method: reduced_chi2(sample.flux, estimate, sample.ivar)[:, None]
        for method, estimate in sample.estimates.items()
    }
    good = sample.ivar > 0
    inside = good & (np.abs(sample.flux - sample.estimates[MODEL]) <= sample.std)
    return GroupNumbers(
        **vars(compare(sample.r2(), seed, SCALED)),
        brightness=compare(_spectrum_brightness(sample), seed, lower_is_better=True),
        chi2=compare(chi2, seed, SCALED, lower_is_better=True),
        inside=measure_mean(inside.sum(1), good.sum(1), seed),
    )


def _spectrum_brightness(sample: PredictedSpectra) -> dict[str, np.ndarray]:
    """Return |Δmag| of the model and, as its baseline, of the mean, (n, 1) each."""
    methods = {MODEL: MODEL, BASELINE: MEAN}
    return {key: brightness(sample.factor[method])[:, None] for key, method in methods.items()}


def brightness(factor: np.ndarray) -> np.ndarray:
    """Return |Δmag| of a factor of the flux; NaN where the factor is not positive."""
    return np.abs(2.5 * np.log10(np.where(factor > 0, factor, np.nan)))


def measure_groups(samples: Sequence[PredictedSpectra], seed: int) -> FluxNumbers:
    """Measure R² and brightness of the spectra of all groups together."""
    r2 = _by_object(samples, [sample.r2() for sample in samples])
    bright = _by_object(samples, [_spectrum_brightness(sample) for sample in samples])
    return FluxNumbers(
        **vars(compare(r2, seed, SCALED)), brightness=compare(bright, seed, lower_is_better=True)
    )


def _by_object(
    samples: Sequence[PredictedSpectra], values: Sequence[Mapping[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """Arrange values (n, 1) of each group by method, one row per object, one column per group."""
    ids, place = np.unique(np.concatenate([s.ids for s in samples]), return_inverse=True)
    ends = np.cumsum([len(s.ids) for s in samples])
    tables = {method: np.full((len(ids), len(values)), np.nan) for method in values[0]}
    for column, (rows, own) in enumerate(zip(np.split(place, ends[:-1]), values, strict=True)):
        for method, of_group in own.items():
            tables[method][rows, column] = of_group[:, 0]
    return tables


def measure_images(sample: PredictedImages, seed: int) -> ImageNumbers:
    """Measure R² and brightness of the cutouts, by band and of all bands."""
    r2, change = sample.r2(), sample.magnitude_changes()
    size = {MODEL: np.abs(change[MODEL]), BASELINE: np.abs(change[MEAN])}
    bands = {}
    for i, name in enumerate(sample.bands):
        compared = compare({m: values[:, [i]] for m, values in r2.items()}, seed, SCALED)
        if not compared.n:
            continue
        own = {m: values[:, [i]] for m, values in size.items()}
        both = (TOKENIZER, MODEL)
        bands[name] = BandNumbers(
            **vars(compared),
            brightness=compare(own, seed, lower_is_better=True),
            dmag={m: measure_median(change[m][:, i], seed) for m in both},
            dmag_scatter={m: measure_scatter(change[m][:, i], seed) for m in both},
        )
    every = FluxNumbers(
        **vars(compare(r2, seed, SCALED)), brightness=compare(size, seed, lower_is_better=True)
    )
    return ImageNumbers(bands, every)
