"""What a GPU computes, beside the CPU; skipped where there is none."""

from __future__ import annotations

import logging

import pytest
import torch

from astromodal.config.schema import Config, ModelSettings, SequenceSettings, TrainingSettings
from astromodal.sequences.layout import SCALAR
from astromodal.storage.json_files import write_json
from astromodal.training.batches import ColumnRoles, Group, Steps
from astromodal.training.budget import Budget
from astromodal.training.initialisation import new_model
from astromodal.training.losses import TypedLoss
from astromodal.training.run import RunFiles, TrainingInterrupted, train_transformer
from astromodal.training.step import Optimisation
from helpers.survey import HASHES, TOKENIZERS

from .test_run import FittedTokenizers, SignalAt, signal

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU"),
    pytest.mark.filterwarnings("default"),  # torch.compile has some of its own
]

GPU = torch.device("cuda", 0)
SIZES = ModelSettings(d_model=64, n_layers=2, n_heads=2, d_ff=128, dropout=0.0)


def losses(survey, device, compiled=False, **training):
    """Cross-entropies of the steps of an epoch."""
    torch.manual_seed(0)
    model = new_model(SIZES, survey.layout, 56)
    if compiled:
        model.compile_layers()
    settings = TrainingSettings(token_budget=400, epochs=1, learning_rate=1e-2, **training)
    group = Group(device=torch.device(device))
    loss = TypedLoss(survey.layout, survey.tables, settings.meaningful_loss, group.device)
    sequences, order = survey.sequences(), SequenceSettings(max_seq_len=56)
    roles = ColumnRoles.alike(survey.layout[SCALAR].length)
    steps = Steps(sequences, loss, settings, order, roles, group, Budget.of(model, SIZES))
    optimisation = Optimisation(model.to(group.device), loss, settings, group)
    found = [optimisation.take(step, 1e-2, False).sums.means() for step in steps.after(0)]
    return torch.tensor([means["cross_entropy"] for means in found])


def test_training_in_float32_follows_the_cpu(survey):
    """The losses of an epoch's steps are the CPU's, to the rounding of sums."""
    gpu = losses(survey, GPU, use_amp=False)
    torch.testing.assert_close(gpu, losses(survey, "cpu"), rtol=1e-3, atol=0)


def test_training_in_bfloat16_follows_the_cpu(survey):
    """They are within 2 % of it with the layers in bfloat16, compiled or not."""
    cpu = losses(survey, "cpu")
    torch.testing.assert_close(losses(survey, GPU), cpu, rtol=0.02, atol=0)
    torch.testing.assert_close(losses(survey, GPU, compiled=True), cpu, rtol=0.02, atol=0)


def train(survey, folder, *handlers):
    """A run on the GPU; its final model."""
    folder.mkdir(exist_ok=True)
    logger = logging.Logger("run")
    for handler in handlers:
        logger.addHandler(handler)
    names = ("vocab_spec.json", "config.json", "history.jsonl", "final_model.pt")
    settings = Config(
        model=SIZES.model_copy(update={"dropout": 0.1}),
        training=TrainingSettings(token_budget=400, epochs=2, learning_rate=1e-2, log_every=1),
        sequences=SequenceSettings(max_seq_len=56),
        tokenizers=TOKENIZERS,
    )
    torch.manual_seed(settings.training.seed)
    files, tokenizers = RunFiles(*(folder / n for n in names)), FittedTokenizers(survey.tables)
    group = Group(device=GPU)
    return torch.load(train_transformer([survey.path], tokenizers, files, settings, group, logger))


def test_an_interrupted_run_goes_on(survey, tmp_path):
    """Its weights are those of a run in one go, to a thousandth."""
    for name in ("whole", "parts"):
        vocabulary = {**survey.layout.spec.as_dict(), "tokenizer_hashes": HASHES}
        (tmp_path / name).mkdir()
        write_json(tmp_path / name / "vocab_spec.json", vocabulary)
    whole = train(survey, tmp_path / "whole")["model_state_dict"]
    with pytest.raises(TrainingInterrupted):
        train(survey, tmp_path / "parts", SignalAt(5, signal.SIGTERM))
    parts = train(survey, tmp_path / "parts")["model_state_dict"]
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, rtol=0, atol=1e-3, msg=name)
