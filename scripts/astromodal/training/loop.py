"""The training loop: steps, validation, history, checkpoints; resumable to the bit."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from astromodal.config.schema import SequenceSettings, TrainingSettings
from astromodal.core.files import write_text
from astromodal.data.splits import TRAIN, VALIDATION
from astromodal.errors import AstromodalError, ConfigError, must_be
from astromodal.models.transformer import CausalTransformerLM
from astromodal.training import checkpoint
from astromodal.training.batches import Batch, EpochPlan, SequenceSet, plan_epoch
from astromodal.training.loss import TypedLoss
from astromodal.training.schedule import learning_rate, make_optimizer
from astromodal.training.validation import Sums, evaluate_loss

_SHOWN_IDS = 8


@dataclass(frozen=True)
class Place:
    """Files of a run, and what the run is of."""

    folder: Path
    history: Path
    identity: Mapping[str, Any]


class Trainer:
    """Trains a model on sequences.

    Parameters
    ----------
    model : CausalTransformerLM
        The model, on its device.
    sequences : SequenceSet
        Training and validation objects.
    loss : TypedLoss
        The loss.
    training : TrainingSettings
        How to train.
    order : SequenceSettings
        Whether blocks are shuffled.
    place : Place
        Where checkpoints and history go.
    unigram : mapping of str to float
        Baseline cross-entropy of the validation objects by modality, for the history.
    extras : mapping
        What every checkpoint holds beside the training state: ``config`` and ``vocab_spec``.
    stop : callable
        Asked after each step whether to save and stop.
    logger : logging.Logger
        Takes a line every ``log_every`` steps.

    Raises
    ------
    ConfigError
        Where no object is in the training split.
    """

    def __init__(
        self,
        model: CausalTransformerLM,
        sequences: SequenceSet,
        loss: TypedLoss,
        training: TrainingSettings,
        order: SequenceSettings,
        place: Place,
        unigram: Mapping[str, float],
        extras: Mapping[str, Any],
        stop: Callable[[], bool],
        logger: logging.Logger,
    ) -> None:
        self.model, self.sequences, self.loss = model, sequences, loss
        self.settings, self.place, self.unigram, self.extras = training, place, unigram, extras
        self.stop, self.logger = stop, logger
        self.shuffled = order.block_order == "shuffled"
        self.optimizer = make_optimizer(model, training.learning_rate, training.weight_decay)
        self.train_objects = np.flatnonzero(sequences.split == TRAIN)
        self.validation_objects = validation_objects(sequences, training)
        if not len(self.train_objects):
            got = f"{len(sequences)} objects, none of them in the training split"
            must = "fields with objects in the training split"
            raise ConfigError(must_be("training.fields", must, got, "name more fields"))
        self.total = sum(len(self._plan(epoch)) for epoch in range(training.epochs))
        self.step = self.epoch = self.step_in_epoch = 0
        self.history: list[dict[str, Any]] = []
        self._window = Sums()
        self._amp = training.use_amp and loss.device.type == "cuda"
        self._clock = (time.monotonic(), 0)  # when the window began, tokens since

    def run(self) -> bool:
        """Train to the end, or until asked to stop; True at the end."""
        self.model.train()
        self._write_history()
        if not self.step:  # what a model knows before it learns anything is part of the record
            self._validate()
        plan = self._plan(self.epoch)
        while self.step < self.total:
            if self.step_in_epoch == len(plan):
                self.epoch, self.step_in_epoch = self.epoch + 1, 0
                plan = self._plan(self.epoch)
            self._train_step(plan.step(self.step_in_epoch))
            self.step, self.step_in_epoch = self.step + 1, self.step_in_epoch + 1
            last = self.step == self.total
            if last or self.step % self.settings.log_every == 0:
                self._log_window()
            if last or self.step % self.settings.validate_every == 0:
                self._validate()
            stopping = self.stop() and not last
            if last or stopping or self.step % self.settings.save_every == 0:
                self.save()
            if stopping:
                return False
        return True

    def _plan(self, epoch: int) -> EpochPlan:
        """Steps of an epoch; the same whenever it is asked for."""
        order = (self.settings.seed, epoch)
        budget = self.settings.token_budget
        lengths = self.sequences.lengths
        return plan_epoch(self.train_objects, lengths, order, self.settings.batch_size, budget)

    def _train_step(self, objects: np.ndarray) -> None:
        shuffle = (self.settings.seed, self.epoch) if self.shuffled else None
        batch = self.sequences.batch(objects, shuffle)
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate()
        with torch.autocast(self.loss.device.type, torch.bfloat16, enabled=self._amp):
            terms = self.loss.terms(self.model, batch, (self.settings.seed, self.step))
            total = self.loss.total(terms)
        if not torch.isfinite(total):
            raise self._not_finite(total.item(), batch)
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.grad_clip)
        self.optimizer.step()
        self._window.add(terms)
        self._clock = (self._clock[0], self._clock[1] + len(batch.tokens))

    def _learning_rate(self) -> float:
        peak, warmup = self.settings.learning_rate, self.settings.warmup_steps
        return learning_rate(self.step, self.total, peak, warmup)

    def _not_finite(self, loss: float, batch: Batch) -> AstromodalError:
        ids = [self.sequences.id(int(i)) for i in batch.objects[:_SHOWN_IDS]]
        more = len(batch.objects) - len(ids)
        named = ", ".join(ids) + (f" and {more} more" if more else "")
        got = f"{loss} at step {self.step} on the objects {named}"
        return AstromodalError(
            must_be("training loss", "finite", got, "lower training.learning_rate")
        )

    def _log_window(self) -> None:
        seconds, tokens = time.monotonic() - self._clock[0], self._clock[1]
        rate = round(tokens / seconds, 1) if seconds > 0 else None
        means = self._window.means()
        entry = {
            "split": "train",
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            "tokens_per_second": rate,
        }
        self._record({**entry, **means})
        self._window, self._clock = Sums(), (time.monotonic(), 0)

    def _validate(self) -> None:
        began = time.monotonic()
        means = evaluate_loss(
            self.model, self.loss, self.sequences, self.validation_objects, self.shuffled
        )
        baseline = {f"unigram_{m}": value for m, value in self.unigram.items()}
        self._record({"split": "validation", **means, **baseline})
        self._clock = (self._clock[0] + time.monotonic() - began, self._clock[1])

    def _record(self, values: Mapping[str, Any]) -> None:
        """Append an entry to the history, in memory and on disk, and log it."""
        known = {k: _json_number(v) if isinstance(v, float) else v for k, v in values.items()}
        entry = {"step": self.step, "epoch": self.epoch, **known}
        self.history.append(entry)
        with self.place.history.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(entry, allow_nan=False) + "\n")
        shown = {
            k: round(v, 6) if isinstance(v, float) else v
            for k, v in values.items()
            if v is not None
        }
        text = " ".join(f"{name}={value}" for name, value in shown.items())
        self.logger.info("step %d of %d: %s", self.step, self.total, text)

    def _write_history(self) -> None:
        """Bring the file to what is in memory: lines after the last checkpoint are dropped."""
        self.place.history.parent.mkdir(parents=True, exist_ok=True)
        write_text(self.place.history, "".join(json.dumps(entry) + "\n" for entry in self.history))

    def state(self) -> dict[str, Any]:
        """What a model file holds; enough to use the model."""
        return {
            "model_state_dict": self.model.state_dict(),
            "optimizer_state_dict": self.optimizer.state_dict(),
            "step": self.step,
            "epoch": self.epoch,
            "loss_history": list(self.history),
            **self.extras,
        }

    def save(self) -> None:
        """Write a checkpoint that `restore` goes on from, and prune old ones."""
        on_gpu = self.loss.device.type == "cuda"
        state = {
            **self.state(),
            "step_in_epoch": self.step_in_epoch,
            "window": self._window.as_dict(),
            "rng": torch.get_rng_state(),
            "rng_cuda": torch.cuda.get_rng_state(self.loss.device) if on_gpu else None,
        }
        path = self.place.folder / f"checkpoint_step_{self.step}.pt"
        checkpoint.save_model(path, state)
        checkpoint.point_to(path, self.place.identity)
        checkpoint.prune(self.place.folder, self.settings.keep_checkpoints)
        self.logger.info("saved %s", path.name)

    def restore(self, path: Path) -> None:
        """Go on from a checkpoint: model, optimiser, position, random numbers, history."""
        state = checkpoint.load_model(path)
        self.model.load_state_dict(state["model_state_dict"])
        self.optimizer.load_state_dict(state["optimizer_state_dict"])
        self.step, self.epoch = state["step"], state["epoch"]
        self.step_in_epoch = state["step_in_epoch"]
        self.history = state["loss_history"]
        self._window = Sums.from_dict(state["window"])
        torch.set_rng_state(state["rng"])
        if state["rng_cuda"] is not None and self.loss.device.type == "cuda":
            torch.cuda.set_rng_state(state["rng_cuda"], self.loss.device)


def validation_objects(sequences: SequenceSet, training: TrainingSettings) -> np.ndarray:
    """Objects of the validation split, at most ``validation_objects`` of them, drawn once."""
    objects = np.flatnonzero(sequences.split == VALIDATION)
    if len(objects) > training.validation_objects:
        generator = np.random.default_rng(training.seed)
        objects = np.sort(generator.choice(objects, training.validation_objects, replace=False))
    return objects


def _json_number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
