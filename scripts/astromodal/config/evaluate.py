"""Settings of what comes out: the report, ablations, and predictions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator

from astromodal.config.base import (
    ColumnName,
    ColumnNames,
    FieldName,
    FieldNames,
    Once,
    Positive,
    Seed,
    Settings,
    split_at_commas,
)
from astromodal.errors import must_be

BUILT_IN_SECTIONS: Final = (
    "scalars", "spectra", "images", "transformer", "reconstruction", "downstream", "embeddings"
)  # fmt: skip
"""The package's own sections of the report, in its order."""
SectionName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,49}$")]


class LabelSettings(Settings):
    """What is known of sources: columns never given to what predicts one of them."""

    redshift: ColumnName | None = Field(
        "specz_z", description="Spectroscopic redshift; null where there is none."
    )
    kind: ColumnName | None = Field(
        "specz_class_spec",
        description="Text column that says what a source is; null where there is none.",
    )
    stars: tuple[str, ...] = Field(
        ("STAR", "GLOBCLUSTER"),
        description="Its values, without what stands in brackets (STAR(WD) is a STAR), whose "
        "redshift is a velocity and left out.",
    )
    unclear: tuple[str, ...] = Field(
        ("UNCLEAR",),
        description="Its values that say nothing: such a source has no class, and its redshift is "
        "left out.",
    )
    stellar: ColumnNames = Field(
        ("gaia_teff_gspphot", "gaia_logg_gspphot", "gaia_mh_gspphot"),
        description="Parameters of stars: effective temperature, gravity, metallicity.",
    )
    tied: ColumnNames = Field(
        ("specz_e_z",), description="Columns that would give one of them away."
    )
    magnitude: ColumnName | None = Field(
        "mag_pstotal_r", description="Magnitude that results are divided by; null: they are not."
    )

    @property
    def hidden(self) -> tuple[str, ...]:
        """Columns that are never given."""
        redshift = () if self.redshift is None else (self.redshift,)
        return (*redshift, *self.stellar, *self.tied)


class ReconstructionSettings(Settings):
    """What the model is asked to reconstruct from the rest of an object."""

    max_objects: Positive = Field(
        32, description="Objects of each block that are asked for at most."
    )
    n_samples: Positive = Field(
        3, description="Continuations that a spectrum or cutout is averaged over."
    )
    columns: ColumnNames = Field(
        (
            "fwhm_n_det",
            "mag_pstotal_r",
            "gaia_parallax",
            "gaia_phot_g_mean_flux",
            "vista_japermag6",
        ),
        description="Scalar columns that are also predicted one by one, from everything else; "
        "those that the run lacks, and labels, are left out.",
    )


GIVEN: Final = ("scalar", "image", "spectrum")
"""Modalities that labels are told from, in the report's order."""


def combine(modalities: Iterable[str]) -> str:
    """Modalities joined by +, each once, in the report's order."""
    return "+".join(name for name in GIVEN if name in set(modalities))


def _combination(name: str) -> str:
    """A combination of modalities, however it was written."""
    parts = [part.strip() for part in name.split("+")]
    if not set(parts) <= set(GIVEN):
        known = ", ".join(GIVEN)
        raise ValueError(must_be("a combination", f"one or more of {known}, joined by +", name))
    return combine(parts)


class DownstreamSettings(Settings):
    """What the model's predictions and embeddings are worth, beside simple rivals."""

    given: Annotated[
        tuple[Annotated[str, AfterValidator(_combination)], ...] | None,
        BeforeValidator(split_at_commas),
    ] = Field(
        None,
        min_length=1,
        description="What labels are predicted from: modalities joined by +, such as scalar+image; "
        "null: every combination of scalar, image and spectrum that evaluated objects have.",
    )
    max_fields: Positive = Field(
        64, description="Training fields that labels are taken from at most, evenly spread."
    )
    max_labels: Positive = Field(
        20_000, description="Labels of a target that probes and rivals learn from at most."
    )
    label_fractions: Annotated[
        tuple[Annotated[float, Field(gt=0, le=1)], ...], Field(min_length=1)
    ] = Field(
        (0.01, 0.1, 1.0), description="Parts of them that label-efficiency curves are drawn at."
    )
    label_draws: Positive = Field(5, description="Draws of each part: their scatter is the error.")


class EvaluationSettings(Settings):
    """What the report is made of, and on what."""

    sections: Annotated[tuple[SectionName, ...], Field(min_length=1), *Once] = Field(
        BUILT_IN_SECTIONS,
        description="Sections of the report, in its order; extensions may register more.",
    )
    fields: FieldNames = Field(
        None,
        description="Fields to evaluate on; null: those nothing was trained on, or, "
        "where there are none, the test split of all.",
    )
    max_objects: Positive = Field(
        2000, description="Objects a modality that are evaluated at most."
    )
    n_examples: Annotated[int, Field(ge=1, le=200)] = Field(
        6, description="Examples drawn in a figure, a row each."
    )
    seed: Annotated[Seed, Field(lt=2**32)] = Field(
        5, description="Seed of the draw of objects and of bootstrap errors."
    )
    labels: LabelSettings = Field(LabelSettings(), description="What is known of sources.")
    reconstruction: ReconstructionSettings = Field(
        ReconstructionSettings(), description="What the model is asked to reconstruct."
    )
    downstream: DownstreamSettings = Field(
        DownstreamSettings(), description="Predictions and embeddings beside simple rivals."
    )


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


class PredictSettings(Settings):
    """What the trained model is used for, field by field."""

    columns: ColumnNames | None = Field(
        None,
        description="Scalar columns that are predicted; null: those of specz_z, "
        "gaia_teff_gspphot, gaia_logg_gspphot and gaia_mh_gspphot that the run has.",
    )
    given: ColumnNames | None = Field(
        None,
        description="Columns, blocks (image, scalar, a spectrum group) or spectrum for all groups "
        "that they are predicted from; null: everything else that an object has.",
    )
    pooling: Literal["mean", "attention"] = Field(
        "mean",
        description="How an object's states become one embedding: their mean, or weighted by "
        "their likeness to the last one.",
    )
    token_budget: Positive = Field(16_384, description="Tokens that are run at once.")
    prior_mass: Annotated[float, Field(gt=0, le=1)] = Field(
        0.999,
        description="Probability, before the columns after it are looked at, of the bins in which "
        "a column's value is sought.",
    )
    max_candidates: Annotated[int, Field(ge=2)] = Field(
        128,
        description="Bins in which it is sought at most: of more, some spread evenly, "
        "and their likelihood is interpolated.",
    )
