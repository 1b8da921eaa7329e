"""The configurations that ablations train: the run's own with one thing changed, and seeds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from astromodal.config.base import SEEDS
from astromodal.config.evaluate import AS_CONFIGURED, AblationSettings
from astromodal.config.load import load_config
from astromodal.config.schema import Config
from astromodal.errors import ConfigError, must_be

_ALONE = {"training.gpus": 1, "training.nodes": 1, "training.init_from": None}
"""A variant is trained by one process, and from the start."""


def ablated(config: Config) -> dict[str, Config]:
    """The configurations to train, by variant, the one as it is first.

    A variant whose settings are those of one before it is left out: it would be trained twice. So
    is a default one that this configuration cannot have: without reconstruction terms,
    cross-entropy is all there is.

    Raises
    ------
    ConfigError
        Where a variant changes a setting that there is not, or to what it cannot be.
    """
    found: dict[str, Config] = {}
    for name, changes in {AS_CONFIGURED: {}, **config.ablations.variants}.items():
        try:
            varied = _changed(config, changes)
        except ConfigError as error:
            if changes == AblationSettings().variants.get(name):
                continue
            raise ConfigError(f"ablations.variants.{name}: {error}") from None
        if varied not in found.values():
            found[name] = varied
    return found


def seeded(config: Config, seed: int) -> Config:
    """The configuration with another ``training.seed``."""
    training = config.training.model_copy(update={"seed": seed})
    return config.model_copy(update={"training": training})


def ablation_seeds(config: Config) -> tuple[int, ...]:
    """Seeds of the trainings of each variant: ``training.seed`` and those that follow.

    Raises
    ------
    ConfigError
        Where they go beyond the seeds that there are.
    """
    first, n = config.training.seed, config.ablations.seeds
    if first + n > SEEDS:
        must = f"at most 2^64 - ablations.seeds, {SEEDS - n}"
        raise ConfigError(must_be("training.seed", must, first))
    return tuple(range(first, first + n))


def _changed(config: Config, changes: Mapping[str, Any]) -> Config:
    """The configuration with some settings changed, by dotted name."""
    epochs = config.ablations.epochs
    own = _ALONE | ({} if epochs is None else {"training.epochs": epochs})
    return load_config({**config.model_dump(mode="json"), **own, **changes})
