"""Terms of the training loss, and the reconstruction losses as functions.

A reconstruction loss is the squared error between the expected and the true centroid. The
expectation is over the softmax of the legal ids, so that the loss measures how far a prediction is
off; cross-entropy measures only that it is off.

Legend: B batch, T tokens, V vocabulary, C ranges of ids, M targets of each, S ids of a range,
L dimensions of a centroid.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch.nn import functional as F

from astromodal.config.training import MeaningfulLossSettings
from astromodal.core.vocab import N_SPECIAL, VocabSpec
from astromodal.errors import ConfigError, must_be
from astromodal.extensions import Registry
from astromodal.sequences.layout import MODALITIES
from astromodal.training.targets import NO_TARGET, PreparedTargets

CROSS_ENTROPY, SQUARED_ERROR = "cross_entropy", "squared_error"
DEFAULT_V_IMAGE = 2048


@dataclass(frozen=True)
class Predictions:
    """What the model predicts of the targets in one range of ids.

    Attributes
    ----------
    targets : PreparedTargets
        The targets.
    logits : float (C M, S)
        Logits of the legal ids of each target.
    centroids : float32 (C, S, L)
        Standardised centroids of the legal ids; C is 1 where all targets share them.
    """

    targets: PreparedTargets
    logits: torch.Tensor
    centroids: torch.Tensor


class LossTerm(ABC):
    """One term of the loss: a weight times a mean over targets.

    Parameters
    ----------
    weight : float
        Weight of the mean; at 0 a term is not evaluated.

    Attributes
    ----------
    name : str
        Name in histories: ``{name}_{modality}`` is the mean over the targets of one modality, and
        `name` that over all targets.
    modality : str or None
        The modality that the term is restricted to; None for all of them together.
    at_zero : bool
        Whether it is evaluated at a weight of 0 too, for the history.
    """

    name: ClassVar[str]
    modality: str | None = None
    at_zero: ClassVar[bool] = False

    def __init__(self, weight: float) -> None:
        self.weight = weight

    @property
    def key(self) -> str:
        """Name of the mean in histories that the weight multiplies."""
        return self.name if self.modality is None else f"{self.name}_{self.modality}"

    def covers(self, modality: str) -> bool:
        """Return whether the term is evaluated on targets of a modality."""
        return (self.weight > 0 or self.at_zero) and self.modality in (None, modality)

    def count(self, targets: PreparedTargets) -> float:
        """Return the number of targets that the mean is over: all known ones by default.

        It is known before the model has run, so that processes can agree on it.
        """
        return targets.of.n_known

    @abstractmethod
    def __call__(self, predictions: Predictions) -> torch.Tensor:
        """Return the sum over those targets, float ().

        Without any it is called only where `at_zero` holds.
        """


class CrossEntropy(LossTerm):
    """Negative log-likelihood of each target among its legal ids (nats), by the target's weight.

    A target that is spread over neighbouring codes counts by their shares.
    """

    name = CROSS_ENTROPY
    at_zero = True

    def count(self, targets: PreparedTargets) -> float:
        """Return the sum of the weights of known targets."""
        return targets.weight

    def __call__(self, predictions: Predictions) -> torch.Tensor:
        """Return the weighted sum over known targets."""
        targets, logits = predictions.targets, predictions.logits.float()
        if targets.weights is None:
            return F.cross_entropy(logits, targets.codes, ignore_index=NO_TARGET, reduction="sum")
        if targets.neighbours is None:
            nll = F.cross_entropy(logits, targets.codes, ignore_index=NO_TARGET, reduction="none")
        else:
            codes, shares = targets.neighbours
            nll = -(logits.log_softmax(dim=1).gather(1, codes) * shares).sum(dim=1)
        return (nll * targets.weights).sum()


class CentroidError(LossTerm):
    """Squared error of the expected centroid, averaged over its dimensions (standardised units).

    It is computed on the sampled targets of one modality.
    """

    name = SQUARED_ERROR

    def __init__(self, weight: float, modality: str) -> None:
        super().__init__(weight)
        self.modality = modality

    def count(self, targets: PreparedTargets) -> float:
        """Return the number of sampled targets."""
        return len(targets.sampled)

    def __call__(self, predictions: Predictions) -> torch.Tensor:
        """Return the sum over sampled targets."""
        targets, table = predictions.targets, predictions.centroids
        column = targets.sampled // targets.of.targets.shape[1]
        centroids = table[0] if len(table) == 1 else table[column]
        logits = predictions.logits.index_select(0, targets.sampled)
        expected = expected_centroids(logits, centroids)
        true = table[column, targets.codes[targets.sampled]]
        return (expected - true).square().mean(dim=1).sum()


LOSS_TERMS: Registry[type[LossTerm]] = Registry("loss term")
"""Terms beside cross-entropy and the squared errors, by name."""


def loss_terms(settings: MeaningfulLossSettings) -> tuple[LossTerm, ...]:
    """Return the terms of the loss that settings describe, cross-entropy first.

    Raises
    ------
    ConfigError
        Where ``training.meaningful_loss.extra`` names a term that is not registered, or one that
        has a weight of its own among the settings.
    """
    lambdas = (settings.lambda_image, settings.lambda_scalar, settings.lambda_spectrum)
    terms: list[LossTerm] = [CrossEntropy(settings.lambda_cross_entropy)]
    for modality, weight in zip(MODALITIES, lambdas, strict=True):
        terms.append(CentroidError(weight if settings.enabled else 0.0, modality))
    for name, weight in settings.extra.items():
        setting = "training.meaningful_loss.extra"
        if name in (CROSS_ENTROPY, SQUARED_ERROR):
            do = "set lambda_cross_entropy, lambda_image, lambda_scalar or lambda_spectrum"
            raise ConfigError(must_be(setting, "of registered loss terms", repr(name), do))
        terms.append(LOSS_TERMS.get(name, setting)(weight))
    return tuple(terms)


STANDARD_TERMS = loss_terms(MeaningfulLossSettings())
"""The terms of the default settings."""


def expected_centroids(logits: torch.Tensor, centroids: torch.Tensor) -> torch.Tensor:
    """Return the mean centroid under the softmax of `logits`.

    Parameters
    ----------
    logits : float (M, S)
        Logits of the legal ids.
    centroids : float (S, L) or (M, S, L)
        Their centroids: one table for all positions, or one for each.

    Returns
    -------
    float (M, L)
    """
    weights = logits.float().softmax(dim=-1)  # (M, S)
    if centroids.dim() == 2:
        return weights @ centroids
    return torch.bmm(weights[:, None], centroids)[:, 0]


def image_reconstruction_loss(
    logits: torch.Tensor,
    target_tokens: torch.Tensor,
    image_codebook: torch.Tensor,
    return_reconstruction: bool = False,
) -> torch.Tensor:
    """Return the mean squared error of the expected image latents.

    Parameters
    ----------
    logits : float (B, T, V)
        Logits of all ids; those at t predict ``target_tokens[:, t]``.
    target_tokens : int (B, T)
        True token ids; only image codes count.
    image_codebook : float (S, L)
        Latents of the image codes.
    return_reconstruction : bool
        Return the expected latents instead.

    Returns
    -------
    float () or (B, T, L)
        The loss, 0 without an image target; or the expected latents, NaN where the target is no
        image code.
    """
    return _range_loss(logits, target_tokens, [(N_SPECIAL, image_codebook)], return_reconstruction)


def scalar_reconstruction_loss(
    logits: torch.Tensor,
    target_tokens: torch.Tensor,
    scalar_centers: torch.Tensor,
    return_reconstruction: bool = False,
    vocab_spec: VocabSpec | None = None,
) -> torch.Tensor:
    """Return the mean squared error of the expected scalars, each over the bins of its column.

    Parameters
    ----------
    logits, target_tokens, return_reconstruction
        As for `image_reconstruction_loss`; only scalar codes count.
    scalar_centers : float (columns, n_bins)
        Centers of the columns' bins, in vocabulary order, finite in bins that are not in use too;
        standardised for a loss, physical for a reconstruction in physical units.
    vocab_spec : VocabSpec, optional
        The vocabulary; without it, one with the default image codebook of 2048.

    Returns
    -------
    float () or (B, T, 1)
    """
    first = vocab_spec.scalar_offset if vocab_spec else N_SPECIAL + DEFAULT_V_IMAGE
    n_bins = scalar_centers.shape[1]
    tables = [(first + i * n_bins, column[:, None]) for i, column in enumerate(scalar_centers)]
    return _range_loss(logits, target_tokens, tables, return_reconstruction)


def spectrum_reconstruction_loss(
    logits: torch.Tensor,
    target_tokens: torch.Tensor,
    spectrum_codebooks: Mapping[str, torch.Tensor],
    vocab_spec: VocabSpec,
    return_reconstruction: bool = False,
) -> torch.Tensor:
    """Return the mean squared error of the expected spectrum features, each over its codebook.

    Parameters
    ----------
    logits, target_tokens, return_reconstruction
        As for `image_reconstruction_loss`; only spectrum codes count.
    spectrum_codebooks : mapping of str to float (S, D)
        Centroids by group: D is 2 for spectra and 3 for light curves.
    vocab_spec : VocabSpec
        The vocabulary.

    Returns
    -------
    float () or (B, T, D)
        D is the largest of the groups; features that a group does not have are NaN.
    """
    tables = [(vocab_spec.spectrum_offset(g), table) for g, table in spectrum_codebooks.items()]
    return _range_loss(logits, target_tokens, tables, return_reconstruction)


def _range_loss(
    logits: torch.Tensor,
    target_tokens: torch.Tensor,
    tables: list[tuple[int, torch.Tensor]],
    return_reconstruction: bool,
) -> torch.Tensor:
    """Return the loss, or the expected centroids, of targets in ranges that start at given ids."""
    if logits.shape[:2] != target_tokens.shape:
        must = f"of shape {tuple(logits.shape[:2])} as logits"
        raise ConfigError(must_be("target_tokens", must, str(tuple(target_tokens.shape))))
    last = max((first + len(table) for first, table in tables), default=0)
    if last > logits.shape[-1]:
        must = f"of at least {last} ids, as the centroids need"
        raise ConfigError(must_be("logits", must, str(logits.shape[-1]), "give its own vocab_spec"))
    width = max((table.shape[1] for _, table in tables), default=0)
    expected = logits.new_full((*target_tokens.shape, width), torch.nan)
    total, count = logits.sum() * 0.0, 0
    for first, table in tables:
        mine = (target_tokens >= first) & (target_tokens < first + len(table))  # (B, T)
        table = table.to(logits)
        own = expected_centroids(logits[..., first : first + len(table)][mine], table)  # (M, L)
        if return_reconstruction:
            expected[mine] = F.pad(own, (0, width - own.shape[1]), value=torch.nan).to(expected)
        total = total + (own - table[target_tokens[mine] - first]).square().mean(dim=1).sum()
        count += int(mine.sum())
    return expected if return_reconstruction else total / max(1, count)
