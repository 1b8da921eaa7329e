"""The training loop."""

from __future__ import annotations

import json
import logging
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from astromodal.config.schema import ModelSettings, SequenceSettings, TrainingSettings
from astromodal.errors import AstromodalError, ConfigError
from astromodal.models.transformer import N_FEATURES
from astromodal.sequences.layout import SCALAR
from astromodal.training.batches import ALONE, ColumnRoles, Steps
from astromodal.training.budget import Budget
from astromodal.training.checkpoint import step_of
from astromodal.training.history import SPEEDS, Recorder
from astromodal.training.initialisation import new_model
from astromodal.training.losses import TypedLoss
from astromodal.training.step import NotFinite, Optimisation
from astromodal.training.trainer import (
    Best,
    Place,
    Trainer,
    evaluate_loss,
    validation_objects,
)
from helpers.loss_terms import entropy

__all__ = ["entropy"]

LOGGER = logging.getLogger("test")
SETTINGS = {
    "token_budget": 300, "epochs": 2, "learning_rate": 1e-2, "warmup_steps": 2, "log_every": 4,
    "validate_every": 7, "save_every": 5,
}  # fmt: skip


@pytest.fixture
def make_trainer(survey, tmp_path):
    """Make a trainer in its own folder, which gets a signal after ``stop_after`` steps."""

    def make(folder="run", stop_after=None, dropout=0.2, sequences=None, labels=(), **settings):
        torch.manual_seed(9)
        spec, longest = survey.layout.spec, survey.layout.longest
        sizes = ModelSettings(d_model=16, n_layers=2, n_heads=2, d_ff=32, dropout=dropout)
        model = new_model(sizes, survey.layout, longest)
        model.features.copy_(torch.from_numpy(survey.tables.features(spec, N_FEATURES)))
        training = TrainingSettings(**{**SETTINGS, **settings})
        loss = TypedLoss(
            survey.layout, survey.tables, training.meaningful_loss, torch.device("cpu")
        )
        path = tmp_path / folder
        path.mkdir(exist_ok=True)
        budget = Budget.of(model, sizes)
        found = sequences or survey.sequences()
        numbers = iter(range(1, 10_000))
        roles = replace(ColumnRoles.alike(survey.layout[SCALAR].length), labels=labels)
        return Trainer(
            Optimisation(model, loss, training, ALONE),
            Steps(found, loss, training, SequenceSettings(), roles, ALONE, budget),
            Place(path, {"config": {"x": 1}, "vocab_spec": spec.as_dict()}),
            dict.fromkeys(("image", "scalar", "spectrum"), 2.0),
            (lambda: False) if stop_after is None else (lambda: next(numbers) == stop_after),
            LOGGER,
        )

    return make


def run(trainer):
    """Run a trainer that records to its folder."""
    path = trainer.place.folder / "history.jsonl"
    return trainer.run(Recorder(path, LOGGER, trainer.total, None, 1e12))


def history(trainer):
    """Entries of the file, without how fast training went."""
    lines = (trainer.place.folder / "history.jsonl").read_text().splitlines()
    timed = {*SPEEDS, "crc32"}
    return [{k: v for k, v in json.loads(line).items() if k not in timed} for line in lines]


def test_training_lowers_the_loss(make_trainer):
    """On tokens that follow one hidden number, every modality falls well below uniform."""
    trainer = make_trainer(dropout=0.0, epochs=5, token_budget=100)
    assert run(trainer)
    last = [entry for entry in trainer.recorder.entries if entry["split"] == "validation"][-1]
    for modality in ("image", "scalar", "spectrum"):
        assert last[f"cross_entropy_{modality}"] < np.log(16) - 0.3


@pytest.mark.parametrize("stopped_at", [1, 9])
def test_an_interrupted_run_ends_as_one_that_was_not(make_trainer, stopped_at):
    """Stopped at a step and resumed, weights, optimiser and history are the same bit by bit."""
    whole = make_trainer("whole")
    assert run(whole)
    first = make_trainer("parts", stop_after=stopped_at)
    assert not run(first)
    second = make_trainer("parts")
    torch.manual_seed(123)  # what the second process starts with does not matter
    second.restore(first.place.folder / f"checkpoint_step_{stopped_at}.pt")
    assert run(second)
    for (name, a), (_, b) in zip(
        whole.model.state_dict().items(), second.model.state_dict().items(), strict=True
    ):
        assert torch.equal(a, b), name
    states = (t.optimisation.optimizer.state_dict()["state"] for t in (whole, second))
    for a, b in zip(*(s.values() for s in states), strict=True):
        assert torch.equal(a["exp_avg_sq"], b["exp_avg_sq"])
    assert history(whole) == history(second)


def test_history_after_the_last_checkpoint_is_written_once(make_trainer):
    """Killed after a checkpoint, steps that are repeated do not stand in the history twice."""
    first = make_trainer("parts", stop_after=8, save_every=5)
    run(first)
    second = make_trainer("parts")
    second.restore(first.place.folder / "checkpoint_step_5.pt")
    assert run(second)
    steps = [e["step"] for e in history(second) if e["split"] == "train"]
    assert steps == sorted(set(steps))


def test_the_history_starts_before_the_first_step(make_trainer):
    """What the untrained model knows stands in the record, once, also of a resumed run."""
    trainer = make_trainer()
    run(trainer)
    steps = [e["step"] for e in trainer.recorder.entries if e["split"] == "validation"]
    assert steps[0] == 0
    assert steps.count(0) == 1


def test_history_has_every_loss_and_the_baseline(make_trainer):
    """Validation entries hold each modality's losses and its baseline; the last is final."""
    trainer = make_trainer()
    run(trainer)
    entry = history(trainer)[-1]
    assert (entry["split"], entry["step"]) == ("validation", trainer.total)
    for modality in ("image", "scalar", "spectrum"):
        assert entry[f"cross_entropy_{modality}"] > 0
        assert entry[f"squared_error_{modality}"] > 0
        assert entry[f"unigram_{modality}"] == 2.0


def test_training_entries_tell_the_speed(make_trainer):
    """Training entries hold the learning rate and real tokens per second."""
    trainer = make_trainer()
    run(trainer)
    entry = next(e for e in trainer.recorder.entries if e["split"] == "train")
    assert entry["tokens_per_second"] > 0
    assert 0 < entry["learning_rate"] <= 1e-2


def test_checkpoints_are_pruned(make_trainer):
    """Only the last ones are kept, the very last step's among them."""
    trainer = make_trainer(keep_checkpoints=2, save_every=3)
    run(trainer)
    kept = sorted(p.name for p in trainer.place.folder.glob("*.pt"))
    assert len(kept) == 2
    assert f"checkpoint_step_{trainer.total}.pt" in kept


def test_the_best_checkpoint_is_saved_and_kept(make_trainer):
    """The step of the lowest validation loss has a checkpoint, however old it is."""
    trainer = make_trainer(epochs=30, learning_rate=0.1, keep_checkpoints=1, dropout=0.0)
    assert run(trainer)
    losses = {e["step"]: e["loss"] for e in trainer.recorder.entries if "unigram_image" in e}
    del losses[0]
    best = min(losses, key=losses.get)
    assert best < trainer.total, "the run was to overfit"
    assert trainer.best.step == best
    kept = {step_of(path) for path in trainer.place.folder.glob("*.pt")}
    assert kept == {best, trainer.total}


def test_patience_ends_a_run_that_no_longer_improves(make_trainer):
    """So many validations after the best one, and no later."""
    trainer = make_trainer(epochs=60, learning_rate=0.1, patience=3, dropout=0.0)
    assert run(trainer)
    assert trainer.step < trainer.total
    assert trainer.step == trainer.best.step + 3 * 7
    assert (trainer.place.folder / f"checkpoint_step_{trainer.step}.pt").exists()


def test_a_run_that_patience_ended_stays_ended(make_trainer):
    """Started again before the final model was written, it ends at once."""
    first = make_trainer(epochs=60, learning_rate=0.1, patience=3, dropout=0.0)
    run(first)
    second = make_trainer(epochs=60, learning_rate=0.1, patience=3, dropout=0.0)
    second.restore(first.checkpoint(first.step))
    assert run(second)
    assert second.step == first.step


def test_the_best_is_chosen_among_steps_that_ask_all_labels(make_trainer):
    """Validations before them are of another loss, and count no more."""
    trainer = make_trainer(labels=(0,), label_epochs=1)
    trainer.best = Best(1, -100.0)
    assert run(trainer)
    assert trainer.best.step > trainer.steps.labels_from
    last = [entry for entry in history(trainer) if "cross_entropy_scalar" in entry][-1]
    assert last["epoch"] == 2


def test_what_is_recorded_is_one_loss_throughout(make_trainer):
    """Where all labels are asked, too, it has the columns of before and no weights."""
    trainer = make_trainer(labels=(0,), label_epochs=1)
    assert run(trainer)
    last = [entry for entry in history(trainer) if "unigram_scalar" in entry][-1]
    steps, objects = trainer.steps, trainer.validated
    wanted = evaluate_loss(
        trainer.model, trainer.loss, steps.sequences, objects, steps.shuffled,
        choose=steps.hiding((0, 0, 1)),
    )  # fmt: skip
    assert last["cross_entropy_scalar"] == pytest.approx(wanted["cross_entropy_scalar"])
    assert trainer.best.loss != pytest.approx(wanted["cross_entropy_scalar"], abs=1e-6)


def test_the_rate_begins_anew_where_all_labels_are_asked(make_trainer):
    """It has fallen to almost 0 by then, and rises to half the peak."""
    trainer = make_trainer(labels=(0,), label_epochs=2, log_every=1)
    assert run(trainer)
    rates = {e["step"]: e["learning_rate"] for e in history(trainer) if "learning_rate" in e}
    first = trainer.steps.labels_from
    assert rates[first] < 0.05 * 1e-2
    assert max(rates[step] for step in rates if step > first) == pytest.approx(0.5 * 1e-2)
    assert rates[trainer.total] < 0.05 * 1e-2


def test_patience_goes_on_to_the_steps_that_ask_all_labels(make_trainer):
    """Where no validation is better, training skips to them, once, and then ends as early."""
    trainer = make_trainer(labels=(0,), label_epochs=2, validate_every=1, patience=2)
    trainer.best = Best(1, -100.0)
    assert run(trainer)
    first = trainer.steps.labels_from
    steps = [entry["step"] for entry in history(trainer) if "unigram_scalar" in entry]
    assert steps[:4] == [0, 1, 2, first + 1]
    assert trainer.step == trainer.total or trainer.best.waited == 2


@pytest.mark.parametrize("stopped_at", [1, 2, 4])
def test_an_interrupted_run_skips_as_one_that_was_not(make_trainer, stopped_at):
    """Stopped before, at and after the step that it skips from, it ends with the same weights."""
    settings = {"labels": (0,), "label_epochs": 1, "validate_every": 1, "patience": 2}
    whole = make_trainer("whole", **settings)
    whole.best = Best(1, -100.0)
    assert run(whole)
    first = make_trainer("parts", stopped_at, **settings)
    first.best = Best(1, -100.0)
    assert not run(first)
    second = make_trainer("parts", **settings)
    second.restore(first.checkpoint(first.step))
    assert run(second)
    assert history(whole) == history(second)
    for name, value in whole.model.state_dict().items():
        assert torch.equal(second.model.state_dict()[name], value), name


def test_without_patience_a_run_never_ends_early(make_trainer):
    """The default takes every step."""
    trainer = make_trainer(epochs=10, learning_rate=0.1)
    run(trainer)
    assert trainer.step == trainer.total


@pytest.mark.parametrize("accumulate", [2, 3])
def test_micro_batches_take_the_steps_of_one_batch(make_trainer, accumulate):
    """With a part of the budget each, gradients and steps are those of the whole, to rounding."""
    whole = make_trainer("whole", dropout=0.0, token_budget=300, grad_clip=1e9)
    parts = make_trainer(
        "parts", dropout=0.0, token_budget=300 // accumulate, accumulate=accumulate, grad_clip=1e9
    )
    assert parts.total == whole.total
    for trainer in (whole, parts):
        trainer.optimisation.take(next(trainer.steps.after(0)), 1e-3, False)
    for (name, a), (_, b) in zip(
        whole.model.named_parameters(), parts.model.named_parameters(), strict=True
    ):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-6, msg=name)


def test_micro_batches_without_an_object_add_nothing(make_trainer):
    """Where a step has fewer objects than parts, it is still taken, and so are all others."""
    trainer = make_trainer(accumulate=4, token_budget=3, epochs=1)
    step = next(trainer.steps.after(0))
    assert min(len(part) for part in step.parts) == 0
    assert run(trainer)
    assert trainer.step == trainer.total


def test_a_loss_that_is_not_finite_stops_before_the_step(make_trainer):
    """The error names the objects, and the weights are those of before."""
    trainer = make_trainer()
    with torch.no_grad():
        trainer.model.norm.bias.fill_(torch.nan)
    before = trainer.model.embedding.weight.clone()
    with pytest.raises(AstromodalError, match=r"training loss must be finite, got nan at step 0"):
        run(trainer)
    assert torch.equal(trainer.model.embedding.weight, before)


def test_a_gradient_that_is_not_finite_stops_before_the_step(make_trainer):
    """A finite loss whose gradient overflows is an error, too, and the last checkpoint stays."""
    trainer = make_trainer(save_every=2)
    take = trainer.optimisation.take

    def poisoned(step, rate, stop):
        if step.number == 3:
            trainer.model.bias.register_hook(lambda grad: grad * torch.nan)
            trainer.before = trainer.model.embedding.weight.clone()
        return take(step, rate, stop)

    trainer.optimisation.take = poisoned
    match = (
        r"gradient norm must be finite, got nan at step 3 on the objects F1-\d+é, .* and \d+ more"
    )
    with pytest.raises(AstromodalError, match=match):
        run(trainer)
    assert torch.equal(trainer.model.embedding.weight, trainer.before)
    assert trainer.checkpoint(2).exists()


def test_the_objects_of_the_bad_micro_batch_are_named(make_trainer):
    """Of several micro-batches the error names only the one whose loss is not finite."""
    trainer = make_trainer(accumulate=3, token_budget=60)
    step = next(trainer.steps.after(0))
    terms = trainer.loss.prepared_sums

    def poisoned(model, prepared):
        found = terms(model, prepared)
        if prepared is step.mine[1]:
            found["cross_entropy", "scalar"].total *= torch.nan
        return found

    trainer.loss.prepared_sums = poisoned
    with pytest.raises(NotFinite) as error:
        trainer.optimisation.take(step, 1e-3, False)
    np.testing.assert_array_equal(error.value.objects, step.parts[1])


def test_a_validation_loss_that_is_not_finite_is_null(make_trainer):
    """A model that has diverged leaves a history that can be read, and the clear error."""
    trainer = make_trainer()
    with torch.no_grad():
        trainer.model.norm.bias.fill_(torch.nan)
    with pytest.raises(AstromodalError, match="training loss must be finite"):
        run(trainer)
    assert history(trainer)[0]["cross_entropy"] is None


def test_no_training_objects_is_an_error(make_trainer, survey):
    """A run on fields whose objects are all held out says so."""
    sequences = survey.sequences()
    sequences.split = np.ones(len(sequences), dtype=np.uint8)
    with pytest.raises(ConfigError, match=r"training.fields must be fields.* got 120 objects"):
        make_trainer(sequences=sequences)


def test_without_validation_objects_the_entries_are_null(make_trainer, survey):
    """A survey whose cells all train has no validation losses, and no error."""
    sequences = survey.sequences()
    sequences.split = np.zeros(len(sequences), dtype=np.uint8)
    trainer = make_trainer(sequences=sequences)
    run(trainer)
    assert trainer.recorder.entries[-1]["cross_entropy_scalar"] is None


def test_validation_objects_are_limited(survey):
    """At most as many as the settings say, the same ones each time."""
    settings = TrainingSettings(validation_objects=5)
    found = validation_objects(survey.sequences(), settings)
    assert len(found) == 5
    np.testing.assert_array_equal(found, validation_objects(survey.sequences(), settings))
    assert (survey.split[found] == 1).all()


@pytest.mark.parametrize("loss", [2.0, 3.0, None, math.nan])
def test_what_is_no_better_is_waited_for(loss):
    """An equal, higher, missing or undefined loss is no improvement."""
    best = Best().after(5, 2.0)
    assert best == Best(5, 2.0, 0)
    assert best.after(10, loss) == Best(5, 2.0, 1)


def test_a_lower_loss_is_the_best():
    """And the waiting begins anew."""
    assert Best(5, 2.0, 3).after(20, 1.5) == Best(20, 1.5, 0)


def test_a_registered_term_is_trained_validated_and_recorded(entropy, make_trainer):
    """Entries of both splits hold its means, and their loss is the sum of all terms."""
    trainer = make_trainer(dropout=0.0, meaningful_loss={"enabled": False, "extra": {"entropy": 2}})
    assert run(trainer)
    for split in ("train", "validation"):
        entry = [e for e in history(trainer) if e["split"] == split][-1]
        assert {"entropy", "entropy_image", "entropy_scalar", "entropy_spectrum"} <= entry.keys()
        assert entry["loss"] == pytest.approx(entry["cross_entropy"] + 2 * entry["entropy"])


def test_a_run_with_a_registered_term_resumes(entropy, make_trainer):
    """Its sums since the last entry are carried over."""
    settings = {"meaningful_loss": {"extra": {"entropy": 0.5}}}
    whole = make_trainer("whole", **settings)
    assert run(whole)
    first = make_trainer("parts", stop_after=6, **settings)
    assert not run(first)
    second = make_trainer("parts", **settings)
    second.restore(first.place.folder / "checkpoint_step_6.pt")
    assert run(second)
    assert history(whole) == history(second)
