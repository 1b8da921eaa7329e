"""Targets of a batch, and the sample of them."""

from __future__ import annotations

import numpy as np
import pytest

from astromodal.core.vocab import N_SPECIAL
from astromodal.sequences.layout import Range
from astromodal.sequences.order import Chosen, Hiding
from astromodal.training.targets import (
    NO_TARGET,
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
    codes, shares = spread_over_bins(targets, np.array([8, 5]), 0.125)
    gauss = np.exp(-0.5 * np.arange(-3, 4) ** 2)
    np.testing.assert_array_equal(codes[0], np.arange(0, 7))
    np.testing.assert_allclose(shares[0], gauss / gauss.sum(), rtol=1e-6)
    assert not shares[1].any()
    np.testing.assert_allclose(shares.sum(axis=1), [1, 0, 1, 1], rtol=1e-6)
    assert not shares[2][:3].any()
    assert not shares[3][4:].any()
    assert codes.min() >= 0
    assert codes[2:].max() < 5
