"""Settings of the report, of ablations and of predictions."""

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
    """Columns of known labels, which are never inputs of predictions of a label."""

    redshift: ColumnName | None = Field(
        "specz_z", description="Column of the spectroscopic redshift; null if there is none."
    )
    kind: ColumnName | None = Field(
        "specz_class_spec",
        description="Text column of the class of a source; null if there is none.",
    )
    stars: tuple[str, ...] = Field(
        ("STAR", "GLOBCLUSTER"),
        description="Classes of stars, whose redshifts are velocities and are not used; text in "
        "brackets is ignored (STAR(WD) is a STAR).",
    )
    unclear: tuple[str, ...] = Field(
        ("UNCLEAR",),
        description="Classes of unknown sources, which have no class and whose redshift is not "
        "used.",
    )
    stellar: ColumnNames = Field(
        ("gaia_teff_gspphot", "gaia_logg_gspphot", "gaia_mh_gspphot"),
        description="Columns of stellar parameters: effective temperature, gravity, metallicity.",
    )
    tied: ColumnNames = Field(
        ("specz_e_z",), description="Further columns that reveal a label, such as its error."
    )
    magnitude: ColumnName | None = Field(
        "mag_pstotal_r", description="Magnitude column by which results are binned; null for none."
    )

    @property
    def hidden(self) -> tuple[str, ...]:
        """Columns that are never inputs of a prediction."""
        redshift = () if self.redshift is None else (self.redshift,)
        return (*redshift, *self.stellar, *self.tied)


class ReconstructionSettings(Settings):
    """Reconstruction of each block of an object from the other blocks."""

    max_objects: Positive = Field(32, description="Largest number of objects per block.")
    n_samples: Positive = Field(
        3, description="Quantiles of the brightness that a predicted cutout is averaged over."
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
        "labels and columns that the run lacks are left out.",
    )


GIVEN: Final = ("scalar", "image", "spectrum")
"""Modalities that labels are predicted from, in the report's order."""


def combine(modalities: Iterable[str]) -> str:
    """Join modalities by +, each once, in the report's order."""
    return "+".join(name for name in GIVEN if name in set(modalities))


def _combination(name: str) -> str:
    """Return a combination of modalities in its standard form."""
    parts = [part.strip() for part in name.split("+")]
    if not set(parts) <= set(GIVEN):
        known = ", ".join(GIVEN)
        raise ValueError(must_be("a combination", f"one or more of {known}, joined by +", name))
    return combine(parts)


class DownstreamSettings(Settings):
    """Predictions of labels by the model and by probes of embeddings, compared with baselines."""

    given: Annotated[
        tuple[Annotated[str, AfterValidator(_combination)], ...] | None,
        BeforeValidator(split_at_commas),
    ] = Field(
        None,
        min_length=1,
        description="Modalities that labels are predicted from, joined by +, such as "
        "scalar+image; null for every combination of scalar, image and spectrum that evaluated "
        "objects have.",
    )
    max_fields: Positive = Field(
        64,
        description="Largest number of training fields that labels are taken from, evenly spaced.",
    )
    max_labels: Positive = Field(
        20_000,
        description="Largest number of labels per target that probes and baselines are fitted to.",
    )
    label_fractions: Annotated[
        tuple[Annotated[float, Field(gt=0, le=1)], ...], Field(min_length=1)
    ] = Field(
        (0.01, 0.1, 1.0), description="Fractions of the labels in curves of label efficiency."
    )
    label_draws: Positive = Field(
        5, description="Random subsets per fraction; the error is their scatter."
    )


class EvaluationSettings(Settings):
    """Sections of the report, and the objects that it evaluates."""

    sections: Annotated[tuple[SectionName, ...], Field(min_length=1), *Once] = Field(
        BUILT_IN_SECTIONS,
        description="Sections of the report, in its order; extensions may register more.",
    )
    fields: FieldNames = Field(
        None,
        description="Fields to evaluate; null for fields that nothing was trained on or, if there "
        "are none, the test split of all fields.",
    )
    max_objects: Positive = Field(
        2000, description="Largest number of evaluated objects per modality."
    )
    n_examples: Annotated[int, Field(ge=1, le=200)] = Field(
        6, description="Examples per figure, one per row."
    )
    seed: Annotated[Seed, Field(lt=2**32)] = Field(
        5, description="Seed of the selection of objects and of bootstrap errors."
    )
    labels: LabelSettings = Field(LabelSettings(), description="Columns of known labels.")
    reconstruction: ReconstructionSettings = Field(
        ReconstructionSettings(), description="Reconstruction of blocks."
    )
    downstream: DownstreamSettings = Field(
        DownstreamSettings(), description="Predictions of labels and baselines."
    )


AS_CONFIGURED: Final = "as_configured"
"""Name of the variant that all others are compared with."""
VARIED: Final = ("training.", "sequences.", "model.")
"""Prefixes of the settings that a variant may change; tokens are the same for all variants."""
FIXED: Final = ("fields", "gpus", "nodes", "seed", "init_from")
"""Settings of ``training`` that a variant may not change."""
_TERMS = "training.meaningful_loss."


class AblationSettings(Settings):
    """Variants of the configured model that the target `ablations` trains and compares with it."""

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
        description="By name of a variant, the settings of training, sequences or model that it "
        "changes, by dotted name; variants that are equal to an earlier one are not trained.",
    )
    seeds: Positive = Field(
        2,
        description="Trainings per variant, each with another seed; the errors are their scatter.",
    )
    epochs: Positive | None = Field(
        None,
        description="Passes over the training objects, for every variant; null for "
        "training.epochs.",
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
    """Predictions and embeddings of every field."""

    columns: ColumnNames | None = Field(
        None,
        description="Scalar columns to predict; null for those of specz_z, gaia_teff_gspphot, "
        "gaia_logg_gspphot and gaia_mh_gspphot that the run has.",
    )
    given: ColumnNames | None = Field(
        None,
        description="Columns and blocks (image, scalar, a spectrum group, or spectrum for all "
        "groups) to predict from; null for everything else that an object has, but for labels "
        "(sequences.labels) where a label is predicted.",
    )
    pooling: Literal["query", "mean", "attention"] = Field(
        "query",
        description="How an object's tokens become one embedding: the state of a query that "
        "follows them, mapped so that an object stays near itself where less is measured of it; "
        "the mean of their states; or that mean weighted by attention from the last token.",
    )
    token_budget: Positive = Field(
        16_384, description="Largest number of tokens that are run at once."
    )


QUERY: Final = "query"
"""Pooling by the state of a query, in whose embeddings distances have a meaning."""
Included = Literal["embeddings", "predictions", "scalars", "codes"]


class HatsSettings(Settings):
    """The HATS catalogue of the survey, which the target `hats` writes."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")] = Field(
        "astromodal", description="Name of the catalogue, and of its folder."
    )
    include: Annotated[tuple[Included, ...], *Once] = Field(
        ("embeddings", "predictions", "scalars", "codes"),
        description="What it has beside ids and positions: embeddings, predictions, decoded "
        "scalars, codes.",
    )
    margin: Annotated[float, Field(ge=0, le=600)] = Field(
        10.0,
        description="Width of the margin around each partition (arcsec), within which matches "
        "across its border are found; 0 for none.",
    )
    max_rows: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        50_000, description="Largest number of rows of a partition, which a job holds in memory."
    )


class IndexSettings(Settings):
    """The index of similar objects, which the target `index` makes of all embeddings."""

    n_components: Annotated[int, Field(ge=1, le=4096)] = Field(
        30,
        description="Largest number of principal components of embeddings in which "
        "objects are compared.",
    )
    max_objects: Annotated[int, Field(ge=2)] = Field(
        200_000,
        description="Largest number of objects of the training fields that components and lists "
        "are learned from; fields share it by their numbers of objects.",
    )
    n_lists: Annotated[int, Field(ge=1, le=65_536)] = Field(
        2048,
        description="Largest number of lists, each of the objects near one centroid; fewer where "
        "they are learned from fewer than 32 objects per list.",
    )
    seed: Annotated[Seed, Field(lt=2**32)] = Field(
        9, description="Seed of the sample and of the centroids."
    )
    exact_below: Annotated[int, Field(ge=0)] = Field(
        1_000_000,
        description="Number of indexed objects below which a search compares with all of them.",
    )
    n_probe: Positive = Field(
        64, description="Nearest lists that a search in a larger index looks through."
    )


PhotozFormat = Literal["hdf5", "vot", "fits"]


class PhotozSettings(Settings):
    """Redshift distributions and catalogues of every field, which the target `photoz` writes."""

    column: ColumnName | None = Field(
        None,
        description="Column whose distributions are written; null for evaluation.labels.redshift.",
    )
    formats: Annotated[tuple[PhotozFormat, ...], Field(min_length=1), *Once] = Field(
        ("hdf5", "vot", "fits"),
        description="What the target photoz writes per field: hdf5 (distributions for qp and "
        "RAIL), vot and fits (all predicted columns as a VOTable and a FITS table).",
    )
    width: Annotated[float, Field(ge=0.001, le=0.1)] = Field(
        0.005,
        description="Width of the even bins of a distribution, in the column's unit (redshift).",
    )
    odds: Annotated[float, Field(gt=0, le=1)] = Field(
        0.06,
        description="The odds of an object are the probability of redshifts within this number "
        "times 1 + z of the mode z.",
    )


class AtlasSettings(Settings):
    """The page to explore a survey, which the target `atlas` makes."""

    max_objects: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        100_000,
        description="Largest number of objects on the map; fields share it by their numbers of "
        "objects.",
    )
    max_details: Annotated[int, Field(ge=0)] = Field(
        2000,
        description="Largest number of these objects that have cutout and spectra in the page, "
        "some 7 kB each; others have numbers alone.",
    )
    columns: ColumnNames | None = Field(
        None,
        description="Scalar columns of the cubes that the page shows beside predictions; null for "
        "predicted columns, evaluation.labels.{redshift,magnitude}, and magnitudes of "
        "tokenizers.scalar.columns.",
    )
    bands: Annotated[tuple[ColumnName, ...], Field(min_length=3, max_length=3)] = Field(
        ("I", "R", "G"), description="Bands that cutouts show as red, green and blue."
    )
    neighbours: Annotated[int, Field(ge=1, le=50)] = Field(
        10, description="Nearest neighbours that are listed of each object."
    )
    seed: Annotated[Seed, Field(lt=2**32)] = Field(
        7, description="Seed of the sample and of the map."
    )
