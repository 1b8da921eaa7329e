"""Fine-tuning of a trained model to one label, from whatever is known of an object.

The label is asked like a column at the end of a sequence; a head maps the state of its token to
classes or bins. First the head alone is fitted, which few labels suffice for, then the transformer
with it. In every pass a random part of what is known is hidden, as in training, so that the label
can be predicted from any of it.

Legend: n labelled objects, K classes or bins, D model.
"""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from astromodal.config.training import FinetuneSettings, SequenceSettings
from astromodal.errors import DataError, must_be
from astromodal.models.layers import LabelHead
from astromodal.models.transformer import CausalTransformerLM
from astromodal.sequences.dataset import SequenceSet
from astromodal.sequences.order import Chosen, hiding, label_numbers, plan_epoch, random_bits
from astromodal.storage.hashing import hash_arrays, hash_values
from astromodal.storage.tempfiles import atomic_path
from astromodal.storage.torch_files import load_state
from astromodal.training.calibration import best_temperature, nll_by_temperature
from astromodal.training.step import learning_rate, make_optimizer
from astromodal.training.targets import FittedLabel, Label

FEWEST = 10
"""Fewest labels that a model is fine-tuned to."""
_TUNING = 5
"""Without a validation split, every fifth label decides when to stop."""
_FORMAT: dict[str, Any] = {"format": "finetuning", "version": 1}


@dataclass(frozen=True)
class LabelledObjects:
    """Objects whose label is known.

    Attributes
    ----------
    sequences : SequenceSet
        Sequences of these and of other objects.
    numbers : int64 (n,)
        Numbers of the objects in `sequences`.
    likelihood : float32 (n, K)
        Likelihood of each object's label, were the true one in each class or bin.
    fit, tune : int64 (m,)
        Places, among the n, of the objects to fit to and of those that decide when to stop.
    """

    sequences: SequenceSet
    numbers: np.ndarray
    likelihood: np.ndarray
    fit: np.ndarray
    tune: np.ndarray


def divide(tune: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Divide labelled objects into those to fit to and those that decide when to stop.

    Parameters
    ----------
    tune : bool (n,)
        Which objects are of the validation split. Where fewer than `FEWEST` are, or are not, a
        random fifth of all objects decides.
    seed : int
        Seed of that fifth.

    Returns
    -------
    fit, tune : int64 (m,)
        Places among the n.

    Raises
    ------
    DataError
        Where there are fewer than `FEWEST` labels.
    """
    n = len(tune)
    if n < FEWEST:
        raise DataError(must_be("labels", f"at least {FEWEST} to fine-tune to", n))
    if tune.sum() < FEWEST or (~tune).sum() < FEWEST:
        tune = np.random.default_rng(seed).permutation(n) % _TUNING == 0
    return np.flatnonzero(~tune), np.flatnonzero(tune)


@dataclass
class Progress:
    """How far a fine-tuning is.

    Attributes
    ----------
    phase, epoch : int
        The phase: 0 fits the head alone, 1 everything; and its passes over the labels so far.
    best, waited : float, int
        Lowest negative log-likelihood (nats) of labels to tune by, and passes since.
    history : list of (float, float)
        Negative log-likelihood of the labels to fit to and of those to tune by, by pass.
    """

    phase: int = 0
    epoch: int = 0
    best: float = math.inf
    waited: int = 0
    history: list[tuple[float, float]] = field(default_factory=list)


class Finetuning:
    """A model that is fine-tuned, with the head of a label.

    Parameters
    ----------
    model : CausalTransformerLM
        The trained model; a copy of it is changed.
    label : Label
        The label.
    objects : LabelledObjects
        Labelled objects.
    settings : FinetuneSettings
        Passes, learning rates, early stopping.
    hidden : SequenceSettings
        How often columns and blocks are hidden.
    columns : sequence of str
        Scalar columns of the model.
    shuffled : bool
        Whether blocks are shuffled.
    rate : float
        Peak learning rate of the model's training.
    device : torch.device
        Device of the model.
    """

    def __init__(
        self,
        model: CausalTransformerLM,
        label: Label,
        objects: LabelledObjects,
        settings: FinetuneSettings,
        hidden: SequenceSettings,
        columns: Sequence[str],
        shuffled: bool,
        rate: float,
        device: torch.device,
    ) -> None:
        self.label, self.objects, self.settings = label, objects, settings
        self.device, self._shuffled, self._hidden = device, shuffled, hidden
        self._rate = settings.learning_rate or rate / 2
        self._never = list(label_numbers(columns, label.hidden))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            self.head = LabelHead(model.embedding.embedding_dim, label.size)
        self.model = copy.deepcopy(model)
        self._begin_at_frequencies()
        self._modules = torch.nn.ModuleDict({"model": self.model, "head": self.head}).to(device)
        self._optimizer = self._new_optimizer()
        self._spread = self._spreading().to(device)
        self._likelihood = torch.from_numpy(objects.likelihood).to(device)
        self.progress = Progress()
        self._best = self._state()
        self._identity = self._identify()

    def _new_optimizer(self) -> torch.optim.AdamW:
        self.model.requires_grad_(True)  # `make_optimizer` leaves out what is not trained
        return make_optimizer(self._modules, 0.0, self.settings.weight_decay)

    def _begin_at_frequencies(self) -> None:
        """Set the head's bias to the frequencies of the classes or bins of the labels."""
        likelihood = self.objects.likelihood[self.objects.fit]
        shares = likelihood / likelihood.sum(axis=1, keepdims=True)
        frequencies = (shares.sum(axis=0) + 0.5) / (len(shares) + 0.5 * self.label.size)
        with torch.no_grad():
            self.head.outer.bias.copy_(torch.from_numpy(np.log(frequencies)).float())

    def _spreading(self) -> torch.Tensor:
        """Return how far a label in each bin counts for the bins around it, float32 (K, K)."""
        size = self.label.size
        sigma = self.settings.spread * size
        if self.label.classes or sigma <= 0:
            return torch.eye(size)
        bins = torch.arange(size, dtype=torch.float64)
        shares = torch.exp(-0.5 * ((bins[:, None] - bins) / sigma) ** 2)
        return (shares / shares.sum(dim=1, keepdim=True)).float()

    def run(self, logger: logging.Logger, checkpoint: Path | None = None) -> FittedLabel:
        """Fine-tune until passes or patience are used up; return the label of the best pass.

        `model` then has the weights of that pass.

        Parameters
        ----------
        logger : logging.Logger
            Logs each pass.
        checkpoint : path, optional
            File that is written after every pass, and from which an interrupted fine-tuning goes on
            if it is of the same settings, labels, sequences and model.
        """
        if checkpoint is not None and checkpoint.is_file():
            self._resume(checkpoint, logger)
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices):  # the caller's random state is unchanged
            self._fit(logger, checkpoint)
        self._modules.eval()
        return FittedLabel(self.label, self.head, self._temperature())

    def _fit(self, logger: logging.Logger, checkpoint: Path | None) -> None:
        """Fit until passes or patience are used up, and restore the weights of the best pass."""
        settings, progress = self.settings, self.progress
        passes = settings.head_epochs, settings.epochs
        while progress.phase < len(passes):
            if progress.epoch == passes[progress.phase] or progress.waited >= settings.patience:
                progress.phase, progress.epoch, progress.waited = progress.phase + 1, 0, 0
                self._modules.load_state_dict(self._best)
                self._optimizer = self._new_optimizer()
                continue
            fitted = self._fit_once(progress.phase, progress.epoch, passes[progress.phase])
            tuned = self.evaluate()
            progress.epoch += 1
            progress.history.append((fitted, tuned))
            progress.waited += 1
            if tuned < progress.best:
                progress.best, progress.waited, self._best = tuned, 0, self._state()
            text = "pass %d of %s: %.4f nats of labels to fit to, %.4f of labels to tune by"
            what = "the model" if progress.phase else "the head"
            logger.info(text, progress.epoch, what, fitted, tuned)
            if checkpoint is not None:
                self._save(checkpoint)

    def _fit_once(self, phase: int, epoch: int, epochs: int) -> float:
        """Take the steps of a pass; return the mean negative log-likelihood (nats) of labels."""
        settings, objects, key = self.settings, self.objects, (self.settings.seed, phase, epoch)
        hidden = self._without_blocks(key).asking(1)
        places = np.random.default_rng(key).permutation(objects.fit)
        size = settings.batch_size
        steps = [places[begin : begin + size] for begin in range(0, len(places), size)]
        done, total = epoch * len(steps), epochs * len(steps)
        peak = self._rate if phase else settings.head_rate
        self._modules.train()
        self.model.train(phase > 0)
        self.model.requires_grad_(phase > 0)
        torch.manual_seed(int(np.random.SeedSequence(key).generate_state(1)[0]))  # of dropout
        losses = []
        for i, place in enumerate(steps):
            for group in self._optimizer.param_groups:
                group["lr"] = learning_rate(done + i, total, peak, total)
            log, likelihood = self._run(hidden, place, key)
            loss = _soft_loss(log, likelihood, self._spread)
            self._optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self._modules.parameters(), 1.0)
            self._optimizer.step()
            losses.append(_nll(log.detach(), likelihood))
        return float(torch.cat(losses).mean())

    @torch.no_grad()
    def evaluate(self) -> float:
        """Return the mean negative log-likelihood (nats) of labels to tune by, from all known."""
        return float(torch.cat([_nll(log, own) for log, own in self._tuned()]).mean())

    def _tuned(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield log-probabilities and likelihoods (m, K) of the objects to tune by."""
        self._modules.eval()
        sequences, places = self.objects.sequences.asking(1), self.objects.tune
        numbers = self.objects.numbers[places]
        plan = plan_epoch(np.arange(len(places)), sequences.lengths[numbers], None, 1, _TOKENS)
        for step in range(len(plan)):
            yield self._run(sequences, places[plan.step(step)], None)

    def _temperature(self) -> float:
        """Return the temperature at which labels to tune by are likeliest."""
        with torch.no_grad():
            pairs = list(self._tuned())
        log = torch.cat([log for log, _ in pairs])[None]
        own = torch.cat([own for _, own in pairs]).argmax(dim=1)[None]
        sums = np.array([nll.sum() for nll in nll_by_temperature(log, own)])
        return float(2.0 ** best_temperature(sums))

    def _without_blocks(self, key: tuple[int, ...]) -> SequenceSet:
        """Return the sequences without a random part of each object's blocks."""
        sequences, layout = self.objects.sequences, self.objects.sequences.layout
        hidden = np.zeros((len(sequences), len(layout.blocks)), dtype=bool)
        numbers, may = self.objects.numbers, np.array(layout.hideable, dtype=np.int64)
        bits = random_bits(numbers, may, (*key, 1))
        uniform = (bits >> np.uint64(11)) * 2.0**-53
        hidden[numbers[:, None], may] = uniform < self._hidden.hide_blocks
        return sequences.without(hidden)

    def _run(
        self, sequences: SequenceSet, places: np.ndarray, key: tuple[int, ...] | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return log-probabilities and likelihoods (m, K) of the label of objects by place.

        Parameters
        ----------
        sequences : SequenceSet
            Sequences that ask for the label.
        places : int64 (m,)
            Their places among the labelled objects.
        key : tuple of int, optional
            Seed of the hidden columns and of the order of blocks; nothing is hidden where None.
        """
        layout = sequences.layout
        shuffle = (key[0], key[2]) if key and self._shuffled else None
        random = None if key is None else hiding(self._hidden, layout, (), key)

        def choose(objects: np.ndarray, known: np.ndarray, present: np.ndarray) -> Chosen:
            shown = known.copy() if random is None else random(objects, known, present).shown
            shown[:, self._never] = False
            return Chosen(shown, known & False, present & False)

        batch = sequences.batch(self.objects.numbers[places], shuffle, choose)
        tokens, types, slots = (
            torch.from_numpy(a).to(self.device) for a in (batch.tokens, batch.types, batch.slots)
        )
        states = self.model.flat_hidden(tokens, types, slots, batch.shapes)
        states = states[:, : self.head.outer.in_features]
        at = torch.from_numpy(batch.columns.place[:, -1]).to(self.device)
        own = torch.from_numpy(places[batch.order]).to(self.device)
        return self.head(states[at]).log_softmax(dim=1), self._likelihood[own]

    def _state(self) -> dict[str, torch.Tensor]:
        """Return a copy of all weights."""
        return {name: t.detach().clone() for name, t in self._modules.state_dict().items()}

    def _identify(self) -> str:
        """Return the hash of what a checkpoint must agree with, before the first pass."""
        label, objects = self.label, self.objects
        settings = [each.model_dump(mode="json") for each in (self.settings, self._hidden)]
        contents = [store.meta["content_hash"] for store in objects.sequences.stores]
        arrays = {
            "likelihood": objects.likelihood,
            "numbers": objects.numbers,
            "tune": objects.tune,
            "edges": label.edges,
            **{f"weights.{name}": tensor.cpu().numpy() for name, tensor in self._best.items()},
        }
        values = [label.name, label.classes, self._never, self._shuffled, self._rate]
        return hash_values([settings, contents, values, hash_arrays(arrays)])

    def _save(self, path: Path) -> None:
        """Write a checkpoint, atomically."""
        state = {
            **_FORMAT,
            "identity": self._identity,
            "progress": vars(self.progress),
            "weights": self._modules.state_dict(),
            "best": self._best,
            "optimizer": self._optimizer.state_dict(),
        }
        with atomic_path(path) as temporary, temporary.open("wb") as stream:
            torch.save(state, stream)

    def _resume(self, path: Path, logger: logging.Logger) -> None:
        """Restore a checkpoint, if it is of these settings, labels and this model."""
        state = load_state(path, _FORMAT["format"], _FORMAT["version"])
        if state["identity"] != self._identity:
            logger.info("%s is of other settings, labels or models: begins anew", path.name)
            return
        self.progress = Progress(**state["progress"])
        self._modules.load_state_dict(state["weights"])
        self._best = {name: t.to(self.device) for name, t in state["best"].items()}
        self._optimizer.load_state_dict(state["optimizer"])
        logger.info("goes on after %d passes", len(self.progress.history))


_TOKENS = 8192
"""Tokens of a batch of objects to tune by."""


def _soft_loss(log: torch.Tensor, likelihood: torch.Tensor, spread: torch.Tensor) -> torch.Tensor:
    """Return the mean cross-entropy of labels, float ().

    A label counts for classes or bins in proportion to the posterior probability of each, given its
    own error, and then for the bins around them. Without spread its gradient is that of `_nll`.
    """
    with torch.no_grad():
        posterior = log.exp() * likelihood
        posterior = posterior / posterior.sum(dim=1, keepdim=True).clamp(min=1e-30)
        targets = posterior @ spread
    return -(targets * log).sum(dim=1).mean()


def _nll(log: torch.Tensor, likelihood: torch.Tensor) -> torch.Tensor:
    """Return the negative log-likelihood (nats) of measured labels, (m,)."""
    return -(log + likelihood.clamp(min=1e-30).log()).logsumexp(dim=1)
