"""A training run from files to files."""

from __future__ import annotations

import json
import logging
import os
import signal

import pytest
import torch

from astromodal.config.schema import ModelSettings, SequenceSettings, TrainingSettings
from astromodal.core.files import write_json
from astromodal.errors import FormatError
from astromodal.models import CausalTransformerLM
from astromodal.training.reconstruction import image_reconstruction_loss
from astromodal.training.run import (
    EXIT_INTERRUPTED,
    RunFiles,
    TrainingInterrupted,
    train_transformer,
)

from .conftest import HASHES, IMAGE, SCALAR, SPECTRUM


class FittedTokenizers:
    """Stands for `Tokenizers`, of which training uses hashes and tables."""

    def __init__(self, tables):
        self._tables = tables

    def hashes(self):
        """Hashes of no tokenizers in particular."""
        return HASHES

    def tables(self):
        """The centroids given."""
        return self._tables


class SignalAt(logging.Handler):
    """Sends this process a signal when a step's line is logged."""

    def __init__(self, step, number):
        super().__init__()
        self.step, self.number = step, number

    def emit(self, record):
        """Look for the step."""
        if record.getMessage().startswith(f"step {self.step} of"):
            os.kill(os.getpid(), self.number)


@pytest.fixture
def logger():
    logger = logging.Logger("run")
    logger.addHandler(logging.NullHandler())
    return logger


@pytest.fixture
def train(survey, tmp_path, logger):
    """Train in a folder, with settings changed."""

    def run(folder="run", **changed):
        path = tmp_path / folder
        path.mkdir(exist_ok=True)
        vocabulary = {**survey.layout.spec.as_dict(), "tokenizer_hashes": HASHES}
        write_json(path / "vocab_spec.json", vocabulary)
        names = ("vocab_spec.json", "config.json", "history.jsonl", "final_model.pt")
        training = {"token_budget": 400, "epochs": 2, "learning_rate": 1e-2, "log_every": 1}
        settings = {
            "model": ModelSettings(d_model=16, n_layers=1, n_heads=2, d_ff=32),
            "training": TrainingSettings(**{**training, **changed}),
            "sequences": SequenceSettings(max_seq_len=40),
            "tokenizers.scalar": SCALAR,
            "tokenizers.spectrum": SPECTRUM,
            "tokenizers.image": IMAGE,
        }
        torch.manual_seed(settings["training"].seed)
        files = RunFiles(*(path / name for name in names))
        tokenizers = FittedTokenizers(survey.tables)
        device = torch.device("cpu")
        return train_transformer([survey.path], tokenizers, files, settings, device, logger)

    return run


def test_the_guides_code_runs_on_the_final_model(train, survey):
    """A model built from sizes alone takes the weights; logits reconstruct latents."""
    checkpoint = torch.load(train())
    assert {"model_state_dict", "optimizer_state_dict", "step", "epoch", "loss_history", "config",
            "vocab_spec"} <= set(checkpoint)  # fmt: skip
    sizes = checkpoint["config"]["model"]
    spec = survey.layout.spec
    assert checkpoint["vocab_spec"]["vocab_size"] == spec.vocab_size
    model = CausalTransformerLM(
        vocab_size=spec.vocab_size,
        d_model=sizes["d_model"],
        n_layers=sizes["n_layers"],
        n_heads=sizes["n_heads"],
        d_ff=sizes["d_ff"],
        dropout=sizes["dropout"],
        max_seq_len=checkpoint["config"]["sequences"]["max_seq_len"],
    )
    model.load_state_dict(checkpoint["model_state_dict"])
    tokens = torch.randint(5, 20, (2, 10))
    types = torch.ones(2, 10, dtype=torch.long)
    logits = model(tokens, types, torch.zeros(2, 10, dtype=torch.bool))
    assert logits.shape == (2, 10, spec.vocab_size)
    codebook = torch.from_numpy(survey.tables.image)
    latents = image_reconstruction_loss(logits, tokens, codebook, return_reconstruction=True)
    assert latents.shape == (2, 10, 2)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_saves_and_the_next_start_goes_on(train, logger, number):
    """SIGTERM and SIGUSR1 end the run with its own status; it ends as if nothing had happened."""
    whole = torch.load(train("whole"))
    handler = SignalAt(3, number)
    logger.addHandler(handler)
    with pytest.raises(TrainingInterrupted) as interrupted:
        train("parts")
    assert interrupted.value.code == EXIT_INTERRUPTED != 0
    logger.removeHandler(handler)
    parts = torch.load(train("parts"))
    for name, value in whole["model_state_dict"].items():
        assert torch.equal(value, parts["model_state_dict"][name]), name


def test_signals_mean_again_what_they_meant(train):
    """After the run the process dies of SIGTERM as before."""
    before = signal.getsignal(signal.SIGTERM)
    train()
    assert signal.getsignal(signal.SIGTERM) == before


def test_checkpoints_of_other_settings_are_not_gone_on_from(train, logger, caplog):
    """A run of other settings starts anew, and says what differs."""
    handler = SignalAt(3, signal.SIGTERM)
    logger.addHandler(handler)
    with pytest.raises(TrainingInterrupted):
        train()
    logger.removeHandler(handler)
    logger.addHandler(caplog.handler)
    final = torch.load(train(learning_rate=5e-3))
    assert "another config.training.learning_rate: starting anew" in caplog.text
    assert "goes on from" not in caplog.text
    assert final["loss_history"][0]["step"] == 0


def test_a_finished_run_trains_anew(train, logger, caplog):
    """Asked for again, a finished run does not end at once with the old weights."""
    train()
    logger.addHandler(caplog.handler)
    path = train()
    assert "goes on from" not in caplog.text
    assert "step 1 of" in caplog.text
    assert torch.load(path)["loss_history"][0]["step"] == 0
    assert not (path.parent / "resume.json").exists()


def test_how_often_a_run_saves_does_not_make_it_another(train, logger, caplog):
    """A run goes on although checkpoints are now asked for more often."""
    handler = SignalAt(3, signal.SIGTERM)
    logger.addHandler(handler)
    with pytest.raises(TrainingInterrupted):
        train()
    logger.removeHandler(handler)
    logger.addHandler(caplog.handler)
    train(save_every=4)
    assert "goes on from checkpoint_step_3.pt" in caplog.text


def test_the_config_is_written(train):
    """``config.json`` holds the settings of the run as one nest."""
    config = json.loads((train().parent / "config.json").read_text())
    assert config["training"]["epochs"] == 2
    assert config["tokenizers"]["scalar"]["n_bins"] == 16


def test_no_temporary_files_are_left(train):
    """A folder holds the promised files and nothing else."""
    names = {path.name for path in train().parent.iterdir()}
    checkpoints = {name for name in names if name.startswith("checkpoint_step_")}
    promised = {"vocab_spec.json", "config.json", "history.jsonl", "final_model.pt"}
    assert names == promised | checkpoints


def test_a_vocabulary_of_other_tokenizers_is_refused(train, survey, monkeypatch):
    """Tokens made with one tokenizer are not read with another's centroids."""
    monkeypatch.setattr(FittedTokenizers, "hashes", lambda self: {**HASHES, "image": "new"})
    must = "tokenizers: image tokenizer must be of hash i, as in the vocabulary, got new"
    with pytest.raises(FormatError, match=must):
        train()
