"""Settings of the report."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Final, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field

from astromodal.config.base import (
    ColumnName,
    ColumnNames,
    FieldNames,
    Once,
    Positive,
    Seed,
    Settings,
    split_at_commas,
)
from astromodal.errors import must_be

EvaluationPart = Literal[
    "scalars", "spectra", "images", "transformer", "reconstruction", "downstream", "embeddings"
]
EVALUATION_PARTS: Final[tuple[EvaluationPart, ...]] = get_args(EvaluationPart)
"""Every part of the evaluation, in the report's order."""


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

    parts: Annotated[tuple[EvaluationPart, ...], Field(min_length=1), *Once] = Field(
        EVALUATION_PARTS, description="Sections of the report."
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
