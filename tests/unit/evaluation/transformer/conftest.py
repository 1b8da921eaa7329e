"""Made-up sequences and a small model of random weights."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from astromodal.config.schema import (
    Config,
    ImageSettings,
    ModelSettings,
    ScalarSettings,
    SequenceSettings,
    SpectrumSettings,
    TokenizerSettings,
)
from astromodal.core.vocab import MISSING_CODE
from astromodal.data.splits import TEST, TRAIN, VALIDATION
from astromodal.sequences.layout import sequence_layout
from astromodal.sequences.store import BlockCodes, pack_objects, write_sequences
from astromodal.training.checkpoint import save_model
from astromodal.training.initialisation import new_model

CONFIG = Config(
    tokenizers=TokenizerSettings(
        scalar=ScalarSettings(columns=("a", "b"), n_bins=4),
        spectrum=SpectrumSettings(
            groups=("desi_r",), codebook_size=4, max_spec_tokens_per_group=16
        ),
        image=ImageSettings(bands=("R",), size=8, codebook_size=4),
    ),
    model=ModelSettings(d_model=16, n_layers=1, n_heads=2, d_ff=16, dropout=0.0),
    sequences=SequenceSettings(max_seq_len=40),
)
LAYOUT = sequence_layout(CONFIG.tokenizers)
HASHES = {"image": "i", "scalar": "s", "spectrum": "x"}


def _write_sequences(path, n=40, seed=0, blocks=("image", "desi_r"), split=None):
    """Write sequences of `n` objects; every second one has `blocks` beside the scalars."""
    rng = np.random.default_rng(seed)

    def codes(name, rows):
        length = LAYOUT[name].length
        values = rng.integers(0, 4, (len(rows), length)).astype(np.uint16)
        ids = np.array([f"o{row}" for row in rows])
        return BlockCodes(values, rows.astype(np.int32), ids, name)

    every = np.arange(n)
    by_block = {"scalar": codes("scalar", every)}
    by_block["scalar"].codes[::3, 1] = MISSING_CODE
    by_block |= {name: codes(name, every[::2]) for name in blocks}
    split = np.resize([TRAIN, TRAIN, TEST, VALIDATION], n) if split is None else split
    write_sequences(path, pack_objects(LAYOUT, by_block, split), LAYOUT, HASHES)
    return path


def _make_model(seed=0):
    torch.manual_seed(seed)
    return new_model(CONFIG.model, LAYOUT, max_seq_len=40).eval()


def _save_model(path, hashes=HASHES):
    config = {
        "model": CONFIG.model.model_dump(mode="json"),
        "sequences": CONFIG.sequences.model_dump(mode="json"),
        "tokenizers": CONFIG.tokenizers.model_dump(mode="json", exclude={"fields"}),
    }
    state = {
        "model_state_dict": _make_model().state_dict(), "step": 7, "epoch": 1, "config": config,
        "vocab_spec": {**LAYOUT.spec.as_dict(), "tokenizer_hashes": dict(hashes)},
    }  # fmt: skip
    save_model(path, state)
    return path


@pytest.fixture(scope="session")
def toy():
    """Config, layout and hashes of a small model; write sequences, make the model, save it."""
    return SimpleNamespace(
        config=CONFIG, layout=LAYOUT, hashes=HASHES,
        write=_write_sequences, model=_make_model, save=_save_model,
    )  # fmt: skip
