"""Fine-tuning to a label, on a tiny survey whose codes follow one hidden number."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch

from astromodal.config.schema import ModelSettings, SequenceSettings
from astromodal.config.training import FinetuneSettings
from astromodal.core.vocab import MISSING_CODE
from astromodal.errors import DataError
from astromodal.models.transformer import N_FEATURES
from astromodal.training.finetune import Finetuning, LabelledObjects, _nll, _soft_loss, divide
from astromodal.training.initialisation import new_model
from astromodal.training.targets import Label
from helpers.survey import SCALAR

SEQUENCES = SequenceSettings(max_seq_len=64)
SETTINGS = FinetuneSettings(head_epochs=4, epochs=4, patience=6, batch_size=8, learning_rate=3e-3)
QUIET = logging.getLogger("quiet")


@pytest.fixture
def level(survey):
    """The hidden number of each object, by its first scalar."""
    codes = survey.codes["scalar"].codes.astype(float)
    codes[codes == MISSING_CODE] = np.nan
    return np.nanmedian(codes, axis=1)


@pytest.fixture
def model(survey):
    """An untrained model, which knows the ranks of values."""
    torch.manual_seed(0)
    shape = ModelSettings(d_model=32, n_layers=1, n_heads=2, d_ff=64, dropout=0.1)
    model = new_model(shape, survey.layout, 64)
    features = survey.tables.features(survey.layout.spec, N_FEATURES)
    model.features.copy_(torch.from_numpy(features))
    return model


def labelled(survey, label, values, errors=None):
    """Every object that has the label, a quarter of which decide when to stop."""
    known = np.flatnonzero(values != "" if label.classes else np.isfinite(values))
    likelihood = label.likelihood(values[known], None if errors is None else errors[known])
    fit, tune = divide(np.arange(len(known)) % 4 == 0, 0)
    return LabelledObjects(survey.sequences(), known, likelihood, fit, tune)


def classes(level):
    """Bright and faint objects."""
    return np.where(np.isnan(level), "", np.where(level >= 8, "bright", "faint"))


@pytest.fixture
def kind(survey, level):
    """A label of two classes, and objects that have it."""
    label = Label.of_classes("kind", ["bright", "faint"], ())
    return label, labelled(survey, label, classes(level))


def tuning(model, label, objects, settings=SETTINGS, **changed):
    options = {
        "hidden": SEQUENCES,
        "columns": SCALAR.columns,
        "shuffled": True,
        "rate": 1e-3,
    } | changed
    return Finetuning(model, label, objects, settings, device=torch.device("cpu"), **options)


def test_a_class_is_learned(model, kind):
    """Its likelihood is far above that of the frequencies of the classes."""
    run = tuning(model, *kind, SETTINGS.model_copy(update={"head_epochs": 10, "epochs": 20}))
    before = run.evaluate()
    run.run(QUIET)
    assert before == pytest.approx(np.log(2), abs=0.15)
    assert run.progress.best < before / 2


def test_a_number_is_learned_through_its_errors(survey, model, level):
    """Labels that are measured with an error teach the distribution of the true ones."""
    rng = np.random.default_rng(0)
    errors = np.where(np.arange(len(level)) % 2, 0.3, 2.0)
    measured = level + rng.normal(size=len(level)) * errors
    label = Label.of_numbers("level", "", measured[np.isfinite(measured)], 16, ())
    objects = labelled(survey, label, measured, errors)
    run = tuning(
        model, label, objects, SETTINGS.model_copy(update={"head_epochs": 20, "epochs": 20})
    )
    before = run.evaluate()
    run.run(QUIET)
    assert run.progress.best < before - 0.3


def test_the_trained_model_stays_as_it_is(model, kind):
    """A copy of it is fine-tuned."""
    before = {name: t.clone() for name, t in model.state_dict().items()}
    tuning(model, *kind, SETTINGS).run(QUIET)
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())


def test_the_head_alone_is_fitted_first(model, kind):
    """Then everything: weights of the transformer change in the second phase alone."""
    first = tuning(model, *kind, SETTINGS.model_copy(update={"epochs": 0}))
    first.run(QUIET)
    states = model.state_dict()
    assert all(torch.equal(t, states[name]) for name, t in first.model.state_dict().items())
    both = tuning(model, *kind, SETTINGS.model_copy(update={"epochs": 20}))
    both.run(QUIET)
    changed = [n for n, t in both.model.state_dict().items() if not torch.equal(t, states[n])]
    assert any(name.startswith("layers.") for name in changed)


def test_columns_that_reveal_the_label_are_hidden(model, kind):
    """No other token than those that ask stands in any slot of theirs."""
    label, objects = kind
    hidden = Label("kind", "", label.classes, label.edges, label.centers, SCALAR.columns)
    run, seen = tuning(model, hidden, objects), []

    def watch(tokens, types, slots, shapes):
        seen.append((types[slots > 0], slots[slots > 0]))
        return original(tokens, types, slots, shapes)

    original, run.model.flat_hidden = run.model.flat_hidden, watch
    run.evaluate()
    scalar = objects.sequences.layout["scalar"].type
    assert seen
    assert not any((types == scalar).any() for types, _ in seen)


class Stop(Exception):
    """Stands for a signal."""


class Impatient(logging.Handler):
    """Stops a fine-tuning after some passes."""

    def __init__(self, passes):
        super().__init__()
        self.left = passes

    def emit(self, record):
        if record.getMessage().startswith("pass"):
            self.left -= 1
            if self.left < 0:
                raise Stop


def test_an_interrupted_fine_tuning_goes_on(model, kind, tmp_path):
    """From the last pass that was saved, to the same bits."""
    whole = tuning(model, *kind)
    whole.run(QUIET)
    path, logger = tmp_path / "checkpoint.pt", logging.getLogger("impatient")
    logger.setLevel(logging.INFO)
    logger.addHandler(Impatient(5))
    with pytest.raises(Stop):
        tuning(model, *kind).run(logger, path)
    again = tuning(model, *kind)
    again.run(QUIET, path)
    assert again.progress.history == whole.progress.history
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[name]), name


def test_a_checkpoint_of_other_labels_is_not_used(survey, model, kind, level, tmp_path):
    """The fine-tuning begins anew."""
    path = tmp_path / "checkpoint.pt"
    short = SETTINGS.model_copy(update={"head_epochs": 1, "epochs": 1})
    tuning(model, *kind, short).run(QUIET, path)
    label = kind[0]
    swapped = np.where(level >= 8, "faint", "bright")
    other = tuning(model, label, labelled(survey, label, swapped), short)
    other.run(QUIET, path)
    assert len(other.progress.history) == 2


def test_a_checkpoint_of_another_model_is_not_used(model, kind, tmp_path):
    """The fine-tuning begins anew from the weights that it is given."""
    path = tmp_path / "checkpoint.pt"
    short = SETTINGS.model_copy(update={"head_epochs": 1, "epochs": 1})
    tuning(model, *kind, short).run(QUIET, path)
    with torch.no_grad():
        model.embedding.weight.mul_(1.5)
    fresh, other = tuning(model, *kind, short), tuning(model, *kind, short)
    fresh.run(QUIET)
    other.run(QUIET, path)
    assert other.progress.history == fresh.progress.history


def test_the_random_numbers_of_the_caller_stay_as_they_are(model, kind):
    """Dropout draws from numbers of its own."""
    before = torch.get_rng_state()
    tuning(model, *kind).run(QUIET)
    assert torch.equal(torch.get_rng_state(), before)


def test_patience_ends_a_fine_tuning(model, kind):
    """After so many passes without a better likelihood, with the best weights."""
    hasty = {"head_epochs": 30, "epochs": 0, "patience": 2, "head_rate": 0.3}
    run = tuning(model, *kind, SETTINGS.model_copy(update=hasty))
    run.run(QUIET)
    tuned = [pair[1] for pair in run.progress.history]
    assert len(tuned) < 30
    assert run.evaluate() == pytest.approx(min(tuned), rel=1e-5)


def test_too_few_labels_are_an_error():
    """Fewer than ten teach nothing."""
    with pytest.raises(DataError, match="labels must be at least 10 to fine-tune to, got 9"):
        divide(np.zeros(9, bool), 0)


def test_without_a_validation_split_a_fifth_decides():
    """Chosen at random, the same for the same seed."""
    pairs = [divide(np.zeros(100, bool), seed) for seed in (1, 1, 2)]
    assert [len(tune) for _, tune in pairs] == [20] * 3
    assert pairs[0][1].tolist() == pairs[1][1].tolist() != pairs[2][1].tolist()
    assert sorted(np.concatenate(pairs[0])) == list(range(100))


def test_the_loss_without_spread_has_the_gradient_of_the_likelihood():
    """A posterior over bins in place of a target is the E step of expectation maximisation."""
    torch.manual_seed(1)
    likelihood = torch.rand(7, 5)
    logits = torch.randn(7, 5, requires_grad=True)
    soft = _soft_loss(logits.log_softmax(dim=1), likelihood, torch.eye(5))
    (found,) = torch.autograd.grad(soft, logits)
    (expected,) = torch.autograd.grad(_nll(logits.log_softmax(dim=1), likelihood).mean(), logits)
    torch.testing.assert_close(found, expected)
