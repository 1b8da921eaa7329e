"""Maps of the values of scalar columns."""

from __future__ import annotations

import pytest
import torch

from astromodal.models.layers import N_COSINES, ColumnIds, ValueMaps

COLUMNS = ColumnIds(first=4, n_columns=2, n_bins=3)
V, N_FEATURES, D = 12, 5, 6


@pytest.fixture
def features():
    torch.manual_seed(2)
    return torch.randn(V, N_FEATURES)


@pytest.fixture
def maps():
    """Maps whose every parameter is random."""
    torch.manual_seed(1)
    maps = ValueMaps(COLUMNS, N_FEATURES, D)
    with torch.no_grad():
        maps.maps_out.normal_()
    return maps


def test_a_value_goes_through_its_own_columns_maps(maps, features):
    """Bin 1 of the second column is id 8: its cosines, each over k, times the second matrices."""
    own, summed = maps.look_up(torch.tensor([8]), features)
    weighted = features[8] / torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])
    torch.testing.assert_close(own[0], weighted @ maps.maps_in[1])
    torch.testing.assert_close(summed[0], weighted @ maps.maps_sum[1])


def test_features_of_values_are_not_damped():
    """Behind the cosines stand features that are smooth already."""
    maps = ValueMaps(COLUMNS, N_COSINES + 2, D)
    assert maps.weights_in[[0, 3, N_COSINES - 1]].tolist() == [1, 0.25, 1 / N_COSINES]
    assert maps.weights_out[3] == 0.5
    assert maps.weights_in[N_COSINES:].tolist() == maps.weights_out[N_COSINES:].tolist() == [1, 1]


def test_many_values_are_looked_up_as_each_alone(maps, features):
    """In any order and shape, with ids of no column between, and gradients of every map."""
    ids = torch.randint(0, V, (5, 40), generator=torch.Generator().manual_seed(0))
    own, summed = maps.look_up(ids, features)
    assert own.shape == summed.shape == (5, 40, D)
    for place in ((0, 0), (2, 17), (4, 39), (3, 3)):
        alone = maps.look_up(ids[place][None], features)
        torch.testing.assert_close((own[place], summed[place]), (alone[0][0], alone[1][0]))
    (own.sum() + 2 * summed.sum()).backward()
    torch.testing.assert_close(maps.maps_sum.grad, 2 * maps.maps_in.grad)
    assert maps.maps_in.grad.any(dim=(1, 2)).all()


@pytest.mark.parametrize("other", [0, 3, 10, 11])
def test_other_ids_add_nothing(maps, features, other):
    """Special ids before the columns, and codes after them, have no value."""
    own, summed = maps.look_up(torch.tensor([other]), features)
    assert not own.any()
    assert not summed.any()


def test_without_columns_there_is_nothing_to_add(features):
    """A model of sizes alone has no value for any id, and no coefficients."""
    maps = ValueMaps(ColumnIds(0, 0, 0), N_FEATURES, D)
    assert not any(found.any() for found in maps.look_up(torch.arange(V), features))
    assert maps.coefficients(torch.ones(1, 2, D), 0) is None


def test_coefficients_give_the_logits_of_their_columns(maps, features):
    """Coefficients times features are the logits of all ids, restricted to a column's bins."""
    states = torch.randn(1, 4, D)
    every = maps.logits(states[0], features)
    found = maps.coefficients(states, 7) @ features[7:10].T
    torch.testing.assert_close(found[0], every[:, 7:10])
    assert every.shape == (4, V)
    assert not every[:, :4].any()
    assert not every[:, 10:].any()


def test_logits_start_at_zero(features):
    """An untrained model predicts the frequencies of codes alone."""
    assert not ValueMaps(COLUMNS, N_FEATURES, D).logits(torch.randn(3, D), features).any()


def test_a_state_brings_its_columns(maps, features):
    """Maps of no columns take the ids and matrices of a state, and then add the same."""
    other = ValueMaps(ColumnIds(0, 0, 0), N_FEATURES, D)
    other.load_state_dict(maps.state_dict())
    assert other.columns == COLUMNS
    for found, wanted in zip(
        *(m.look_up(torch.arange(V), features) for m in (other, maps)), strict=True
    ):
        torch.testing.assert_close(found, wanted, rtol=0, atol=0)


def test_matrices_of_another_number_of_columns_are_refused(maps):
    """A state whose matrices do not fit the columns of a model is an error of its shapes."""
    state = maps.state_dict()
    state["maps_sum"] = state["maps_sum"][:1]
    with pytest.raises(RuntimeError, match="size mismatch for maps_sum"):
        ValueMaps(COLUMNS, N_FEATURES, D).load_state_dict(state)
