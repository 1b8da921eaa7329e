"""Embeddings by a query, and the map under which views of an object are near each other."""

import numpy as np
import pytest
import torch

from astromodal.config.schema import ModelSettings
from astromodal.training.initialisation import new_model
from astromodal.training.views import FEWEST, fit_model_views, fit_views, query_states

SIZES = ModelSettings(d_model=16, n_layers=1, n_heads=2, d_ff=16, dropout=0.0)


def tiny_model(survey):
    torch.manual_seed(0)
    return new_model(SIZES, survey.layout, survey.layout.longest + 8)


def _views(n=400, width=6, seed=0):
    """Objects that differ in two dimensions, of views that differ in two others."""
    rng = np.random.default_rng(seed)
    objects = rng.normal(size=(n, width)) * [3, 2, 0.1, 0.1, 0.1, 0.1]
    away = rng.normal(size=(3, n, width)) * [0.1, 0.1, 5, 4, 0.1, 0.1]
    return objects + away + np.arange(width)


def test_what_views_change_is_shrunk():
    """Distances are those between objects, though views change more."""
    views = _views()
    mean, found = fit_views(views)
    one, other = ((view - mean) @ found for view in views[:2])
    distance = np.linalg.norm(one[:, None] - other, axis=2)
    assert (distance.argmin(axis=1) == np.arange(len(one))).mean() > 0.2
    plain = np.linalg.norm(views[0][:, None] - views[1], axis=2)
    assert (plain.argmin(axis=1) == np.arange(len(one))).mean() < 0.05


def test_dimensions_are_in_the_order_of_what_separates_objects():
    """The scatter of the means falls from one to the next."""
    views = _views()
    mean, found = fit_views(views)
    scatter = ((views.mean(axis=0) - mean) @ found).std(axis=0)
    assert (np.diff(scatter) < 0).all()


@pytest.mark.parametrize("views", [_views(FEWEST - 1), np.ones((3, 50, 6)), np.empty((3, 0, 6))])
def test_without_enough_to_learn_from_nothing_changes(views):
    """Few objects, views that are all equal, and no object at all."""
    mean, found = fit_views(views)
    assert np.array_equal(found, np.eye(6))
    assert np.isfinite(mean).all()


def test_queries_follow_everything_that_is_shown(survey):
    """A query's state does not depend on the other objects, and changes with what is shown."""
    model, sequences = tiny_model(survey), survey.sequences()
    width = model.embedding.embedding_dim

    def states_of(batch):
        arrays = (batch.tokens, batch.types, batch.slots)
        return model.flat_hidden(*map(torch.from_numpy, arrays), batch.shapes)[:, :width]

    numbers = np.arange(30)
    every = query_states(states_of, sequences, numbers, width, 500)
    assert every.shape == (30, width)
    alone = query_states(states_of, sequences, numbers[7:8], width, 500)
    np.testing.assert_allclose(alone[0], every[7], atol=1e-5)
    fewer = query_states(states_of, sequences.only((), range(2)), numbers, width, 500)
    assert np.abs(fewer - every).max() > 1e-3
    assert query_states(states_of, sequences, numbers[:0], width, 500).shape == (0, width)


def test_labels_change_no_map(survey):
    """Views do not show them: other values of a label give the same map."""
    model, sequences = tiny_model(survey), survey.sequences()
    numbers = np.arange(len(sequences))
    hidden = sequences.only([b.name for b in sequences.layout.blocks], [0, 1])
    one, other = (
        fit_model_views(model, each, numbers, [2], 4000, 1) for each in (sequences, hidden)
    )
    for found, wanted in zip(one, other, strict=True):
        np.testing.assert_array_equal(found, wanted)
