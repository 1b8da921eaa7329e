"""Labels: their classes and bins, and the likelihood of measured values."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from astromodal.errors import DataError, FormatError
from astromodal.models.layers import LabelHead
from astromodal.storage.safetensors import map_tensors, save_tensors
from astromodal.training.labels import FittedLabel, Label

VALUES = np.random.default_rng(0).gamma(2.0, 1.0, 800)
NUMBER = Label.of_numbers("age", "Gyr", VALUES, 16, ())
KIND = Label.of_classes("kind", ["STAR", "QSO", "STAR", "GALAXY"], ("specz_z",))


def test_classes_are_in_the_order_of_the_alphabet():
    """Each once, and another class has no place."""
    assert KIND.classes == ("GALAXY", "QSO", "STAR")
    assert KIND.place(np.array(["STAR", "GALAXY", "NEBULA"])).tolist() == [2, 0, -1]


def test_bins_hold_equally_many_values():
    """As those of scalar columns."""
    counts = np.bincount(NUMBER.place(VALUES), minlength=NUMBER.size)
    assert NUMBER.size == 16
    assert np.ptp(counts) <= 2


def test_few_labels_have_few_bins():
    """At least eight labels each."""
    assert Label.of_numbers("age", "", VALUES[:40], 128, ()).size == 5


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Label.of_classes("kind", ["STAR"] * 3, ()), "at least two, got STAR"),
        (lambda: Label.of_numbers("age", "", np.full(50, 2.0), 8, ()), "two different, got 2 "),
    ],
)
def test_a_label_without_contrast_is_an_error(make, message):
    """A single class, or a single value."""
    with pytest.raises(DataError, match=message):
        make()


def test_without_errors_a_value_counts_for_its_own_bin():
    """The same for an error that is missing, zero or negative."""
    expected = np.eye(NUMBER.size, dtype=np.float32)[NUMBER.place(VALUES)]
    np.testing.assert_array_equal(NUMBER.likelihood(VALUES), expected)
    for error in (np.nan, 0.0, -1.0):
        errors = np.full(len(VALUES), error)
        np.testing.assert_array_equal(NUMBER.likelihood(VALUES, errors), expected)


@given(st.floats(0.1, 8.0), st.floats(0.05, 20.0))
def test_a_likelihood_is_the_mean_density_over_a_bin(value, error):
    """Of a Gaussian around the measured value, in units of the largest."""

    def density(x):
        return np.exp(-0.5 * ((x - value) / error) ** 2)

    means = [
        quad(density, low, high, points=[value] if low < value < high else None)[0] / (high - low)
        for low, high in zip(NUMBER.edges[:-1], NUMBER.edges[1:], strict=True)
    ]
    found = NUMBER.likelihood(np.array([value]), np.array([error]))[0]
    np.testing.assert_allclose(found, np.array(means) / max(means), rtol=1e-3, atol=1e-6)


def test_an_exact_value_far_from_all_bins_counts_for_the_nearest():
    """Where the density underflows everywhere."""
    found = NUMBER.likelihood(np.array([1e6, -1e6]), np.array([1e-3, 1e-3]))
    assert found.argmax(axis=1).tolist() == [NUMBER.size - 1, 0]
    assert found.sum(axis=1).tolist() == [1, 1]


@pytest.fixture
def stored(tmp_path):
    """A fitted label, and its file."""
    torch.manual_seed(0)
    fitted = FittedLabel(KIND, LabelHead(8, 3).eval(), 1.25)
    torch.nn.init.normal_(fitted.head.outer.weight)
    path = tmp_path / "label.safetensors"
    fitted.save(path, "abc")
    return fitted, path


def test_a_saved_label_predicts_the_same(stored):
    """Every part of it is in the file."""
    fitted, path = stored
    again = FittedLabel.load(path, "abc")
    assert (again.label.name, again.label.classes, again.label.hidden) == (
        KIND.name, KIND.classes, KIND.hidden
    )  # fmt: skip
    states = torch.randn(5, 8)
    np.testing.assert_array_equal(again.probabilities(states), fitted.probabilities(states))


def test_a_label_of_another_model_is_refused(stored):
    """Its head was trained with other states."""
    with pytest.raises(FormatError, match="must be of the model of hash xyz beside it, got abc"):
        FittedLabel.load(stored[1], "xyz")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda arrays, meta: meta.update(version="0"), "label_head version 1, got"),
        (lambda arrays, meta: arrays.update({"head.hidden.0.bias": np.ones(8, "f4")}), "of hash"),
    ],
)
def test_a_damaged_label_is_refused(stored, change, message):
    """One of another version, or whose numbers were changed."""
    arrays, meta = map_tensors(stored[1])
    arrays = {name: array.copy() for name, array in arrays.items()}
    change(arrays, meta)
    save_tensors(stored[1], arrays, meta)
    with pytest.raises(FormatError, match=message):
        FittedLabel.load(stored[1], "abc")
