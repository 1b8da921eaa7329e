"""Temperatures of modalities."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from astromodal.core.loops import quiet
from astromodal.evaluation.downstream.temperatures import (
    TemperatureScan,
    fit_temperatures,
    scan_temperatures,
)
from astromodal.evaluation.transformer.losses import measure_nll
from astromodal.sequences.dataset import SequenceSet
from astromodal.training.calibration import LOG_TEMPERATURES, best_temperature
from astromodal.training.initialisation import Unigram


def _sharpened(n=400, factor=2.0, seed=0):
    """NLL of samples from a softmax whose logits are then multiplied by a factor."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, 20, 8))
    probabilities = np.exp(logits) / np.exp(logits).sum(2, keepdims=True)
    codes = (probabilities.cumsum(2) < rng.random((n, 20, 1))).sum(2)
    sums = []
    for power in LOG_TEMPERATURES:
        scaled = factor * logits / 2**power
        of_code = np.take_along_axis(scaled, codes[:, :, None], 2)[:, :, 0]
        sums.append((np.log(np.exp(scaled).sum(2)) - of_code).sum(1))
    return TemperatureScan(np.stack(sums, axis=1), np.full(n, 20))


def test_a_known_temperature_is_fitted():
    """Logits that are 1.5 times too large have the temperature 1.5, which lowers their NLL."""
    numbers = fit_temperatures(
        {"image": _sharpened(factor=1.5)}, {"image": _sharpened(factor=1.5, seed=1)}, 0
    )["image"]
    fitted = numbers.temperature
    assert fitted.value == pytest.approx(1.5, abs=4 * fitted.error)
    assert numbers.helps
    assert not numbers.edge
    assert numbers.after.value < numbers.before.value


def test_right_logits_need_no_temperature():
    """It stays at 1, and does not help."""
    numbers = fit_temperatures(
        {"scalar": _sharpened(factor=1)}, {"scalar": _sharpened(factor=1, seed=1)}, 0
    )["scalar"]
    assert numbers.temperature.value == pytest.approx(1, abs=0.1)
    assert not numbers.helps


def test_a_temperature_at_the_end_of_the_grid_is_marked():
    """Logits four times too large need a higher temperature than the grid has."""
    numbers = fit_temperatures({"image": _sharpened(50, 4)}, {"image": _sharpened(50, 4)}, 0)
    assert numbers["image"].edge


def test_a_modality_without_codes_is_left_out():
    """Without objects to fit to or to score there is no number."""
    assert fit_temperatures({"image": _sharpened(20)}, {}, 0) == {}


def test_the_minimum_of_a_parabola_is_returned():
    """Also between the points of the grid."""
    assert best_temperature((LOG_TEMPERATURES - 0.3) ** 2) == pytest.approx(0.3, abs=0.01)


def test_at_temperature_one_the_nll_is_the_models_own(survey):
    """The middle of the grid agrees with the section on the transformer, for asked scalars."""
    bundle = survey.model.bundle
    sequences = SequenceSet(survey.sequences, bundle.layout)
    every = np.arange(12)
    scans = scan_temperatures(bundle, sequences, every, 99, 3, 500, quiet)
    unigram, cpu = Unigram(sequences, every), torch.device("cpu")
    ask = bundle.trained.hiding(3)
    ranges, _ = measure_nll(bundle.trained.model, sequences, [every], unigram, (3, 0), ask, cpu)
    asked = sequences.batch(every, (3, 0), ask).columns.asked
    for modality, scan in scans.items():
        values = [
            r.model[asked] if r.block == "scalar" else r.model
            for r in ranges
            if r.ids.modality == modality
        ]
        want = sum(np.nansum(each) for each in values)
        assert scan.sums[:, 4].sum() == pytest.approx(want, rel=1e-5)
        assert scan.at(0.0).sum() == pytest.approx(want, rel=1e-5)


def test_a_calibrated_model_predicts_at_its_temperature(survey):
    """A high temperature of scalars flattens them; one of other modalities changes nothing."""
    model = survey.model
    objects = model.open(survey.sequences[0])[:4]
    own, hot, other = (
        m.predict(objects, "specz_z", "mag_pstotal_r")["specz_z"].probabilities
        for m in (model, model.calibrated({"scalar": 50.0}), model.calibrated({"image": 50.0}))
    )
    assert np.ptp(hot, axis=1).max() < 0.2 * np.ptp(own, axis=1).max()
    np.testing.assert_allclose(own, other, rtol=1e-5)


def test_a_column_goes_before_its_modality(survey):
    """A temperature of the column is used in place of that of all scalars, or of the model's own.

    The model's own is used where none is given.
    """
    model = survey.model
    objects = model.open(survey.sequences[0])[:4]
    own, same, both, hot = (
        m.predict(objects, "specz_z", "mag_pstotal_r")["specz_z"].probabilities
        for m in (
            model,
            model.calibrated({"specz_z": 3.0}),
            model.calibrated({"specz_z": 3.0, "scalar": 50.0}),
            replace_own(model, 3.0),
        )
    )
    assert np.array_equal(same, both)
    np.testing.assert_allclose(same, hot, rtol=1e-6)
    assert not np.allclose(own, same)


def replace_own(model, temperature):
    """The same model with a temperature of its own for every column."""
    trained = copy.deepcopy(model.bundle.trained)
    trained.model.values.temperatures.fill_(temperature)
    return type(model)(replace(model.bundle, trained=trained))
