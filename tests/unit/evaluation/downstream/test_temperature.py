"""Temperatures by modality."""

import numpy as np
import pytest
import torch

from astromodal.core.progress import quiet
from astromodal.evaluation.downstream.calibration import (
    LOG_TEMPERATURES,
    NllSums,
    best_temperature,
    fit_temperatures,
    measure_temperatures,
)
from astromodal.evaluation.transformer.sample import measure_nll
from astromodal.sequences.dataset import SequenceSet
from astromodal.training.initialisation import Unigram


def _sharpened(n=400, factor=2.0, seed=0):
    """NLL of samples from a softmax whose logits are then multiplied by a factor."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, 20, 8))
    probabilities = np.exp(logits) / np.exp(logits).sum(2, keepdims=True)
    sampled = (probabilities.cumsum(2) < rng.random((n, 20, 1))).sum(2)
    sums = []
    for power in LOG_TEMPERATURES:
        scaled = factor * logits / 2**power
        right = np.take_along_axis(scaled, sampled[:, :, None], 2)[:, :, 0]
        sums.append((np.log(np.exp(scaled).sum(2)) - right).sum(1))
    return NllSums(np.stack(sums, axis=1), np.full(n, 20))


def test_the_temperature_that_was_lost_is_found():
    """Logits that are 1.5 times too large want to be divided by 1.5, and gain by it."""
    found = fit_temperatures(
        {"image": _sharpened(factor=1.5)}, {"image": _sharpened(factor=1.5, seed=1)}, 0
    )["image"]
    fitted = found.temperature
    assert fitted.value == pytest.approx(1.5, abs=4 * fitted.error)
    assert found.helps
    assert not found.edge
    assert found.after.value < found.before.value


def test_right_logits_want_no_temperature():
    """It stays at 1, and does not help."""
    found = fit_temperatures(
        {"scalar": _sharpened(factor=1)}, {"scalar": _sharpened(factor=1, seed=1)}, 0
    )["scalar"]
    assert found.temperature.value == pytest.approx(1, abs=0.1)
    assert not found.helps


def test_the_end_of_the_grid_is_said():
    """Logits four times too large want more than is tried."""
    numbers = fit_temperatures({"image": _sharpened(50, 4)}, {"image": _sharpened(50, 4)}, 0)
    assert numbers["image"].edge


def test_a_modality_without_codes_is_left_out():
    """Nothing to fit, or nothing to score: no number."""
    assert fit_temperatures({"image": _sharpened(20)}, {}, 0) == {}


def test_the_least_of_a_parabola_is_found():
    """Between the points of the grid as well."""
    assert best_temperature((LOG_TEMPERATURES - 0.3) ** 2) == pytest.approx(0.3, abs=0.01)


def test_at_temperature_one_nll_is_the_models_own(survey):
    """The grid's middle agrees with the transformer's section, modality by modality."""
    bundle = survey.model.bundle
    sequences = SequenceSet(survey.sequences, bundle.layout)
    every = np.arange(12)
    found = measure_temperatures(bundle, sequences, every, 99, 3, 500, quiet)
    unigram, cpu = Unigram(sequences, every), torch.device("cpu")
    own, _ = measure_nll(bundle.trained.model, sequences, [every], unigram, (3, 0), cpu)
    for modality, nll in found.items():
        want = np.nansum([np.nansum(s.model) for s in own if s.ids.modality == modality])
        assert nll.sums[:, 4].sum() == pytest.approx(want, rel=1e-5)
        assert nll.at(0.0).sum() == pytest.approx(want, rel=1e-5)


def test_a_calibrated_model_predicts_at_that_temperature(survey):
    """Hot scalars come closer to even; a temperature of other modalities changes nothing."""
    model = survey.model
    objects = model.open(survey.sequences[0])[:4]
    own, hot, other = (
        m.predict(objects, "specz_z", "mag_pstotal_r")["specz_z"].probabilities
        for m in (model, model.calibrated({"scalar": 50.0}), model.calibrated({"image": 50.0}))
    )
    assert np.ptp(hot, axis=1).max() < 0.2 * np.ptp(own, axis=1).max()
    assert np.array_equal(own, other)
