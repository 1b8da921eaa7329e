"""Settings of the trained model's use."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from astromodal.config.base import ColumnNames, Positive, Settings


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
