"""Predicted scalars are the model's conditional distributions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from astromodal.config.evaluate import PredictSettings
from astromodal.core.vocab import BOS, EOS, MISS, SEP, TYPE_ASKED
from astromodal.inference.predict_scalars import predict_columns
from astromodal.inference.request import parse_request
from helpers.model import COLUMNS

SETTINGS = PredictSettings()


def by_hand(bundle, encoded, i, request, column):
    """Probabilities of a column's bins: a run of the model over a sequence that is built here."""
    layout, spec = bundle.layout, bundle.layout.spec
    tokens, types, slots = [BOS], [0], [0]
    for number, block in enumerate(layout.blocks):
        if not encoded.has(block.name)[i]:
            continue
        own = encoded.sequences.block_tokens(np.array([i]), number)[0]
        places = np.arange(len(own))
        if block.name == "scalar":
            kept = [1 + c for c in request.given_columns if own[1 + c] != MISS]
            own, places = own[[0, *kept]], places[[0, *kept]]
        if len(own) == 1 or block.name not in (*request.given_blocks, "scalar"):
            continue
        tokens += own.tolist()
        types += [block.type] * len(own)
        slots += places.tolist()
    tokens += [SEP, MISS, EOS]
    types += [TYPE_ASKED, TYPE_ASKED, 0]
    slots += [0, 1 + column, 0]
    rows = [torch.tensor(values) for values in (tokens, types, slots)]
    with torch.no_grad():
        states = bundle.trained.model.flat_hidden(*rows, [(1, len(tokens))])
        logits = bundle.trained.model.logits(states)[-2]
    used = bundle.tokenizers.scalar.n_codes[column]
    return logits[spec.column_offset(column) :][:used].double().softmax(0).numpy()


@pytest.mark.parametrize("given", [None, ["mag_pstotal_i", "specz_e_z"], ["desi_r"], []])
@pytest.mark.parametrize("target", ["mag_pstotal_r", "specz_z", "gaia_teff_gspphot"])
def test_predictions_are_those_of_a_query_at_the_end(bundle, encoded, target, given):
    """What is given stands in order, and the column is asked after it; nothing else is there."""
    request = parse_request(bundle.layout, COLUMNS, target, given)
    column = COLUMNS.index(target)
    found = predict_columns(bundle, encoded, request, SETTINGS)[column].probabilities
    for i in range(0, len(encoded), 3):
        expected = by_hand(bundle, encoded, i, request, column)
        np.testing.assert_allclose(found[i], expected, rtol=1e-4, atol=1e-6)


def test_several_columns_are_asked_in_one_run(bundle, encoded):
    """Each gets a distribution over its own bins, from the same given codes."""
    given = ["mag_pstotal_i", "image"]
    both = parse_request(bundle.layout, COLUMNS, ["specz_z", "gaia_teff_gspphot"], given)
    found = predict_columns(bundle, encoded, both, SETTINGS)
    assert set(found) == set(both.columns)
    for column, predicted in found.items():
        probabilities, used = predicted.probabilities, bundle.tokenizers.scalar.n_codes[column]
        assert probabilities.shape == (len(encoded), used)
        np.testing.assert_allclose(probabilities.sum(axis=1), 1)


def test_batches_change_nothing(bundle, encoded):
    """Distributions of single objects are the same as those of batches."""
    request = parse_request(bundle.layout, COLUMNS, "mag_pstotal_r", None)
    together = predict_columns(bundle, encoded, request, SETTINGS)[0].probabilities
    small = SETTINGS.model_copy(update={"token_budget": 1})
    alone = predict_columns(bundle, encoded, request, small)[0].probabilities
    np.testing.assert_allclose(alone, together, rtol=1e-4, atol=1e-7)


def test_threads_change_no_more_than_the_rounding(bundle, encoded):
    """Distributions on one and on three threads are the same."""
    request = parse_request(bundle.layout, COLUMNS, "mag_pstotal_r", None)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(predict_columns(bundle, encoded, request, SETTINGS)[0].probabilities)
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
    np.testing.assert_array_equal(first.probabilities, second.probabilities)
