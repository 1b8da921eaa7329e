"""Variants of ablations: settings that they may change, and those that are trained."""

import pytest

from astromodal.config import load_config
from astromodal.config.load import ablated, ablation_seeds, seeded
from astromodal.errors import ConfigError

TERMS = "training.meaningful_loss"


@pytest.mark.parametrize(
    "name",
    ["tokenizers.scalar.n_bins", "training.fields", "training.gpus", "training.seed", "training",
     "training.init_from", "fields"],
)  # fmt: skip
def test_only_what_follows_the_sequences_may_vary(name):
    """A variant may not change tokenizers, fields, processes or seeds."""
    with pytest.raises(ConfigError, match=f"must change settings of training .* got '{name}' in"):
        load_config({"ablations.variants": {"mine": {name: 3}}})


def test_the_name_of_the_reference_is_taken():
    """The name of the configured variant cannot be used."""
    with pytest.raises(ConfigError, match="must not name as_configured"):
        load_config({"ablations.variants": {"as_configured": {}}})


def test_a_variant_differs_in_what_it_names():
    """A dotted name changes one setting; all others are the configuration's."""
    config = load_config({"ablations.variants": {"wide": {"model.d_ff": 64}}})
    found = ablated(config)
    assert list(found) == ["as_configured", "wide"]
    assert found["wide"].model == config.model.model_copy(update={"d_ff": 64})
    assert found["wide"].training == config.training


def test_what_differs_in_nothing_is_not_trained_again():
    """A variant that is equal to the configuration is left out."""
    assert "shuffled_order" not in ablated(load_config())
    fixed = ablated(load_config({"sequences.block_order": "fixed"}))
    assert "shuffled_order" in fixed
    assert "fixed_order" not in fixed


def test_a_default_variant_that_cannot_be_is_left_out():
    """A default variant that is invalid for the configuration is left out."""
    found = ablated(load_config({f"{TERMS}.enabled": False}))
    assert "no_cross_entropy" not in found


def test_a_variant_s_mistake_names_it():
    """An unknown setting is an error that names the variant."""
    config = load_config({"ablations.variants": {"mine": {"training.epochz": 3}}})
    with pytest.raises(ConfigError, match=r"variants.mine: training.epochz is no setting; nearest"):
        ablated(config)


def test_variants_are_trained_alone_and_from_the_start():
    """A variant is trained by one process, with its own number of epochs."""
    given = {"training": {"gpus": 4, "init_from": "last"}, "ablations.epochs": 2}
    for varied in ablated(load_config(given)).values():
        training = varied.training
        assert (training.processes, training.init_from, training.epochs) == (1, None, 2)


def test_seeds_follow_the_training_s():
    """The first seed is that of the training."""
    config = load_config({"training.seed": 7, "ablations.seeds": 3})
    assert ablation_seeds(config) == (7, 8, 9)
    assert seeded(config, 8).training.seed == 8


@pytest.mark.parametrize(
    "weights", [{"enabled": False}, {f"lambda_{m}": 0 for m in ("image", "scalar", "spectrum")}]
)
def test_a_loss_of_nothing_is_refused(weights):
    """A loss without a weight above 0 is an error."""
    with pytest.raises(ConfigError, match=f"{TERMS} must have a weight above 0 that is in use"):
        load_config({TERMS: {"lambda_cross_entropy": 0, **weights}})
