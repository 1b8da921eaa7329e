"""Spectra that the model tells from an object's other blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from astromodal.core.vocab import MISSING_CODE
from astromodal.data.spectra import SpectrumBatch, read_spectra, rebinned
from astromodal.evaluation.held_out import PACKED, check_codes
from astromodal.evaluation.metrics import mean_error, r2, reduced_chi2
from astromodal.evaluation.reconstruction.scores import (
    BASELINE,
    MEAN,
    MEAN_SHAPE,
    MODEL,
    SHAPE,
    TOKENIZER,
    Bench,
    brightness,
    compared,
    scaled,
)
from astromodal.evaluation.report.section import measured
from astromodal.inference.encode import Encoded
from astromodal.inference.predict_blocks import predict_spectra


@dataclass(frozen=True)
class SpectrumSample:
    """Live spectra of one group.

    Attributes
    ----------
    ids : unicode (n,)
        Ids of the objects.
    wave : float64 (L,)
        Wavelengths of the bins.
    flux, ivar : float64 (n, L)
        Observed and rebinned; NaN and 0 in a bin without a good pixel.
    ways : dict of str to float64 (n, L)
        Flux by way: decoded codes, what the model expects, the training spectra's mean, what the
        model expects and the mean of relative spectra at the brightness that fits best.
    factor : dict of str to float64 (n,)
        What brings ``model`` and ``mean`` to that brightness.
    std : float64 (n, L)
        Standard deviation that the model gives for what would be measured.
    """

    ids: np.ndarray
    wave: np.ndarray
    flux: np.ndarray
    ivar: np.ndarray
    ways: dict[str, np.ndarray]
    factor: dict[str, np.ndarray]
    std: np.ndarray


def sample_spectra(bench: Bench, objects: Encoded, group: str) -> SpectrumSample:
    """Predict spectra of one group, and read what was observed."""
    model, coder = bench.model, bench.model.tokenizers.spectrum
    predicted, std = predict_spectra(
        model.bundle, objects, model.request(group), group,
        bench.sampling, model.settings,
    )  # fmt: skip
    flux, ivar = _observed(bench, objects, group, predicted.shape[1])
    codes, trained = objects.codes(group), bench.trained_on(group).codes(group)
    decoded = coder.decode(group, codes[:, 1:], codes[:, 0])[0]
    scale = coder.decode_scale(group, trained[:, 0])
    spectra = coder.decode(group, trained[:, 1:], trained[:, 0])[0]
    mean = np.broadcast_to(_mean(spectra), flux.shape)
    at_best, factor = scaled(predicted, flux, ivar)
    ways = {
        TOKENIZER: decoded,
        MODEL: predicted,
        MEAN: mean,
        SHAPE: at_best,
        MEAN_SHAPE: scaled(_mean(spectra / scale[:, None]), flux, ivar)[0],
    }
    factors = {MODEL: factor, MEAN: scaled(mean, flux, ivar)[1]}
    wave = coder.spectrum(group).wave
    return SpectrumSample(objects.ids, wave, flux, ivar, ways, factors, std)


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean of the finite values of each column of (m, L), (L,); NaN where there are none."""
    good = np.isfinite(values)
    count = good.sum(0)
    total = np.where(good, values, 0.0).sum(0)
    return np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)


def _observed(
    bench: Bench, objects: Encoded, group: str, length: int
) -> tuple[np.ndarray, np.ndarray]:
    """Observed flux and inverse variance in the bins, float64 (n, L) each.

    Raises
    ------
    FormatError
        Where the sequences' codes are not those of what was observed.
    """
    coder, stored = bench.model.tokenizers.spectrum, objects.codes(group)[:, 1:]
    again = np.full_like(stored, MISSING_CODE)
    flux, ivar = np.full((len(objects), length), np.nan), np.zeros((len(objects), length))
    settings = bench.model.config.tokenizers.spectrum
    for mine, cube, rows in bench.by_field(objects):
        for batch in read_spectra(cube, group, settings):
            some = np.isin(batch.row, rows)
            chosen = SpectrumBatch(batch.row[some], batch.flux[some], batch.ivar[some])
            place = mine[np.searchsorted(rows, chosen.row)]
            again[place], _ = coder.encode(group, chosen.flux, chosen.ivar)
            flux[place], ivar[place] = rebinned(chosen, group, settings)
        rule = PACKED.format("encode_spectra")
        check_codes(cube, f"{group} spectra", stored[mine], again[mine], rule)
    return flux, ivar


def r2_by_way(sample: SpectrumSample) -> dict[str, np.ndarray]:
    """Explained variance of each spectrum by way, float64 (n, 1)."""
    return {way: r2(sample.flux, flux, sample.ivar)[:, None] for way, flux in sample.ways.items()}


def spectrum_numbers(sample: SpectrumSample, seed: int) -> dict[str, Any]:
    """R² and χ² of a group's spectra by way, and how often one sigma of the model holds."""
    chi2 = {
        way: reduced_chi2(sample.flux, flux, sample.ivar)[:, None]
        for way, flux in sample.ways.items()
    }
    good = sample.ivar > 0
    inside = good & (np.abs(sample.flux - sample.ways[MODEL]) <= sample.std)
    shapes = (SHAPE, MEAN_SHAPE)
    return {
        **compared(r2_by_way(sample), seed, shapes),
        "chi2": compared(chi2, seed, shapes, lower_is_better=True),
        "brightness": compared(brightness_by_way(sample), seed, lower_is_better=True),
        "inside": measured(*mean_error(inside.sum(1), good.sum(1), seed)),
    }


def brightness_by_way(sample: SpectrumSample) -> dict[str, np.ndarray]:
    """|Δmag| of the model and, as its baseline, of the training spectra's mean, (n, 1)."""
    names = {MODEL: MODEL, BASELINE: MEAN}
    return {way: brightness(sample.factor[name])[:, None] for way, name in names.items()}
