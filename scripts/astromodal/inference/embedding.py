"""One vector an object, of the states of its tokens.

Legend: N tokens of a batch, B sequences, T tokens of each, D model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch

from astromodal.errors import ConfigError, must_be, suggestion
from astromodal.inference.bundle import Bundle
from astromodal.training.batches import SequenceSet, plan_epoch


def _mean(states: torch.Tensor) -> torch.Tensor:
    return states.mean(dim=1)


def _attention(states: torch.Tensor) -> torch.Tensor:
    """The last token, EOS, asks: it alone has seen everything."""
    likeness = states @ states[:, -1, :, None] / math.sqrt(states.shape[2])  # (B, T, 1)
    return (likeness.softmax(dim=1) * states).sum(dim=1)


POOLINGS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "mean": _mean,
    "attention": _attention,
}
"""Ways from states (B, T, D) to embeddings (B, D)."""


def embed_objects(
    bundle: Bundle, sequences: SequenceSet, objects: np.ndarray, pooling: str, token_budget: int
) -> np.ndarray:
    """Embed objects.

    Parameters
    ----------
    bundle : Bundle
        The model.
    sequences : SequenceSet
        Where the objects are.
    objects : int64 (n,)
        Their numbers.
    pooling : str
        ``mean`` of the states, or ``attention``: their mean weighted by
        softmax(h_EOS · h / sqrt(D)).
    token_budget : int
        Tokens that are run at once, without padding.

    Returns
    -------
    float32 (n, D)

    Raises
    ------
    ConfigError
        Where there is no such pooling.
    """
    if pooling not in POOLINGS:
        message = must_be("pooling", f"one of {', '.join(POOLINGS)}", pooling)
        raise ConfigError(message + suggestion(pooling, POOLINGS))
    return embed_by(bundle, sequences, objects, (pooling,), token_budget)[pooling]


@torch.no_grad()
def embed_by(
    bundle: Bundle,
    sequences: SequenceSet,
    objects: np.ndarray,
    poolings: Sequence[str],
    token_budget: int,
) -> dict[str, np.ndarray]:
    """Embed objects in several ways at once, the model being run once.

    Parameters
    ----------
    bundle, sequences, objects, token_budget
        As for `embed_objects`.
    poolings : sequence of str
        Names in `POOLINGS`.

    Returns
    -------
    dict of str to float32 (n, D)
        By pooling.
    """
    width = bundle.trained.model.embedding.embedding_dim
    out = {name: np.empty((len(objects), width), dtype=np.float32) for name in poolings}
    # Equally long sequences side by side make few and large calls of attention.
    order = np.argsort(sequences.lengths[objects], kind="stable")
    plan = plan_epoch(objects[order], sequences.lengths, None, 1, token_budget)
    for step in range(len(plan)):
        place = order[plan.edges[step] : plan.edges[step + 1]]
        batch = sequences.batch(plan.step(step))
        tokens, types, slots = (
            torch.from_numpy(a).to(bundle.device) for a in (batch.tokens, batch.types, batch.slots)
        )
        states = bundle.trained.model.flat_hidden(tokens, types, slots, batch.shapes)[:, :width]
        runs = states.float().split([count * length for count, length in batch.shapes])
        shaped = [run.unflatten(0, shape) for run, shape in zip(runs, batch.shapes, strict=True)]
        for name, vectors in out.items():
            vectors[place] = torch.cat([POOLINGS[name](run) for run in shaped]).cpu().numpy()
    return out
