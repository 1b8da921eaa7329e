"""A loss term that the package does not have, as a user's file would register it."""

from __future__ import annotations

import pytest
import torch

from astromodal.training.targets import NO_TARGET
from astromodal.training.terms import LOSS_TERMS, LossTerm, Predictions


class Entropy(LossTerm):
    """Entropy of the predicted distribution (nats)."""

    name = "entropy"

    def __call__(self, predictions: Predictions) -> torch.Tensor:
        """Return the sum over known targets."""
        logs = predictions.logits.float().log_softmax(dim=1)[predictions.targets.codes != NO_TARGET]
        return -(logs.exp() * logs).sum()


@pytest.fixture
def entropy(monkeypatch: pytest.MonkeyPatch) -> type[LossTerm]:
    """The term, registered for one test."""
    monkeypatch.setattr(LOSS_TERMS, "_items", dict(LOSS_TERMS._items))
    return LOSS_TERMS.register(Entropy)
