"""Every setting of astromodal: its meaning, its type, its default and its bounds.

The models are frozen: a configuration never changes once it is loaded. The description of a
field is its documentation; ``config/default.yaml`` and ``config/README.md`` are generated from it.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, NamedTuple, get_args

from pydantic import BeforeValidator, Field, field_validator, model_validator

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
from astromodal.config.evaluate import AblationSettings, EvaluationSettings, PredictSettings
from astromodal.config.inputs import (
    BANDS,
    ColumnSettings,
    FolderPath,
    SimulateSettings,
    TemplatePath,
)
from astromodal.config.training import ModelSettings, SequenceSettings, TrainingSettings

NSIDES: Final = tuple(2**order for order in range(17))
"""What HEALPix divides a base cell's side by."""
Group = Literal[
    "desi_b", "desi_r", "desi_z", "gaiaxp_bp", "gaiaxp_rp", "ztf_g", "ztf_r", "ztf_i"
]  # fmt: skip
GROUPS: Final[tuple[Group, ...]] = get_args(Group)
"""Every group that can be tokenized."""
LIGHT_CURVE_GROUPS: Final = tuple(group for group in GROUPS if group.startswith("ztf_"))
"""The groups of a measurement an epoch; a run has those that its config names."""
SPECTRUM_GROUPS: Final = tuple(group for group in GROUPS if group not in LIGHT_CURVE_GROUPS)
"""The groups of spectra: what a run has unless its config says otherwise."""
_BLOCKS = ("image", "scalar", "spectrum", *GROUPS)
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
    """Where cubes are read and results are written."""

    results: FolderPath = Field(
        "results",
        description="Folder that everything is written under; ~ and $VAR are replaced in paths.",
    )
    datacube_template: TemplatePath | None = Field(
        None,
        description="Your cubes, for example /data/datacube_{field}.parquet; "
        "null simulates a sky instead.",
    )


class SelectionSettings(Settings):
    """Which rows tokenizers are fitted on, get scalar codes and become sequences."""

    column: ColumnName | None = Field(
        "mag_pstotal_r", description="Magnitude column of the cut; null keeps every row."
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
    """Train, validation and test objects, divided by HEALPix cell of the sky."""

    nside: Annotated[int, Field(ge=1, le=65536, json_schema_extra={"enum": NSIDES})] = Field(
        128,
        description="HEALPix nside of the cells (NESTED, ICRS), a power of 2; 128 is 27 arcmin.",
    )
    validation: Fraction = Field(0.1, description="Fraction of the cells used for validation.")
    test: Fraction = Field(0.1, description="Fraction of the cells kept for tests.")
    seed: int = Field(1, description="Seed of the draw that assigns a cell to its split.")

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


class ScalarSettings(Settings):
    """The scalar tokenizer: equal-mass bins a column."""

    columns: SomeColumns = Field(SCALAR_COLUMNS, description="Scalar columns, in vocabulary order.")
    n_bins: Annotated[int, Field(ge=2, le=65535)] = Field(1024, description="Bins a column.")

    @field_validator("columns")
    @classmethod
    def _no_block(cls, columns: tuple[str, ...]) -> tuple[str, ...]:
        for name in columns:
            if name in _BLOCKS:
                raise ValueError(
                    f"must be columns, got {name!r}, by which predictions name a block of a "
                    "sequence; rename the column"
                )
        return columns


class SpectrumSettings(Settings):
    """The spectrum tokenizers: one codebook a group."""

    groups: Annotated[tuple[Group, ...], Field(min_length=1), *Once] = Field(
        SPECTRUM_GROUPS,
        description="Groups, in vocabulary order. Name ztf_g, ztf_r or ztf_i to add light curves, "
        "lists in the columns ztf_mag_g, ztf_magerr_g (mag), ztf_hmjd_g (MJD) and so on.",
    )
    codebook_size: Annotated[int, Field(ge=2, le=65535)] = Field(
        2048, description="Centroids a group."
    )
    max_spec_tokens_per_group: Annotated[int, Field(ge=8)] = Field(
        512, description="Longest block of one spectrum: it is rebinned to fit."
    )
    xp_samples: Annotated[int, Field(ge=8)] = Field(
        120, description="Samples of a Gaia XP spectrum along its pseudo-wavelength."
    )
    max_epochs: Positive = Field(
        128,
        description="Slots of a light curve in a sequence: of a longer one, the first epochs "
        "stand in it. Its codes on disk are whole.",
    )
    samples_per_field: Positive = Field(
        200_000, description="Feature samples a group that one training field contributes at most."
    )
    iterations: Positive = Field(10, description="Full Lloyd steps after k-means++ seeding.")
    seed: Seed = Field(2, description="Seed of the k-means++ seeding.")


class ImageSettings(Settings):
    """The image tokenizer: an autoencoder and a codebook of its latents."""

    bands: SomeColumns = Field(BANDS, description="Bands of a cutout, in channel order.")
    size: Annotated[int, Field(ge=8, multiple_of=4)] = Field(
        96, description="Side of a cutout (pixel of 0.55 arcsec)."
    )
    latent_dim: Positive = Field(2, description="Latent channels of a 4 × 4 pixel patch.")
    codebook_size: Annotated[int, Field(ge=2, le=65535)] = Field(2048, description="Centroids.")
    hidden: Positive = Field(96, description="Channels inside the autoencoder.")
    blocks: Positive = Field(3, description="Residual blocks in the encoder and in the decoder.")
    max_cutouts: Positive = Field(
        200_000, description="Cutouts that train the autoencoder at most, drawn evenly over fields."
    )
    epochs: Positive = Field(20, description="Passes over the training cutouts.")
    batch_size: Positive = Field(32, description="Cutouts a step.")
    learning_rate: Annotated[float, Field(gt=0)] = Field(2e-3, description="Peak learning rate.")
    band_dropout: Fraction = Field(
        0.05, description="Chance that a present band is hidden from the encoder in training."
    )
    iterations: Positive = Field(10, description="Full Lloyd steps of the latent codebook.")
    seed: Annotated[int, Field(ge=-(SEEDS // 2), lt=SEEDS)] = Field(
        3, description="Seed of the weights, the batches and the codebook."
    )


class TokenizerSettings(Settings):
    """How measurements become codes."""

    fields: FieldNames = Field(
        None, description="Fields that tokenizers are fitted on; null for every field."
    )
    scalar: ScalarSettings = Field(ScalarSettings(), description="Scalars.")
    spectrum: SpectrumSettings = Field(SpectrumSettings(), description="Spectra.")
    image: ImageSettings = Field(ImageSettings(), description="Image cutouts.")


class VocabSizes(NamedTuple):
    """Sizes of the vocabulary's three ranges, as a function of the config alone."""

    image: int
    scalar: int
    spectrum: int


class Config(Settings):
    """All settings of a run."""

    paths: PathSettings = Field(PathSettings(), description="Where things are.")
    fields: FieldNames = Field(
        None,
        description="Fields that are encoded, by name or pattern (SIM-00*); null: every cube that "
        "paths.datacube_template matches.",
    )
    on_bad_field: Literal["stop", "skip"] = Field(
        "stop",
        description="What a bad cube does: stop its job with an error, and with it what depends on "
        "it; or skip the field, which the end of the run and the report then list.",
    )
    freeze: Annotated[
        tuple[Literal["tokenizers", "transformer"], ...], *Once, BeforeValidator(split_at_commas)
    ] = Field(
        (),
        description="Parts that are kept as they were made, whatever changes before them: "
        "tokenizers, transformer.",
    )
    cpu_threads: Annotated[int, Field(ge=1, le=1024)] | None = Field(
        None,
        description="Threads of a job of PyTorch on a CPU; null: its cores, which is fastest. Sums "
        "are split among threads: with a number here, trainings end with the same bits on any "
        "number of cores.",
    )
    columns: ColumnSettings = Field(ColumnSettings(), description="Columns that identify a source.")
    selection: SelectionSettings = Field(SelectionSettings(), description="The magnitude cut.")
    split: SplitSettings = Field(SplitSettings(), description="Train, validation and test.")
    simulate: SimulateSettings = Field(SimulateSettings(), description="The simulated sky.")
    tokenizers: TokenizerSettings = Field(TokenizerSettings(), description="Values into codes.")
    sequences: SequenceSettings = Field(SequenceSettings(), description="Codes into sequences.")
    model: ModelSettings = Field(ModelSettings(), description="The transformer.")
    training: TrainingSettings = Field(TrainingSettings(), description="Its training.")
    evaluation: EvaluationSettings = Field(EvaluationSettings(), description="The report.")
    ablations: AblationSettings = Field(AblationSettings(), description="What each part buys.")
    predict: PredictSettings = Field(PredictSettings(), description="Using the trained model.")

    @property
    def vocab(self) -> VocabSizes:
        """Ids of images, of scalars (a column each for the spectra's scales too), of one group."""
        scalar, spectrum = self.tokenizers.scalar, self.tokenizers.spectrum
        n_columns = len(scalar.columns) + len(spectrum.groups)
        return VocabSizes(
            self.tokenizers.image.codebook_size, n_columns * scalar.n_bins, spectrum.codebook_size
        )
