"""Predicted scalars are the model's conditional distributions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from astromodal.config.evaluate import PredictSettings
from astromodal.core.vocab import BOS, MISS, SEP, TYPE_SCALAR
from astromodal.inference.predict_scalars import candidates, predict_columns
from astromodal.inference.request import parse_request
from helpers.model import COLUMNS

EXACT = PredictSettings(prior_mass=1.0, max_candidates=64)


def joint(bundle, prefix, types, scalars, column):
    """Log probability of the given scalars from `column` on, and of each bin there, by brute force.

    One full run of the model for every bin: nothing of the code under test is used.
    """
    spec, used = bundle.layout.spec, bundle.tokenizers.scalar.n_codes
    given = np.flatnonzero(scalars != MISS)
    found = []
    for z in range(used[column]):
        tokens = scalars.copy()
        tokens[column] = spec.column_offset(column) + z
        row = torch.tensor([[*prefix, SEP, *tokens]])
        kinds = torch.tensor([[*types, *[TYPE_SCALAR] * (1 + len(tokens))]])
        with torch.no_grad():
            logits = bundle.trained.model(row, kinds)[0]
        total = 0.0
        for c in [column, *given[given > column]]:
            first = spec.column_offset(c)
            own = logits[len(prefix) + c, first : first + used[c]].double().log_softmax(0)
            total += float(own[tokens[c] - first])
        found.append(total)
    probabilities = np.exp(np.array(found) - max(found))
    return probabilities / probabilities.sum()


def prefix_of(encoded, i, blocks):
    tokens, types = [BOS], [0]
    names = [block.name for block in encoded.layout.blocks]
    for name in blocks:
        if encoded.has(name)[i]:
            own = encoded.sequences.block_tokens(np.array([i]), names.index(name))[0]
            tokens += own.tolist()
            types += [encoded.layout[name].type] * len(own)
    return tokens, types


@pytest.mark.parametrize("given", [None, ["mag_pstotal_i", "specz_e_z"], ["desi_r"], []])
@pytest.mark.parametrize("target", ["mag_pstotal_r", "specz_z", "gaia_teff_gspphot"])
def test_predictions_are_those_of_brute_force(bundle, encoded, target, given):
    """Bayes' rule with one full run of the model per bin gives the same numbers."""
    request = parse_request(bundle.layout, COLUMNS, target, given)
    column = COLUMNS.index(target)
    every = np.arange(len(encoded))
    found = predict_columns(bundle, encoded, request, EXACT)[column]
    rows = encoded.sequences.block_tokens(every, 1)[:, 1:]
    hidden = [c for c in range(len(COLUMNS)) if c not in request.given_columns]
    rows[:, hidden] = MISS
    for i in range(0, len(encoded), 3):
        prefix = prefix_of(encoded, i, request.given_blocks)
        expected = joint(bundle, *prefix, rows[i], column)
        np.testing.assert_allclose(found[i], expected, rtol=1e-4, atol=1e-6)


def test_several_columns_are_predicted_each_by_itself(bundle, encoded):
    """Requested together, columns are predicted from what is given, as if requested singly."""
    given = ["mag_pstotal_i", "image"]
    both = parse_request(bundle.layout, COLUMNS, ["specz_z", "gaia_teff_gspphot"], given)
    together = predict_columns(bundle, encoded, both, EXACT)
    for column in both.columns:
        one = parse_request(bundle.layout, COLUMNS, COLUMNS[column], given)
        alone = predict_columns(bundle, encoded, one, EXACT)
        np.testing.assert_allclose(together[column], alone[column], rtol=1e-5)


def test_batches_change_nothing(bundle, encoded):
    """Distributions of single objects are the same as those of batches."""
    request = parse_request(bundle.layout, COLUMNS, "mag_pstotal_r", None)
    together = predict_columns(bundle, encoded, request, EXACT)[0]
    small = EXACT.model_copy(update={"token_budget": 1})
    alone = predict_columns(bundle, encoded, request, small)[0]
    np.testing.assert_allclose(alone, together, rtol=1e-4, atol=1e-7)


def test_threads_change_no_more_than_the_rounding(bundle, encoded):
    """Distributions on one and on three threads are the same."""
    request = parse_request(bundle.layout, COLUMNS, "mag_pstotal_r", None)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(predict_columns(bundle, encoded, request, EXACT)[0])
    finally:
        torch.set_num_threads(before)
    np.testing.assert_allclose(found[1], found[0], rtol=1e-4, atol=1e-7)


def test_the_target_itself_is_never_used(bundle, encoded, model):
    """Another value of the target gives the same prediction."""
    from helpers.model import cube_table

    table = cube_table()
    place = table.schema.get_field_index("specz_z")
    changed = model.encode(table.set_column(place, "specz_z", [[0.5] * len(table)]))
    settings = PredictSettings()
    request = parse_request(bundle.layout, COLUMNS, "specz_z", None)
    first, second = (predict_columns(bundle, e, request, settings)[2] for e in (encoded, changed))
    np.testing.assert_array_equal(first, second)


def test_fewer_candidates_come_close(bundle, encoded):
    """With five of six bins as candidates, the other is interpolated: still a distribution."""
    request = parse_request(bundle.layout, COLUMNS, "mag_pstotal_r", None)
    few = PredictSettings(max_candidates=5)
    found = predict_columns(bundle, encoded, request, few)[0]
    np.testing.assert_allclose(found.sum(axis=1), 1)
    exact = predict_columns(bundle, encoded, request, EXACT)[0]
    nothing = parse_request(bundle.layout, COLUMNS, "mag_pstotal_r", [])
    prior = predict_columns(bundle, encoded, nothing, EXACT)[0]
    assert np.abs(found - exact).sum() < np.abs(prior - exact).sum()


def test_candidates_hold_the_mass():
    """Candidates are the likeliest bins that hold the mass, ascending, as many for every object."""
    probabilities = np.array([[0.1, 0.6, 0.05, 0.25], [0.0, 0.0, 1.0, 0.0]])
    np.testing.assert_array_equal(candidates(probabilities, 0.8, 10), [[1, 3], [0, 2]])


@pytest.mark.parametrize("mass", [0.3, 1.0])
@pytest.mark.parametrize("most", [2, 5])
def test_candidates_are_different_and_bounded(mass, most):
    """Candidates are distinct, within the limit, and include both ends of the mass."""
    probabilities = np.random.default_rng(0).dirichlet(np.ones(20), 7)
    found = candidates(probabilities, mass, most)
    assert found.shape[1] <= most
    assert (np.diff(found, axis=1) > 0).all()
    if mass == 1.0:
        assert (found[:, 0] == 0).all()
        assert (found[:, -1] == 19).all()
