"""The training loop: steps, validation and checkpoints. A resumed run computes the same bits."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from astromodal.config.schema import TrainingSettings
from astromodal.data.splits import VALIDATION
from astromodal.errors import AstromodalError, must_be
from astromodal.models.transformer import CausalTransformerLM
from astromodal.sequences.dataset import SequenceSet
from astromodal.sequences.order import Choose, plan_epoch
from astromodal.training import checkpoint
from astromodal.training.batches import ALONE, Group, Step, Steps
from astromodal.training.calibration import ValidationObjects, fit_columns
from astromodal.training.history import SPEEDS, Recorder
from astromodal.training.losses import ColumnWeights, Sums, TypedLoss
from astromodal.training.step import NotFinite, Optimisation, learning_rate
from astromodal.training.views import fit_model_views

LABEL_RATE = 0.5
"""Peak learning rate of the passes that ask all labels, relative to that of the run."""
_SHOWN_IDS = 8
_TOKENS = 8192
"""Tokens of a batch in validation, which keeps nothing for a backward pass."""
_HIDDEN = (0, 0, 1)
"""Seed of what is hidden in validation."""
_ORDER = (0, 0)
"""Seed of the block orders in validation, the same at every validation."""


def evaluate_loss(
    model: CausalTransformerLM,
    loss: TypedLoss,
    sequences: SequenceSet,
    objects: np.ndarray,
    shuffled: bool,
    group: Group = ALONE,
    choose: Choose | None = None,
    weights: ColumnWeights | None = None,
) -> dict[str, float | None]:
    """Return mean losses of `objects`, without dropout.

    Parameters
    ----------
    model : CausalTransformerLM
        The model; its mode is restored.
    loss : TypedLoss
        The loss; its terms are computed on every known target, without sampling.
    sequences : SequenceSet
        Sequences of the objects.
    objects : int64 (n,)
        Numbers of the objects.
    shuffled : bool
        Shuffle each object's blocks, from a fixed seed; the layout's order otherwise.
    group : Group
        Processes that share the objects; each gets the losses of all.
    choose : callable, optional
        Chooses what is shown, asked and hidden; everything known is shown where None.
    weights : ColumnWeights, optional
        Weights of scalar columns in the cross-entropy; every target weighs 1 where None.

    Returns
    -------
    dict
        The means of `Sums.means`, and ``loss``, their total as `TypedLoss.objective` gives it.
    """
    was_training = model.training
    model.eval()
    sums = Sums(terms=loss.terms)
    plan = plan_epoch(objects, sequences.lengths, None, 1, _TOKENS)
    with torch.no_grad():
        for step in range(group.rank, len(plan), group.size):
            batch = sequences.batch(plan.step(step), _ORDER if shuffled else None, choose)
            prepared = loss.prepare(batch, None, weights)
            sums.add(Sums.of([loss.prepared_sums(model, prepared)], loss.terms))
    model.train(was_training)
    means = sums.like(group.sum(sums.values)).means()
    return {"loss": loss.objective(means), **means}


@dataclass(frozen=True)
class Best:
    """The best validation so far.

    Attributes
    ----------
    step : int, optional
        Its step; None before the first validation.
    loss : float
        Its total loss.
    waited : int
        Number of validations since.
    """

    step: int | None = None
    loss: float = math.inf
    waited: int = 0

    def after(self, step: int, loss: float | None) -> Best:
        """Return the best of this and a validation at `step`; None and NaN are no losses."""
        if loss is not None and loss < self.loss:
            return Best(step, loss)
        return Best(self.step, self.loss, self.waited + 1)


@dataclass(frozen=True)
class Place:
    """The folder of a run, and what its checkpoints hold beside the training state.

    Attributes
    ----------
    folder : path
        Folder of the checkpoints.
    extras : mapping
        ``config`` and ``vocab_spec``.
    """

    folder: Path
    extras: Mapping[str, Any]


class Trainer:
    """Trains a model, step by step.

    Parameters
    ----------
    optimisation : Optimisation
        The model with its optimiser.
    steps : Steps
        The steps.
    place : Place
        Folder of the checkpoints.
    unigram : mapping of str to float
        Cross-entropy of the unigram baseline on the validation objects by modality, for the
        history.
    stop : callable
        Returns whether this process has received a signal to save and stop; called at each step.
    logger : logging.Logger
        Logs checkpoints.
    """

    def __init__(
        self,
        optimisation: Optimisation,
        steps: Steps,
        place: Place,
        unigram: Mapping[str, float],
        stop: Callable[[], bool],
        logger: logging.Logger,
    ) -> None:
        self.optimisation, self.steps, self.place = optimisation, steps, place
        self.unigram, self.stop, self.logger = unigram, stop, logger
        self.model, self.settings = optimisation.model, optimisation.settings
        self.group, self.loss = optimisation.group, steps.loss
        self.validated = validation_objects(steps.sequences, self.settings)
        self.total = len(steps)
        self.step = self.epoch = 0
        self.best = Best()
        self.recorder = Recorder(None, logger, self.total)
        self.recorder.begin([], Sums(terms=self.loss.terms))

    def run(self, recorder: Recorder) -> bool:
        """Train to the end, or until a process receives a signal to stop.

        Parameters
        ----------
        recorder : Recorder
            Records the results of steps and validations.

        Returns
        -------
        bool
            Whether the end was reached.

        Raises
        ------
        AstromodalError
            Where a loss or gradient norm is not finite, before any weight is updated.
        """
        self.model.train()
        recorder.begin(self.recorder.entries, self.recorder.window)
        self.recorder = recorder
        if not self.step:  # the history begins with the untrained model
            self._validate()
        while not self._done():
            with closing(self.steps.after(self._next())) as steps:
                for step in steps:
                    if self._take(step) and not self._done():
                        return False
                    if self._done() or self._next() != self.step:
                        break
        return True

    def _done(self) -> bool:
        """Return whether the last step is taken, or ``training.patience`` is used up."""
        return self.step == self.total or (self._waited() and not self._early())

    def _waited(self) -> bool:
        """Return whether ``training.patience`` is used up."""
        return self.settings.patience is not None and self.best.waited >= self.settings.patience

    def _next(self) -> int:
        """Return the next step: where patience is used up early, the first that asks all labels."""
        return self.steps.labels_from if self._waited() and self._early() else self.step

    def _early(self) -> bool:
        """Return whether steps that ask all labels are still to begin."""
        return self.step <= self.steps.labels_from < self.total

    def _take(self, step: Step) -> bool:
        """Take a step, record and save; return whether a process has received a signal to stop."""
        rate = self._rate(step.number)
        try:
            outcome = self.optimisation.take(step, rate, self.stop())
        except NotFinite as error:
            raise self._explained(error, step) from error
        if step.number == self.steps.labels_from:  # others are judged by other losses
            self.best = Best()
        self.step, self.epoch = step.number + 1, step.epoch
        self.recorder.add(outcome)
        last = self.step == self.total
        if last or self.step % self.settings.log_every == 0:
            loss = self.loss.objective(self.recorder.window.means())
            self.recorder.train(self.step, self.epoch, rate, loss)
        better = False
        if last or self.step % self.settings.validate_every == 0:
            better = self._validate()
        due = self.step % self.settings.save_every == 0
        if self._done() or better or due or outcome.stop:
            self.save()
        return outcome.stop

    def _rate(self, step: int) -> float:
        """Return the learning rate of a step: steps that ask all labels begin anew, from less."""
        first, settings = self.steps.labels_from, self.settings
        peak, warmup = settings.learning_rate, settings.warmup_steps
        if step < first:
            return learning_rate(step, first, peak, warmup)
        return learning_rate(step - first, self.total - first, LABEL_RATE * peak, warmup)

    def _validate(self) -> bool:
        """Validate; return whether the loss is the lowest of all since the first step.

        What is recorded is the same loss throughout, without weights of columns. Where training
        asks all labels, at its end, their weighted likelihood is judged instead.
        """
        began, steps = time.monotonic(), self.steps
        labels = steps.asks_labels(self.epoch)
        means = self._losses(steps.hiding(_HIDDEN), None)
        judged = means["loss"]
        if labels:
            hiding, weights = steps.hiding(_HIDDEN, labels), steps.columns.weights(labels)
            judged = self._losses(hiding, weights)["cross_entropy_scalar"]
        baseline = {f"unigram_{m}": value for m, value in self.unigram.items()}
        seconds = time.monotonic() - began
        self.recorder.validation(self.step, self.epoch, {**means, **baseline}, seconds)
        if self.step and len(self.validated):
            self.best = self.best.after(self.step, judged)
        return self.step > 0 and self.best.step == self.step

    def _losses(self, choose: Choose, weights: ColumnWeights | None) -> dict[str, float | None]:
        """Return the mean losses of the validation objects, as `evaluate_loss` does."""
        steps, group = self.steps, self.group
        objects, shuffled = self.validated, steps.shuffled
        return evaluate_loss(
            self.model, self.loss, steps.sequences, objects, shuffled, group, choose, weights
        )

    def _explained(self, error: NotFinite, step: Step) -> AstromodalError:
        ids = [self.steps.sequences.id(int(i)) for i in error.objects[:_SHOWN_IDS]]
        more = len(error.objects) - len(ids)
        named = ", ".join(ids) + (f" and {more} more" if more else "")
        got = f"{error.value} at step {step.number} on the objects {named}"
        do = "lower training.learning_rate; the last checkpoint is kept"
        return AstromodalError(must_be(error.what, "finite", got, do))

    def state(self) -> dict[str, Any]:
        """Return the content of a model file, which is enough to use the model."""
        return {
            "model_state_dict": self.model.state_dict(),
            "optimizer_state_dict": self.optimisation.optimizer.state_dict(),
            "step": self.step,
            "epoch": self.epoch,
            "loss_history": list(self.recorder.entries),
            "best": asdict(self.best),
            **self.place.extras,
        }

    def final_state(self) -> dict[str, Any]:
        """Return the state with the weights of the best validation, and ``last_step`` of the run.

        Speeds are left out: a run that was interrupted ends with the same file.
        """
        state = {**self.state(), "last_step": self.step}
        state["loss_history"] = [
            {name: value for name, value in entry.items() if name not in SPEEDS}
            for entry in self.recorder.entries
        ]
        best = self.checkpoint(self.best.step)
        if self.best.step in (None, self.step):
            return state
        if not best.exists():
            self.logger.warning("%s is gone: the last step's weights are the final ones", best)
            return state
        stored = checkpoint.load_model(best)
        self.logger.info("the weights of step %d are the final ones", self.best.step)
        kept = ("model_state_dict", "optimizer_state_dict", "step", "epoch")
        return {**state, **{name: stored[name] for name in kept}}

    def calibrated_state(self) -> dict[str, Any]:
        """Return the final state, with columns calibrated on the validation objects.

        The map of embeddings is fitted to objects of the training split.
        """
        state, steps, model = self.final_state(), self.steps, self.model
        model.load_state_dict(state["model_state_dict"])
        order = _ORDER if steps.shuffled else None
        objects = ValidationObjects(steps.sequences, self.validated, order, _TOKENS)
        fitted = fit_columns(model, objects, steps.hiding(_HIDDEN, labels=True))
        n_columns = objects.n_columns  # behind them are those of brightness and scales
        for name, values in vars(fitted).items():
            getattr(model.values, name)[:n_columns] = torch.from_numpy(values)
        seed, labels = self.settings.seed, steps.columns.labels
        views = fit_model_views(model, steps.sequences, steps.objects, labels, _TOKENS, seed)
        for name, values in zip(("view_mean", "view_map"), views, strict=True):
            getattr(model, name).copy_(torch.from_numpy(values))
        return {**state, "model_state_dict": model.state_dict()}

    def checkpoint(self, step: int | None) -> Path:
        """Return the path of the checkpoint of a step."""
        return self.place.folder / f"checkpoint_step_{step}.pt"

    def save(self) -> None:
        """Write a checkpoint that `restore` reads, and delete old ones."""
        rng, rng_cuda = self.group.gather(torch.get_rng_state()), None
        if self.loss.device.type == "cuda":
            rng_cuda = self.group.gather(torch.cuda.get_rng_state(self.loss.device))
        path = self.checkpoint(self.step)
        if self.group.first:
            window = self.recorder.window.as_list()
            state = {**self.state(), "window": window, "rng": rng, "rng_cuda": rng_cuda}
            checkpoint.save_model(path, state)
            checkpoint.prune(self.place.folder, self.settings.keep_checkpoints, self.best.step)
            self.logger.info("saved %s", path.name)
        self.group.wait()  # a process that ends first would end the others before it is written

    def restore(self, path: Path) -> None:
        """Restore model, optimiser, position, random numbers and history from a checkpoint."""
        state = checkpoint.load_model(path)
        self.model.load_state_dict(state["model_state_dict"])
        self.optimisation.optimizer.load_state_dict(state["optimizer_state_dict"])
        self.step, self.epoch = state["step"], state["epoch"]
        self.best = Best(**state["best"])
        window = Sums(np.array(state["window"]), self.loss.terms)
        self.recorder.begin(state["loss_history"], window)
        torch.set_rng_state(state["rng"][self.group.rank].clone())
        if state["rng_cuda"] is not None and self.loss.device.type == "cuda":
            own = state["rng_cuda"][self.group.rank].clone()
            torch.cuda.set_rng_state(own, self.loss.device)


def validation_objects(sequences: SequenceSet, training: TrainingSettings) -> np.ndarray:
    """Return a sample of the validation split, at most ``validation_objects``; it never changes."""
    objects = np.flatnonzero(sequences.split == VALIDATION)
    if len(objects) > training.validation_objects:
        generator = np.random.default_rng(training.seed)
        objects = np.sort(generator.choice(objects, training.validation_objects, replace=False))
    return objects
