"""Settings of ablations: the same training with one thing changed, to see what that thing buys."""

from __future__ import annotations

from typing import Any, Final

from pydantic import Field, field_validator

from astromodal.config.base import FieldName, Positive, Settings

AS_CONFIGURED: Final = "as_configured"
"""The variant that all others are compared with."""
VARIED: Final = ("training.", "sequences.", "model.")
"""Settings that a variant may change begin with one of these: what comes before stays the same."""
FIXED: Final = ("fields", "gpus", "nodes", "seed", "init_from")
"""Of ``training``, what is the same for every variant, or the ablations' own."""
_TERMS = "training.meaningful_loss."


class AblationSettings(Settings):
    """What the target `ablations` trains, beside the model as it is configured."""

    variants: dict[FieldName, dict[str, Any]] = Field(
        {
            "no_image_term": {f"{_TERMS}lambda_image": 0.0},
            "no_scalar_term": {f"{_TERMS}lambda_scalar": 0.0},
            "no_spectrum_term": {f"{_TERMS}lambda_spectrum": 0.0},
            "no_reconstruction": {f"{_TERMS}enabled": False},
            "no_cross_entropy": {f"{_TERMS}lambda_cross_entropy": 0.0},
            "fixed_order": {"sequences.block_order": "fixed"},
            "shuffled_order": {"sequences.block_order": "shuffled"},
        },
        description="By name, the settings of training, sequences or model that differ, by dotted "
        "name; what differs in nothing from the configuration is not trained twice.",
    )
    seeds: Positive = Field(
        2, description="Trainings of each variant, with seeds of their own: errors are over them."
    )
    epochs: Positive | None = Field(
        None, description="Passes over the training objects, of every variant; null: as training."
    )

    @field_validator("variants")
    @classmethod
    def _variable(cls, variants: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        if AS_CONFIGURED in variants:
            raise ValueError(f"must not name {AS_CONFIGURED}, which is always trained")
        for variant, changes in variants.items():
            for name in changes:
                fixed = any(f"{name}.".startswith(f"training.{part}.") for part in FIXED)
                if fixed or not name.startswith(VARIED):
                    raise ValueError(
                        "must change settings of training (not "
                        f"{', '.join(FIXED[:-1])} or {FIXED[-1]}), sequences or model by their "
                        f"dotted names, got {name!r} in {variant!r}"
                    )
        return variants
