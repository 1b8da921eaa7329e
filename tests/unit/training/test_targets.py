"""Targets of a batch and the sample of them; labels, their bins, and the likelihood of values."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from astromodal.core.vocab import N_SPECIAL
from astromodal.errors import DataError, FormatError
from astromodal.models.layers import LabelHead
from astromodal.sequences.layout import Range
from astromodal.sequences.order import Chosen, Hiding
from astromodal.storage.arrays import map_tensors, save_tensors
from astromodal.training.targets import (
    NO_TARGET,
    FittedLabel,
    Label,
    RangeTargets,
    find_targets,
    sample_known,
    spread_over_bins,
)
from helpers.survey import legal_ids


@pytest.fixture
def batch(survey):
    return survey.sequences().batch(np.arange(40), (1, 1))


def test_targets_are_all_real_codes_and_nothing_else(survey, batch):
    """Each real code is a target once; SEP, BOS, EOS and MISS never are."""
    found = find_targets(batch, survey.layout)
    positions = np.concatenate([r.positions.ravel() for r in found])
    real = np.concatenate([(r.targets != NO_TARGET).ravel() for r in found])
    tokens = batch.tokens[positions + 1]
    assert (tokens[real] >= N_SPECIAL).all()
    wanted = np.flatnonzero(batch.tokens >= N_SPECIAL)
    np.testing.assert_array_equal(np.sort(positions[real] + 1), wanted)


def test_targets_count_from_their_own_range(survey, batch):
    """A target is its id less the first id that is legal in its slot."""
    for found in find_targets(batch, survey.layout):
        for (c, m), target in np.ndenumerate(found.targets):
            if target == NO_TARGET:
                continue
            after = found.positions[c, m] + 1
            slot = int(batch.slots[after]) - 1
            first, size = legal_ids(survey.layout, int(batch.types[after]), slot)
            assert size == found.ids.size
            assert batch.tokens[after] == first + target


def test_an_asked_column_is_predicted_by_its_own_token(survey):
    """Its position is that of the token that asks; a shown one's is that of the token before."""
    sequences = survey.sequences()
    batch = sequences.batch(np.arange(40), (1, 1), Hiding((2, 0), 1.0))
    (found,) = (r for r in find_targets(batch, survey.layout) if r.asked is not None)
    place = batch.columns.place.T
    target = found.targets != NO_TARGET
    np.testing.assert_array_equal(target, place >= 0)
    np.testing.assert_array_equal(
        found.positions[target & found.asked], place[target & found.asked]
    )
    shown = target & ~found.asked
    np.testing.assert_array_equal(found.positions[shown], place[shown] - 1)
    assert (target & found.asked).any()
    assert shown.any()
    spec = survey.layout.spec
    for column in range(3):
        own = batch.columns.ids[target[column], column] - spec.column_offset(column)
        np.testing.assert_array_equal(found.targets[column, target[column]], own)


def test_codes_of_a_hidden_block_are_targets_of_the_tokens_before(survey):
    """Hidden or shown, an object's codes are the same targets in the same slots."""

    def everything(numbers, known, present):
        hidden = np.zeros_like(present)
        hidden[:, survey.layout.hideable] = present[:, survey.layout.hideable]
        return Chosen(known, np.zeros_like(known), hidden)

    sequences = survey.sequences()
    shown = find_targets(sequences.batch(np.arange(40)), survey.layout)
    batch = sequences.batch(np.arange(40), None, everything)
    for found, wanted in zip(find_targets(batch, survey.layout), shown, strict=True):
        assert found.ids == wanted.ids
        assert sorted(found.targets.ravel()) == sorted(wanted.targets.ravel())
        if found.asked is None:
            slots = batch.slots[found.positions].reshape(len(found.positions), -1)
            own = found.ids.first + np.arange(found.ids.n_slots)
            assert set(slots.ravel().tolist()) <= set(own.tolist())


def test_what_is_sampled_does_not_depend_on_the_batch(survey):
    """The sample of an object depends on key, object and range, not on the rest of the batch."""
    sequences = survey.sequences()
    together = find_targets(sequences.batch(np.arange(60), (1, 1)), survey.layout)
    for number in range(0, 60, 7):
        for found in find_targets(sequences.batch(np.array([number]), (1, 1)), survey.layout):
            n = found.ids.n_slots
            whole = next(r for r in together if r.ids == found.ids)
            row = np.flatnonzero(whole.objects == number)[0]
            sampled = sample_known(whole, 2, (4, 9))
            if found.ids.stride:
                mine = sampled[sampled % len(whole.objects) == row] // len(whole.objects)
            else:
                mine = sampled[sampled // n == row] % n
            np.testing.assert_array_equal(sample_known(found, 2, (4, 9)), mine)


def test_a_sample_is_of_known_targets_and_even(survey):
    """Over many samples, known slots of an object are taken equally often, others never."""
    batch = survey.sequences().batch(np.arange(120))
    (columns,) = survey.layout["scalar"].ranges
    (found,) = (r for r in find_targets(batch, survey.layout) if r.ids == columns)
    counts = np.zeros(found.targets.size)
    for step in range(400):
        sampled = sample_known(found, 2, (4, step))
        counts[sampled] += 1
    known = found.targets != NO_TARGET  # (columns, objects)
    counts = counts.reshape(found.targets.shape)
    assert not counts[~known].any()
    whole = counts[:, known.sum(axis=0) == 3]
    np.testing.assert_allclose(whole, 400 * 2 / 3, rtol=0.25)
    few = known.sum(axis=0) <= 2
    np.testing.assert_array_equal(counts[:, few], 400 * known[:, few])


def test_targets_are_spread_by_hand():
    """One bin to either side at the width of one bin, and nothing beyond the last bin in use."""
    ids = Range("scalar", 0, 2, 100, 8, 8)
    found = np.array([[3, NO_TARGET], [0, 4]])
    targets = RangeTargets(ids, np.zeros((2, 2), int), found, np.arange(2))
    straight = np.zeros(2, dtype=bool)
    codes, shares = spread_over_bins(targets, np.array([8, 5]), 0.125, straight)
    gauss = np.exp(-0.5 * np.arange(-3, 4) ** 2)
    np.testing.assert_array_equal(codes[0], np.arange(0, 7))
    np.testing.assert_allclose(shares[0], gauss / gauss.sum(), rtol=1e-6)
    assert not shares[1].any()
    np.testing.assert_allclose(shares.sum(axis=1), [1, 0, 1, 1], rtol=1e-6)
    assert not shares[2][:3].any()
    assert not shares[3][4:].any()
    assert codes.min() >= 0
    assert codes[2:].max() < 5


def test_targets_of_an_angle_are_spread_over_its_end():
    """The first bin in use follows the last one."""
    targets = RangeTargets(
        Range("scalar", 0, 1, 100, 8, 8), np.zeros((1, 1), int), np.array([[4]]), np.arange(1)
    )
    codes, shares = spread_over_bins(targets, np.array([5]), 0.2, np.ones(1, dtype=bool))
    gauss = np.exp(-0.5 * np.arange(-3, 4) ** 2)
    assert codes[0].tolist() == [1, 2, 3, 4, 0, 1, 2]
    np.testing.assert_allclose(shares[0], gauss / gauss.sum(), rtol=1e-6)


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
