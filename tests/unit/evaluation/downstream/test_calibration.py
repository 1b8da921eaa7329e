"""Predicted distributions, class probabilities and temperatures."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from astromodal.core.loops import quiet
from astromodal.evaluation.downstream.calibration import (
    TemperatureScan,
    bin_nll,
    calibrate,
    calibration_error,
    fit_temperatures,
    pit_histogram,
    reliability,
    scan_temperatures,
)
from astromodal.evaluation.transformer.losses import measure_nll
from astromodal.inference.predict_scalars import ScalarPrediction
from astromodal.sequences.dataset import SequenceSet
from astromodal.training.calibration import (
    LOG_TEMPERATURES,
    best_temperature,
    even_levels,
    with_levels,
)
from astromodal.training.initialisation import Unigram

EDGES = np.linspace(0, 1, 11)


def _prediction(probabilities, edges=EDGES):
    n = len(probabilities)
    centers = (edges[:-1] + edges[1:]) / 2
    return ScalarPrediction("c", "", np.arange(n).astype(str), probabilities, centers, edges,
                            np.ones(n, np.int32))  # fmt: skip


def _uniform(n):
    return _prediction(np.full((n, 10), 0.1))


def test_the_right_distribution_is_calibrated():
    """Uniform truth and predictions: nominal coverage, no gain over the constant."""
    rng = np.random.default_rng(1)
    truth = rng.uniform(size=2000)
    calibration = calibrate(_uniform(2000), truth, rng.uniform(size=5000), 0)
    numbers = calibration.numbers
    for level, coverage in numbers.coverage.items():
        assert coverage.value == pytest.approx(float(level), abs=4 * coverage.error)
    assert not numbers.poor
    density, error = pit_histogram(calibration.pit)
    assert np.all(np.abs(density - 1) < 4 * error)
    assert numbers.crps_gain.value == pytest.approx(0, abs=0.002)


def test_too_narrow_a_distribution_is_poor():
    """Uniform truth, predictions in one bin: too few objects inside, and a loss."""
    truth = np.random.default_rng(1).uniform(size=300)
    narrow = np.zeros((300, 10))
    narrow[:, 5] = 1
    numbers = calibrate(_prediction(narrow), truth, truth, 0).numbers
    assert numbers.poor
    assert numbers.checked.value < 0.2
    assert numbers.crps_gain.value < 0


def test_a_few_objects_are_not_called_poor():
    """Two of three objects inside a 68 % interval are as good as three objects can show."""
    calibration = calibrate(_uniform(3), np.array([0.4, 0.5, 0.95]), np.array([0.5]), 0)
    assert not calibration.numbers.poor


def test_good_predictions_gain():
    """Predictions in the right bin are better than the constant in both scores."""
    truth = np.random.default_rng(1).uniform(size=100)
    right = np.eye(10)[(truth * 10).astype(int)] * 0.9 + 0.01
    numbers = calibrate(_prediction(right), truth, truth, 0).numbers
    assert numbers.crps_gain.value > 0
    assert numbers.nll.value == pytest.approx(-np.log(0.91))
    assert numbers.nll_gain.value > 1


def test_numbers_at_a_temperature_of_one_are_those_of_the_plain_distributions():
    """Distributions that were divided by a temperature give the same numbers once it is undone."""
    rng = np.random.default_rng(3)
    plain = rng.dirichlet(np.ones(10), size=200)
    truth, temperature = rng.uniform(size=200), 1.7
    powers = plain ** (1 / temperature)
    hot = _prediction(powers / powers.sum(axis=1, keepdims=True))
    found = calibrate(replace(hot, temperature=temperature), truth, truth, 0).numbers
    wanted = calibrate(_prediction(plain), truth, truth, 0).numbers
    assert found.temperature == temperature
    assert found.uncalibrated["coverage"] == wanted.checked
    assert found.uncalibrated["crps"].value == pytest.approx(wanted.crps.value)
    assert found.uncalibrated["nll"].value == pytest.approx(wanted.nll.value)
    assert found.nll.value != pytest.approx(wanted.nll.value, abs=1e-3)


def test_nll_is_that_of_the_true_bin():
    """A value on an edge belongs to the bin below; one beyond the last edge to the last bin."""
    probabilities = np.tile(np.arange(1, 11) / 55, (3, 1))
    nll = bin_nll(_prediction(probabilities), np.array([0.1, 0.15, 7.0]))
    assert nll == pytest.approx(-np.log(np.array([1, 2, 10]) / 55))


def test_ties_are_sampled_uniformly():
    """Where a third of the probability lies on one value, its PIT fills that third."""
    edges = np.array([0.0, 1.0, 1.0, 2.0])
    pit = calibrate(_prediction(np.full((4000, 3), 1 / 3), edges), np.ones(4000),
                    np.ones(10), 0).pit  # fmt: skip
    assert pit.min() == pytest.approx(1 / 3, abs=0.01)
    assert pit.max() == pytest.approx(2 / 3, abs=0.01)
    assert pit.mean() == pytest.approx(0.5, abs=0.01)


def test_calibration_error_by_hand():
    """Confidence 0.9, 0.6, 0.7 correct and 0.8 wrong: off by 0.1, 0.4, 0.3 and 0.8, mean 0.4."""
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.8, 0.2]])
    assert calibration_error(np.array([0, 0, 1, 1]), probabilities) == pytest.approx(0.4)


def test_reliability_counts_every_object():
    """All bins together hold all objects, and full confidence is in the last bin."""
    bins = reliability(np.array([0, 0]), np.array([[1.0, 0], [0.55, 0.45]]))
    assert [b.n for b in bins] == [1, 1]
    assert bins[-1].confidence == 1


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


def test_numbers_without_levels_are_those_of_the_plain_distributions():
    """Distributions whose levels were replaced give the same numbers once that is undone."""
    rng = np.random.default_rng(0)
    plain = rng.dirichlet(np.ones(10), 200)
    truth, levels = rng.uniform(size=200), even_levels() ** rng.uniform(1.3, 1.7, (200, 1))
    changed = replace(_prediction(with_levels(plain, levels)), levels=levels)
    found = calibrate(changed, truth, truth, 0).numbers
    wanted = calibrate(_prediction(plain), truth, truth, 0).numbers
    assert found.uncalibrated["nll"].value == pytest.approx(wanted.nll.value, rel=0.01)
    assert found.uncalibrated["crps"].value == pytest.approx(wanted.crps.value, rel=0.01)
    assert found.nll.value != pytest.approx(wanted.nll.value, rel=0.01)


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
