"""A training run from files to files."""

from __future__ import annotations

import json
import logging
import os
import signal

import pytest
import torch

from astromodal.config.schema import Config, ModelSettings, SequenceSettings, TrainingSettings
from astromodal.errors import ConfigError, FormatError
from astromodal.models import CausalTransformerLM
from astromodal.storage.json_files import write_json
from astromodal.training.batches import ALONE
from astromodal.training.checkpoint import step_of
from astromodal.training.run import (
    EXIT_INTERRUPTED,
    RunFiles,
    TrainingInterrupted,
    train_transformer,
)
from astromodal.training.terms import image_reconstruction_loss
from helpers.limits import few_files
from helpers.survey import HASHES, TOKENIZERS


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

    def run(folder="run", code="", fields=1, **changed):
        path = tmp_path / folder
        path.mkdir(exist_ok=True)
        vocabulary = {**survey.layout.spec.as_dict(), "tokenizer_hashes": HASHES}
        write_json(path / "vocab_spec.json", vocabulary)
        names = ("vocab_spec.json", "config.json", "history.jsonl", "final_model.pt")
        training = {"token_budget": 400, "epochs": 2, "learning_rate": 1e-2, "log_every": 1}
        settings = Config(
            model=ModelSettings(d_model=16, n_layers=1, n_heads=2, d_ff=32),
            training=TrainingSettings(**{**training, **changed}),
            sequences=SequenceSettings(max_seq_len=56),
            tokenizers=TOKENIZERS,
        )
        torch.manual_seed(settings.training.seed)
        files = RunFiles(*(path / name for name in names))
        tokenizers = FittedTokenizers(survey.tables)
        sequences = [survey.path] * fields
        return train_transformer(sequences, tokenizers, files, settings, ALONE, logger, code)

    return run


def test_more_fields_than_files_may_be_open(train):
    """A survey has thousands, and a process may often have no more than 1024 files."""
    with few_files(40):
        model = train(fields=100, epochs=1, token_budget=20_000, validate_every=100)
    assert torch.load(model)["step"] > 0


def test_a_model_to_start_from_of_another_version(train, tmp_path):
    """It is another run's, and so not this one's to make again, nor to delete."""
    start = tmp_path / "other.pt"
    torch.save({"format": "transformer", "version": 1}, start)
    must = r"other\.pt must be transformer version 6, got .* 1; set training\.init_from to another"
    with pytest.raises(FormatError, match=must):
        train(init_from=str(start))


def test_a_model_to_start_from_by_a_link(train, tmp_path):
    """It is the model that the link leads to."""
    link = tmp_path / "elsewhere/model.pt"
    link.parent.mkdir()
    link.symlink_to(train("first"))
    assert torch.load(train("second", init_from=str(link), epochs=1))["step"] > 0


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


def test_the_same_run_gives_the_same_bytes(train, logger):
    """Once more, or interrupted in between: the same final model, to the byte."""
    whole = train("whole").read_bytes()
    assert train("again").read_bytes() == whole
    handler = SignalAt(3, signal.SIGTERM)
    logger.addHandler(handler)
    with pytest.raises(TrainingInterrupted):
        train("parts")
    logger.removeHandler(handler)
    assert train("parts").read_bytes() == whole


def test_signals_mean_again_what_they_meant(train):
    """After the run the process dies of SIGTERM as before."""
    before = signal.getsignal(signal.SIGTERM)
    train()
    assert signal.getsignal(signal.SIGTERM) == before


def interrupt(train, logger, step, **changed):
    """Send SIGTERM during the step whose checkpoint is then the last."""
    handler = SignalAt(step - 1, signal.SIGTERM)
    logger.addHandler(handler)
    with pytest.raises(TrainingInterrupted):
        train(**changed)
    logger.removeHandler(handler)


def steps_in(folder):
    """Steps of a folder's checkpoints."""
    return {step_of(path) for path in folder.glob("checkpoint_step_*.pt")}


def test_checkpoints_of_other_settings_are_set_aside(train, logger, caplog, tmp_path):
    """A run of other settings starts anew, says what differs, and deletes nothing of the other."""
    interrupt(train, logger, 5)
    logger.addHandler(caplog.handler)
    final = torch.load(train(learning_rate=5e-3, save_every=1, keep_checkpoints=1))
    assert "with another config.training.learning_rate are kept in" in caplog.text
    assert "goes on from" not in caplog.text
    assert final["loss_history"][0]["step"] == 0
    (aside,) = (tmp_path / "run/set_aside").iterdir()
    assert 5 in steps_in(aside)


def test_a_late_checkpoint_of_another_run_does_not_push_out_early_ones(train, logger, tmp_path):
    """Pruning counts the run's own checkpoints alone."""
    interrupt(train, logger, 5)
    interrupt(train, logger, 2, learning_rate=5e-3, keep_checkpoints=1)
    assert steps_in(tmp_path / "run") == {2}


def test_a_run_is_taken_up_when_its_settings_return(train, logger, caplog, tmp_path):
    """What was set aside is gone on from, to the same weights as without the detour."""
    whole = torch.load(train("whole"))
    interrupt(train, logger, 5)
    interrupt(train, logger, 2, learning_rate=5e-3)
    logger.addHandler(caplog.handler)
    parts = torch.load(train())
    assert "takes up the checkpoints of these settings" in caplog.text
    assert "goes on from checkpoint_step_5.pt" in caplog.text
    for name, value in whole["model_state_dict"].items():
        assert torch.equal(value, parts["model_state_dict"][name]), name


def test_a_finished_run_trains_anew(train, logger, caplog):
    """A finished run that is repeated trains again; its checkpoints are kept in a subfolder."""
    train()
    logger.addHandler(caplog.handler)
    path = train()
    assert "goes on from" not in caplog.text
    assert "checkpoints of a run that is finished are kept in" in caplog.text
    assert "step 1 of" in caplog.text
    assert torch.load(path)["loss_history"][0]["step"] == 0


def test_a_run_that_the_same_code_finished_is_not_trained_again(train, logger, caplog):
    """Its outputs, which are deleted before a job runs again, come out the same."""
    path = train(code="c")
    history, before = path.parent / "history.jsonl", torch.load(path)
    kept = history.read_text()
    path.unlink()
    history.unlink()
    logger.addHandler(caplog.handler)
    after = torch.load(train(code="c"))
    assert "step 1 of" not in caplog.text
    assert history.read_text() == kept
    for name, value in before["model_state_dict"].items():
        assert torch.equal(value, after["model_state_dict"][name]), name


def test_the_final_model_is_the_best_and_says_of_which_step(train):
    """Weights of the lowest validation loss, their step and the run's last in the file."""
    path = train(epochs=40, validate_every=5, learning_rate=0.05, keep_checkpoints=1)
    final = torch.load(path)
    losses = {
        entry["step"]: entry["loss"]
        for entry in final["loss_history"]
        if entry["split"] == "validation" and entry["step"]
    }
    best = min(losses, key=losses.get)
    assert best < max(losses) == final["last_step"], "the run was to overfit"
    assert final["step"] == final["best"]["step"] == best
    kept = torch.load(path.parent / f"checkpoint_step_{best}.pt")
    weights = kept["model_state_dict"]
    for name in ("view_mean", "view_map"):  # fitted to the final model
        assert not torch.equal(weights.pop(name), final["model_state_dict"][name])
    for name, value in weights.items():
        assert torch.equal(value, final["model_state_dict"][name]), name


class Delete(logging.Handler):
    """Deletes every checkpoint of a folder as soon as it is written."""

    def __init__(self, folder):
        super().__init__()
        self.folder = folder

    def emit(self, record):
        """Look for some at each line."""
        for path in self.folder.glob("checkpoint_step_*.pt"):
            path.unlink()


def test_without_the_best_checkpoint_the_last_weights_are_final(train, logger, caplog, tmp_path):
    """A best checkpoint that was deleted is said to be gone, and training still ends."""
    logger.addHandler(Delete(tmp_path / "run"))
    logger.addHandler(caplog.handler)
    final = torch.load(train(epochs=40, validate_every=5, learning_rate=0.05))
    assert "is gone: the last step's weights are the final ones" in caplog.text
    assert final["best"]["step"] < final["step"] == final["last_step"]


def test_how_often_a_run_saves_does_not_make_it_another(train, logger, caplog):
    """A run continues although checkpoints are now written more often."""
    interrupt(train, logger, 3)
    logger.addHandler(caplog.handler)
    train(save_every=4)
    assert "goes on from checkpoint_step_3.pt" in caplog.text


def test_activations_computed_again_change_no_bit(train):
    """Nor do they make it another run."""
    kept, again = (
        torch.load(train(name, checkpoint_activations=again))
        for name, again in (("kept", False), ("again", True))
    )
    for name, value in kept["model_state_dict"].items():
        assert torch.equal(value, again["model_state_dict"][name]), name


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
    promised |= {"checkpoints.json"}
    assert names - {"tensorboard"} == promised | checkpoints


def test_a_vocabulary_of_other_tokenizers_is_refused(train, survey, monkeypatch):
    """Tokens made with one tokenizer are not read with another's centroids."""
    monkeypatch.setattr(FittedTokenizers, "hashes", lambda self: {**HASHES, "image": "new"})
    must = "tokenizers: image tokenizer must be of hash i, as in the vocabulary, got new"
    with pytest.raises(FormatError, match=must):
        train()


def test_training_starts_from_the_last_model(train, logger, caplog):
    """With `last` and other settings, the first validation is the earlier run's last."""
    trained = torch.load(train())
    logger.addHandler(caplog.handler)
    warm = torch.load(train(init_from="last", learning_rate=1e-3))
    assert "starts from the weights of" in caplog.text
    before = [e["loss"] for e in trained["loss_history"] if e["split"] == "validation"]
    after = [e["loss"] for e in warm["loss_history"] if e["split"] == "validation"]
    assert after[0] == pytest.approx(before[-1], rel=1e-5)
    assert after[0] < before[0]


def test_training_starts_from_a_model_file(train, logger, caplog):
    """Another run's model, named by its path."""
    path = train("first")
    logger.addHandler(caplog.handler)
    train("second", init_from=str(path))
    assert f"starts from the weights of {path}" in caplog.text


def test_an_interrupted_warm_start_goes_on(train, logger, caplog):
    """It goes on from its own checkpoint, and does not start again from the model."""
    train()
    interrupt(train, logger, 3, learning_rate=2e-3, init_from="last")
    logger.addHandler(caplog.handler)
    train(learning_rate=2e-3, init_from="last")
    assert "goes on from checkpoint_step_3.pt" in caplog.text
    assert "starts from the weights" not in caplog.text


@pytest.mark.parametrize("start", ["last", "no/such.pt"])
def test_a_model_to_start_from_must_exist(train, start):
    """Without an earlier run there is no last model; a path must be one of a file."""
    must = "training.init_from must be a model of the same tokenizers and sizes, got"
    with pytest.raises(ConfigError, match=f"{must} '{start}', which does not exist"):
        train(init_from=start)


def test_a_model_of_other_sizes_is_refused(train, tmp_path):
    """As is one of another vocabulary: its codes mean something else."""
    path = train("first")
    state = torch.load(path)
    torch.save({**state, "vocab_spec": {}}, tmp_path / "vocabulary.pt")
    weights = {k: v[:1] for k, v in state["model_state_dict"].items()}
    torch.save({**state, "model_state_dict": weights}, tmp_path / "sizes.pt")
    with pytest.raises(ConfigError, match="vocabulary.pt, of other tokenizers"):
        train("second", init_from=str(tmp_path / "vocabulary.pt"))
    with pytest.raises(ConfigError, match="sizes.pt: Error"):
        train("third", init_from=str(tmp_path / "sizes.pt"))
