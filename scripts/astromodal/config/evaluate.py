"""Settings of the report."""

from __future__ import annotations

from typing import Final, Literal, get_args

from pydantic import Field

from astromodal.config.base import FieldNames, Positive, Settings

EvaluationPart = Literal["scalars", "spectra", "images", "transformer", "embeddings"]
EVALUATION_PARTS: Final[tuple[EvaluationPart, ...]] = get_args(EvaluationPart)
"""Every part of the evaluation, in the report's order."""


class LabelSettings(Settings):
    """What is known of sources: columns never given to what predicts one of them."""

    redshift: str | None = Field(
        "specz_z", description="Spectroscopic redshift; null where there is none."
    )
    kind: str | None = Field(
        "specz_class_spec",
        description="Text column that says what a source is; null where there is none.",
    )
    stars: tuple[str, ...] = Field(
        ("STAR",),
        description="Its values that mean a star, whose redshift is a velocity and left out.",
    )
    stellar: tuple[str, ...] = Field(
        ("gaia_teff_gspphot", "gaia_logg_gspphot", "gaia_mh_gspphot"),
        description="Parameters of stars: effective temperature, gravity, metallicity.",
    )
    tied: tuple[str, ...] = Field(
        ("specz_e_z",), description="Columns that would give one of them away."
    )
    magnitude: str | None = Field(
        "mag_pstotal_r", description="Magnitude that results are divided by; null: they are not."
    )

    @property
    def hidden(self) -> tuple[str, ...]:
        """Columns that are never given."""
        redshift = () if self.redshift is None else (self.redshift,)
        return (*redshift, *self.stellar, *self.tied)


class EvaluationSettings(Settings):
    """What the report is made of, and on what."""

    parts: tuple[EvaluationPart, ...] = Field(
        EVALUATION_PARTS, description="Sections of the report.", min_length=1
    )
    fields: FieldNames = Field(
        None,
        description="Fields to evaluate on; null: those nothing was trained on, or, "
        "where there are none, the test split of all.",
    )
    max_objects: Positive = Field(
        2000, description="Objects a modality that are evaluated at most."
    )
    n_examples: Positive = Field(6, description="Examples drawn in a figure.")
    seed: int = Field(5, description="Seed of the draw of objects and of bootstrap errors.")
    labels: LabelSettings = Field(LabelSettings(), description="What is known of sources.")
