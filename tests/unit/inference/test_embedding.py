"""Embeddings are pooled states, independent of the batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from astromodal.errors import ConfigError
from astromodal.inference.encode import POOLINGS


def states(bundle, encoded, i, sequences=None):
    batch = (sequences or encoded.sequences).batch(np.array([i]))
    parts = (torch.from_numpy(a) for a in (batch.tokens, batch.types, batch.slots))
    with torch.no_grad():
        return bundle.trained.model.flat_hidden(*parts, batch.shapes)[:, :16].numpy()


def test_the_mean_is_that_of_an_object_s_states(model, bundle, encoded):
    """The embedding is the mean over all tokens, in the order of the objects."""
    found = model.embed(encoded, "mean")
    assert (found.dtype, found.shape) == (np.float32, (12, 16))
    for i in range(12):
        np.testing.assert_allclose(found[i], states(bundle, encoded, i).mean(axis=0), atol=1e-5)


def test_a_query_is_mapped(model, bundle, encoded):
    """The state of the token before EOS, which asks for no column, less a mean, times a map."""
    network, sequences = bundle.trained.model, encoded.sequences.asking(1)
    rng = np.random.default_rng(0)
    mean, views = (rng.normal(size=shape).astype(np.float32) for shape in (16, (16, 16)))
    before = network.view_mean.clone(), network.view_map.clone()
    try:
        network.view_mean.copy_(torch.from_numpy(mean))
        network.view_map.copy_(torch.from_numpy(views))
        found = model.embed(encoded)
    finally:
        network.view_mean.copy_(before[0])
        network.view_map.copy_(before[1])
    for i in range(12):
        state = states(bundle, encoded, i, sequences)[-2]
        np.testing.assert_allclose(found[i], (state - mean) @ views, atol=1e-4)


def test_attention_is_that_of_the_last_token(model, bundle, encoded):
    """softmax(h_EOS · h / sqrt(D)) weights the states."""
    found = model.embed(encoded, "attention")
    for i in range(12):
        h = states(bundle, encoded, i).astype(float)
        weight = np.exp(h @ h[-1] / 4 - (h @ h[-1] / 4).max())
        np.testing.assert_allclose(found[i], weight @ h / weight.sum(), atol=1e-5)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_the_budget_changes_nothing(bundle, encoded, model, pooling):
    """Embeddings of single objects are the same as those of batches."""
    from astromodal.inference.encode import embed_objects

    alone = embed_objects(bundle, encoded, pooling, 1)
    np.testing.assert_allclose(alone, model.embed(encoded, pooling), atol=1e-5)


def test_an_unknown_pooling_is_refused(model, encoded):
    """The error suggests the nearest name."""
    with pytest.raises(ConfigError, match="pooling must be one of .* got men; nearest: 'mean'"):
        model.embed(encoded, "men")


def test_what_is_not_given_changes_no_embedding(model, encoded):
    """Objects of which one column is given have the same embedding if its value is the same."""
    column = model.columns[0]
    codes = encoded.codes("scalar")[:, 0]
    found = model.embed(encoded, given=[column])
    for code in np.unique(codes):
        same = found[codes == code]
        np.testing.assert_allclose(same, np.broadcast_to(same[0], same.shape), atol=1e-5)


def test_everything_given_is_everything_seen(model, encoded):
    """Naming all modalities is the same as naming none."""
    every = model.embed(encoded, given=["scalar", "image", "spectrum"])
    np.testing.assert_array_equal(every, model.embed(encoded))


def test_an_unknown_name_is_refused(model, encoded):
    """The error suggests the nearest name."""
    with pytest.raises(ConfigError, match="given must be a scalar column or one of"):
        model.embed(encoded, given=["imag"])


def test_threads_change_no_more_than_the_rounding(model, encoded):
    """Embeddings on one and on three threads agree to single precision."""
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(model.embed(encoded))
    finally:
        torch.set_num_threads(before)
    np.testing.assert_allclose(found[1], found[0], atol=1e-5)
