"""A toy model of random weights with small fitted tokenizers, and a run's folder of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from astromodal.config.schema import (
    Config,
    ModelSettings,
    ScalarSettings,
    SequenceSettings,
    SpectrumSettings,
    TokenizerSettings,
)
from astromodal.core.paths import Layout
from astromodal.data.splits import TRAIN
from astromodal.inference.bundle import Bundle
from astromodal.inference.encode import Encoded
from astromodal.inference.export import RunSources
from astromodal.sequences.layout import sequence_layout
from astromodal.sequences.store import write_sequences
from astromodal.sequences.tokenizers import TokenizerFiles, Tokenizers, write_vocabulary
from astromodal.storage.json_files import write_json
from astromodal.tokenizers.scalars.quantiles import ColumnSummaries
from astromodal.tokenizers.scalars.tokenizer import ScalarTokenizer
from astromodal.training.checkpoint import Trained, restore, save_model
from astromodal.training.history import history_line
from astromodal.training.initialisation import new_model
from helpers.cutouts import SETTINGS as IMAGE
from helpers.cutouts import cutout_columns, cutouts, image_tokenizer
from helpers.spectra import desi_columns, samples_of, spectra, tokenizer_of

COLUMNS = (
    "mag_pstotal_r", "mag_pstotal_i", "specz_z", "specz_e_z", "gaia_teff_gspphot",
    "vista_japermag6",
)  # fmt: skip
EMPTY = "vista_japermag6"
"""The column that no training row has."""
N_BINS = 6
CONFIG = Config(
    tokenizers=TokenizerSettings(
        scalar=ScalarSettings(columns=COLUMNS, n_bins=N_BINS),
        spectrum=SpectrumSettings(
            groups=("desi_r", "gaiaxp_bp"),
            codebook_size=16,
            max_spec_tokens_per_group=16,
            xp_samples=20,
            iterations=2,
        ),
        image=IMAGE,
    ),
    model=ModelSettings(d_model=16, n_layers=2, n_heads=2, d_ff=32, dropout=0.1),
    sequences=SequenceSettings(max_seq_len=128),
)


def scalars(n: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Values of the columns, float64 (n,) each; those of the empty one are missing."""
    rng = np.random.default_rng(seed)
    found = {name: rng.normal(20, 2, n) for name in COLUMNS}
    found["specz_z"] = np.abs(rng.normal(0.2, 0.1, n))
    found[EMPTY] = np.full(n, np.nan)
    return found


def cube_table(n: int = 12, seed: int = 0) -> pa.Table:
    """Rows of a cube: every second one has cutouts, every third a DESI spectrum."""
    pictures = cutout_columns(cutouts(n, seed))
    for name, values in pictures.items():
        if name.startswith("splus_cut"):
            pictures[name] = [v if i % 2 == 0 else None for i, v in enumerate(values)]
    flux, ivar = spectra(n, seed=seed)
    lists = [[v if i % 3 == 0 else None for i, v in enumerate(a)] for a in (flux, ivar)]
    own = scalars(n, seed)
    own["specz_z"] = np.where(np.arange(n) % 4 == 1, np.nan, own["specz_z"])
    place = {"ra": 10 + np.arange(n) / 100, "dec": np.full(n, -30.0)}
    return pa.table({**pictures, **desi_columns(*lists), **own, **place})


def toy_tokenizers(seed: int = 1) -> Tokenizers:
    """Fitted on a few rows; Gaia XP has no training data."""
    values = scalars(200)
    table = np.stack([values[name] for name in COLUMNS], axis=1)
    summaries = ColumnSummaries.of(table, COLUMNS)
    scalar = ScalarTokenizer.fit(summaries, COLUMNS, N_BINS)
    samples = {"desi_r": samples_of(*spectra(30))}
    spectrum = tokenizer_of(samples, CONFIG.tokenizers.spectrum, N_BINS)
    return Tokenizers(scalar, spectrum, image_tokenizer(seed=seed, n_bins=N_BINS))


def write_results(folder: Path, bundle: Bundle, encoded: Encoded) -> RunSources:
    """The files of a finished run of one field, nine of whose objects train."""
    write_run(folder, bundle)
    paths = Layout(str(folder), bundle.trained.config.tokenizers.image.codebook_size)
    store = encoded.sequences.stores[0]
    names = ("tokens", "block_ptr", "block_type", "object_ptr", "row", "id_bytes", "id_ptr")
    arrays = {name: getattr(store, name) for name in names}
    arrays["split"] = np.where(np.arange(12) < 9, TRAIN, 1).astype(np.uint8)
    hashes = bundle.tokenizers.hashes()
    write_sequences(paths.sequences("F1"), arrays, bundle.layout, hashes)
    entry = {"split": "validation", "step": 7, "cross_entropy_scalar": 1.5, "unigram_scalar": 1.75}
    Path(paths.history).write_text(history_line(entry))
    return run_sources(folder)


def run_sources(folder: Path) -> RunSources:
    """What an export of a run of `write_results` is made of."""
    paths = Layout(str(folder), CONFIG.tokenizers.image.codebook_size)
    tokenizers = TokenizerFiles.of(paths)
    sequences = [paths.sequences("F1")]
    return RunSources(
        paths.final_model, paths.vocab_spec, paths.history, tokenizers, sequences, ["F1"]
    )


WRITTEN = {
    "tokenizers": {
        "scalar": True,
        "spectrum": {"groups", "codebook_size", "max_spec_tokens_per_group", "max_epochs"},
        "image": {"bands", "size", "codebook_size"},
    },
    "model": True, "sequences": True, "training": True,
}  # fmt: skip
"""What training is given of a config, and so what a run writes down."""


def plain_config(config: Config) -> dict:
    """What a run writes down of its config."""
    return config.model_dump(mode="json", include=WRITTEN)


def toy_bundle(seed: int = 3, config: Config = CONFIG) -> Bundle:
    """A model whose every weight is random, and its tokenizers."""
    tokenizers = toy_tokenizers()
    parts = config.tokenizers
    layout = sequence_layout(parts)
    torch.manual_seed(seed)
    model = new_model(config.model, layout, max_seq_len=128)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
        model.embedding.weight.normal_(std=2.0)
        model.values.maps_out.normal_(std=0.05)  # other columns decide, but not alone
        model.features.normal_()
    vocabulary = {"tokenizer_hashes": tokenizers.hashes(), **layout.spec.as_dict()}
    device = torch.device("cpu")
    trained: Trained = restore(model.state_dict(), plain_config(config), vocabulary, (7, 1), device)
    return Bundle(trained, tokenizers, device)


def write_run(folder: Path, bundle: Bundle) -> Path:
    """The files of a run in a results folder; return the run's own folder."""
    config, tokenizers = bundle.trained.config, bundle.tokenizers
    paths = Layout(str(folder), config.tokenizers.image.codebook_size)
    for path in (paths.scalar_tokenizer, paths.spectrum_tokenizer, paths.autoencoder, paths.run):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    tokenizers.scalar.save(paths.scalar_tokenizer)
    tokenizers.spectrum.save(paths.spectrum_tokenizer)
    tokenizers.image.autoencoder.save(paths.autoencoder)
    tokenizers.image.codebook.save(paths.image_codebook)
    written = config.model_dump(mode="json") | {"training": bundle.trained.training}
    vocabulary = write_vocabulary(paths.vocab_spec, bundle.layout, bundle.columns, tokenizers)
    write_json(paths.run_config, written)
    state = {
        "model_state_dict": bundle.trained.model.state_dict(),
        "config": written,
        "vocab_spec": vocabulary,
        "step": 7,
        "epoch": 1,
    }
    save_model(paths.final_model, state)
    return Path(paths.run)
