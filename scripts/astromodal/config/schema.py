"""Every setting of astromodal: its meaning, its type, its default and its bounds.

The models are frozen: a configuration never changes once it is loaded. The description of a
field is its documentation; ``config/default.yaml`` and ``config/README.md`` are generated from it.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, NamedTuple

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from astromodal.config.base import (
    SEEDS,
    ColumnName,
    FieldNames,
    Fraction,
    Once,
    Positive,
    Seed,
    Settings,
    SomeColumns,
    split_at_commas,
)
from astromodal.config.evaluate import (
    AblationSettings,
    AtlasSettings,
    EvaluationSettings,
    HatsSettings,
    IndexSettings,
    PhotozSettings,
    PredictSettings,
)
from astromodal.config.inputs import (
    BANDS,
    ColumnSettings,
    FolderPath,
    ImageName,
    ScriptPath,
    SimulateSettings,
    TemplatePath,
)
from astromodal.config.sources import CubeSettings, SourceName, SourceSettings
from astromodal.config.training import (
    FinetuneSettings,
    ModelSettings,
    SequenceSettings,
    TrainingSettings,
)
from astromodal.extensions import load_extensions

NSIDES: Final = tuple(2**order for order in range(17))
"""Valid numbers of HEALPix cells along the side of a base cell."""
DEFAULT_GROUPS: Final = ("desi_b", "desi_r", "desi_z", "gaiaxp_bp", "gaiaxp_rp")
"""Spectrum groups of a run whose config names no others."""
_BLOCKS: Final = ("image", "scalar", "spectrum")
"""Names of blocks in predictions, beside those of the spectrum groups."""
NO_COLUMN: Final = (
    "must be columns, got {name!r}, by which predictions name a block of a sequence; rename the "
    "column"
)
"""The error of a scalar column that has the name of a block."""
_MAG_ORDER = (
    "u", "i", "r", "g", "z", "j0378", "j0395", "j0410", "j0430", "j0515", "j0660", "j0861",
)  # fmt: skip
SCALAR_COLUMNS = (
    "ellipticity_det", "elongation_det", "a_pixel_det", "b_pixel_det", "theta_det", "fwhm_n_det",
    *(f"mag_pstotal_{band}" for band in _MAG_ORDER),
    *(f"err_mag_pstotal_{band}" for band in _MAG_ORDER),
    "gaia_parallax", "gaia_parallax_error", "gaia_pmra", "gaia_pmdec", "gaia_pmra_error",
    "gaia_pmdec_error",
    *(f"gaia_phot_{band}_mean_flux" for band in ("bp", "rp", "g")),
    *(f"gaia_phot_{band}_mean_flux_error" for band in ("bp", "rp", "g")),
    "gaia_teff_gspphot", "gaia_logg_gspphot", "gaia_mh_gspphot", "specz_z", "specz_e_z",
    *(f"vista_{band}apermag6{end}" for band in ("y", "j", "h", "ks") for end in ("", "err")),
)  # fmt: skip


class PathSettings(Settings):
    """Paths of cubes and results."""

    results: FolderPath = Field(
        "results",
        description="Folder of all results; ~ and $VAR are replaced in paths.",
    )
    datacube_template: TemplatePath | None = Field(
        None,
        description="Path of your cubes, such as /data/datacube_{field}.parquet, or their address "
        "on an object store, such as s3://bucket/cubes/datacube_{field}.parquet; null builds them "
        "from `sources`, or simulates a sky where there are none.",
    )


class SelectionSettings(Settings):
    """Magnitude cut on rows for fitting tokenizers, for scalar codes and for sequences."""

    column: ColumnName | None = Field(
        "mag_pstotal_r", description="Magnitude column of the cut; null to keep every row."
    )
    minimum: float = Field(14.0, description="Brightest magnitude kept (mag).")
    maximum: float = Field(22.0, description="Faintest magnitude kept (mag).")

    @model_validator(mode="after")
    def _ordered(self) -> SelectionSettings:
        if self.minimum >= self.maximum:
            raise ValueError(
                f"minimum must be below maximum, got {self.minimum} and {self.maximum}"
            )
        return self


class SplitSettings(Settings):
    """Assignment of objects to train, validation and test split by HEALPix cell."""

    nside: Annotated[int, Field(ge=1, le=65536, json_schema_extra={"enum": NSIDES})] = Field(
        128,
        description="HEALPix nside of the cells (NESTED, ICRS), a power of 2; 128 is 27 arcmin.",
    )
    validation: Fraction = Field(0.1, description="Fraction of the cells used for validation.")
    test: Fraction = Field(0.1, description="Fraction of the cells used for tests.")
    seed: int = Field(1, description="Seed of the assignment of cells to splits.")

    @field_validator("nside")
    @classmethod
    def _divides_evenly(cls, nside: int) -> int:
        if nside not in NSIDES:
            near = f"{1 << nside.bit_length() - 1} and {1 << nside.bit_length()}"
            raise ValueError(f"must be a power of 2, got {nside}; next to it are {near}")
        return nside

    @model_validator(mode="after")
    def _leaves_training(self) -> SplitSettings:
        if self.validation + self.test >= 1:
            raise ValueError("validation + test must be below 1: some cells must train")
        return self


QuantizerName = Annotated[str, Field(min_length=1)]
_QUANTIZER = (
    "What fits the codebook, encodes and decodes: kmeans, or a quantizer that a Python file of "
    "yours registers."
)


class ScalarSettings(Settings):
    """The scalar tokenizer, with equal-mass bins per column."""

    columns: SomeColumns = Field(SCALAR_COLUMNS, description="Scalar columns, in vocabulary order.")
    n_bins: Annotated[int, Field(ge=2, le=65535)] = Field(1024, description="Bins per column.")

    @field_validator("columns")
    @classmethod
    def _no_block(cls, columns: tuple[str, ...]) -> tuple[str, ...]:
        for name in columns:
            if name in _BLOCKS:
                raise ValueError(NO_COLUMN.format(name=name))
        return columns


class SpectrumSettings(Settings):
    """The spectrum tokenizers, with one codebook per group."""

    groups: Annotated[tuple[str, ...], Field(min_length=1), *Once] = Field(
        DEFAULT_GROUPS,
        description="Groups, in vocabulary order. Name ztf_g, ztf_r or ztf_i to add light curves, "
        "lists in the columns ztf_mag_g, ztf_magerr_g (mag), ztf_hmjd_g (MJD) and so on.",
    )
    codebook_size: Annotated[int, Field(ge=2, le=65535)] = Field(
        2048, description="Centroids per group."
    )
    max_spec_tokens_per_group: Annotated[int, Field(ge=16)] = Field(
        512,
        description="Most codes of a spectrum, to which it is rebinned: one for two bins, four of "
        "its noise, and eight of its local scales. One of Gaia XP has 56.",
    )
    xp_samples: Annotated[int, Field(ge=8)] = Field(
        120,
        description="Points along the pseudo-wavelength at which decoded Gaia XP spectra are "
        "given; their codes stand for coefficients.",
    )
    max_epochs: Positive = Field(
        128,
        description="Most epochs of a light curve in a sequence, the first ones of a longer curve; "
        "token files hold all epochs.",
    )
    samples_per_field: Positive = Field(
        200_000, description="Largest number of feature samples per group and training field."
    )
    quantizer: QuantizerName = Field("kmeans", description=_QUANTIZER)
    iterations: Positive = Field(10, description="Full Lloyd steps after k-means++ seeding.")
    seed: Seed = Field(2, description="Seed of the k-means++ seeding.")


class ImageSettings(Settings):
    """The image tokenizer, an autoencoder with a codebook of its latents."""

    bands: SomeColumns = Field(BANDS, description="Bands of a cutout, in channel order.")
    size: Annotated[int, Field(ge=8, multiple_of=4)] = Field(
        96, description="Side of a cutout (pixel of 0.55 arcsec)."
    )
    latent_dim: Positive = Field(2, description="Latent channels per patch of 4 × 4 pixels.")
    codebook_size: Annotated[int, Field(ge=2, le=65535)] = Field(2048, description="Centroids.")
    hidden: Positive = Field(96, description="Channels inside the autoencoder.")
    blocks: Positive = Field(3, description="Residual blocks in the encoder and in the decoder.")
    max_cutouts: Positive = Field(
        200_000,
        description="Largest number of cutouts that train the autoencoder, spread over the fields.",
    )
    epochs: Positive = Field(20, description="Passes over the training cutouts.")
    batch_size: Positive = Field(32, description="Cutouts per training step.")
    learning_rate: Annotated[float, Field(gt=0)] = Field(2e-3, description="Peak learning rate.")
    band_dropout: Fraction = Field(
        0.05, description="Probability that a band is hidden from the encoder in training."
    )
    quantizer: QuantizerName = Field("kmeans", description=_QUANTIZER)
    iterations: Positive = Field(10, description="Full Lloyd steps of the latent codebook.")
    seed: Annotated[int, Field(ge=-(SEEDS // 2), lt=SEEDS)] = Field(
        3, description="Seed of the weights, the batches and the codebook."
    )

    @property
    def brightness_columns(self) -> tuple[str, ...]:
        """Scalar columns of a cutout's place and brightness.

        The place, then the fluxes of all bands, their concentrations, and their peaks.
        """
        names = ("image_flux", "image_concentration", "image_peak")
        by_band = (f"{name}_{band}" for name in names for band in self.bands)
        return "image_x", "image_y", *by_band


class TokenizerSettings(Settings):
    """Encoding of measurements to codes."""

    fields: FieldNames = Field(
        None, description="Fields that tokenizers are fitted on; null for every field."
    )
    scalar: ScalarSettings = Field(ScalarSettings(), description="The scalar tokenizer.")
    spectrum: SpectrumSettings = Field(SpectrumSettings(), description="The spectrum tokenizers.")
    image: ImageSettings = Field(ImageSettings(), description="The image tokenizer.")


def loaded(paths: tuple[str, ...]) -> tuple[str, ...]:
    """Import the files, so that settings may name what they register."""
    load_extensions(paths)
    return paths


class VocabSizes(NamedTuple):
    """Sizes of the three ranges of the vocabulary."""

    image: int
    scalar: int
    spectrum: int


class Config(Settings):
    """All settings of a run."""

    extensions: Annotated[
        tuple[ScriptPath, ...], *Once, BeforeValidator(split_at_commas), AfterValidator(loaded)
    ] = Field(
        (),
        description="Python files of your own that register spectrum groups, quantizers, loss "
        "terms or sections of the report; every job imports them.",
    )
    paths: PathSettings = Field(PathSettings(), description="Paths.")
    fields: FieldNames = Field(
        None,
        description="Fields to encode, by name or pattern (SIM-00*); null for every field that has "
        "a cube or can have one.",
    )
    on_bad_field: Literal["stop", "skip"] = Field(
        "stop",
        description="Response to an invalid cube: stop its job, and jobs that depend on it, with "
        "an error; or skip the field, which the end of the run and the report list.",
    )
    freeze: Annotated[
        tuple[Literal["tokenizers", "transformer"], ...], *Once, BeforeValidator(split_at_commas)
    ] = Field(
        (),
        description="Parts that are not made again when their input changes: tokenizers, "
        "transformer.",
    )
    cpu_threads: Annotated[int, Field(ge=1, le=1024)] | None = Field(
        None,
        description="Threads of jobs of PyTorch on a CPU; null for all their cores, which is "
        "fastest. Results depend on the number of threads: a number here gives the same bits on "
        "any number of cores.",
    )
    container: ImageName | None = Field(
        None,
        description="Image in which jobs run where snakemake is started with --sdm apptainer: a "
        "file, or an address such as docker://…; null for none.",
    )
    sources: dict[SourceName, SourceSettings] = Field(
        {}, description="Raw survey files that cubes are built from, by name; docs/cubes.md."
    )
    cubes: CubeSettings = Field(CubeSettings(), description="How cubes are built from `sources`.")
    columns: ColumnSettings = Field(
        ColumnSettings(), description="Columns of identifiers and positions."
    )
    selection: SelectionSettings = Field(SelectionSettings(), description="The magnitude cut.")
    split: SplitSettings = Field(SplitSettings(), description="Train, validation and test split.")
    simulate: SimulateSettings = Field(SimulateSettings(), description="The simulated sky.")
    tokenizers: TokenizerSettings = Field(TokenizerSettings(), description="The tokenizers.")
    sequences: SequenceSettings = Field(SequenceSettings(), description="The sequences.")
    model: ModelSettings = Field(ModelSettings(), description="The transformer.")
    training: TrainingSettings = Field(
        TrainingSettings(), description="Training of the transformer."
    )
    evaluation: EvaluationSettings = Field(EvaluationSettings(), description="The report.")
    ablations: AblationSettings = Field(AblationSettings(), description="Ablations.")
    predict: PredictSettings = Field(PredictSettings(), description="Predictions and embeddings.")
    index: IndexSettings = Field(IndexSettings(), description="The index of similar objects.")
    atlas: AtlasSettings = Field(AtlasSettings(), description="The page to explore a survey.")
    hats: HatsSettings = Field(HatsSettings(), description="The HATS catalogue of the survey.")
    photoz: PhotozSettings = Field(
        PhotozSettings(), description="Redshift distributions and catalogues of every field."
    )
    finetune: FinetuneSettings = Field(FinetuneSettings(), description="Fine-tuning to labels.")

    @property
    def base(self) -> str:
        """Name of the source whose rows the cubes have; empty without sources."""
        return self.cubes.base or next(iter(self.sources), "")

    @property
    def vocab(self) -> VocabSizes:
        """Numbers of ids of images, of scalars with brightness and scales, and of one group."""
        scalar, spectrum = self.tokenizers.scalar, self.tokenizers.spectrum
        image = self.tokenizers.image
        n_columns = len(scalar.columns) + len(image.brightness_columns) + len(spectrum.groups)
        return VocabSizes(image.codebook_size, n_columns * scalar.n_bins, spectrum.codebook_size)
