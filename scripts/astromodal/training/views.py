"""Embeddings by a query, and the map under which an object is near itself, whatever is shown of it.

An object is embedded by the state of a token that is asked at the end of its sequence, as labels
are. Training objects are embedded from several views: everything, the scalars alone, and a random
half of the columns. In coordinates in which the covariance between views of one object is the
identity and that of the objects' means is diagonal, each coordinate is multiplied by its variance
λ as λ / (1 + λ): what views change is shrunk, and what separates objects is kept (probabilistic
linear discriminant analysis with objects as classes; Ioffe 2006, doi:10.1007/11744085_41).

Legend: n objects, D model, N tokens of a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from scipy.linalg import eigh

from astromodal.models.transformer import CausalTransformerLM
from astromodal.sequences.dataset import Batch, SequenceSet
from astromodal.sequences.layout import SCALAR
from astromodal.sequences.order import Choose, Chosen, plan_epoch, random_bits

FEWEST = 32
"""Fewest objects that a map is fitted to; with fewer it is the identity."""
PER_DIMENSION = 4
"""Objects per dimension that a map is fitted to, where there are as many."""
MOST = 4096
"""Most objects that a map is fitted to."""
_LEAST = 512
"""Objects that a map of few dimensions is fitted to."""
_RIDGE = 0.05
"""Part of the mean variance between views that is added in every direction."""


def query_states(
    states_of: Callable[[Batch], torch.Tensor],
    sequences: SequenceSet,
    numbers: np.ndarray,
    width: int,
    token_budget: int,
    choose: Choose | None = None,
) -> np.ndarray:
    """Return the state of a query at the end of each object's sequence, float32 (n, D).

    Parameters
    ----------
    states_of : callable
        Returns the states of all tokens of a batch, (N, D).
    sequences : SequenceSet
        Sequences of the objects.
    numbers : int64 (n,)
        Their numbers.
    width : int
        D.
    token_budget : int
        Tokens that are run at once.
    choose : callable, optional
        Chooses which scalars are shown; everything known is where None.
    """
    asking = sequences.asking(1)
    out = np.empty((len(numbers), width), dtype=np.float32)
    order = np.argsort(asking.lengths[numbers], kind="stable")  # few and large calls of attention
    plan = plan_epoch(numbers[order], asking.lengths, None, 1, token_budget)
    with torch.no_grad():
        for step in range(len(plan)):
            place = order[plan.edges[step] : plan.edges[step + 1]]
            batch = asking.batch(plan.step(step), None, choose)
            states = states_of(batch)
            at = torch.from_numpy(batch.columns.place[:, -1]).to(states.device)
            out[place[batch.order]] = states[at].float().cpu().numpy()
    return out


def fit_model_views(
    model: CausalTransformerLM,
    sequences: SequenceSet,
    numbers: np.ndarray,
    labels: Sequence[int],
    token_budget: int,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Fit the map of a model's embeddings to objects of its training split.

    Parameters
    ----------
    model : CausalTransformerLM
        The model; its mode is restored.
    sequences : SequenceSet
        Sequences of the training fields.
    numbers : int64 (n,)
        Numbers of the objects; a random part of them is used where there are many.
    labels : sequence of int
        Numbers of the columns that are labels, which no view shows.
    token_budget : int
        Tokens that are run at once.
    seed : int
        Seed of the choice of objects and columns.

    Returns
    -------
    mean, map : float32 (D,), float32 (D, D)
        As `fit_views` returns them.
    """
    width, layout = model.embedding.embedding_dim, sequences.layout
    most = min(MOST, max(_LEAST, PER_DIMENSION * width))
    if len(numbers) > most:
        numbers = np.sort(np.random.default_rng(seed).choice(numbers, most, replace=False))
    columns = [i for i in range(layout[SCALAR].length) if i not in labels]
    every = sequences.only([block.name for block in layout.blocks], columns)
    views = (every, None), (sequences.only((), columns), None), (every, _Half(seed))
    was_training, device = model.training, model.bias.device

    def states_of(batch: Batch) -> torch.Tensor:
        arrays = (batch.tokens, batch.types, batch.slots)
        tokens, types, slots = (torch.from_numpy(a).to(device) for a in arrays)
        return model.flat_hidden(tokens, types, slots, batch.shapes)[:, :width]

    model.eval()
    states = [
        query_states(states_of, shown, numbers, width, token_budget, choose)
        for shown, choose in views
    ]
    model.train(was_training)
    return fit_views(np.stack(states))


class _Half:
    """Shows a random half of the columns of each object."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def __call__(self, objects: np.ndarray, known: np.ndarray, present: np.ndarray) -> Chosen:
        """Choose; see `Choose`."""
        bits = random_bits(objects, np.arange(known.shape[1]), (self.seed, 0))
        kept = (bits >> np.uint64(63)).astype(bool)
        return Chosen(known & kept, known & False, present & False)


def fit_views(views: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fit the map under which views of one object are near each other.

    Parameters
    ----------
    views : float (views, n, D)
        Embeddings of n objects from several views.

    Returns
    -------
    mean, map : float32 (D,), float32 (D, D)
        ``(embedding - mean) @ map`` has its dimensions in the order of λ. For fewer than `FEWEST`
        objects, and where views change nothing, the map is the identity.
    """
    n_views, n, width = views.shape
    means = views.mean(axis=0, dtype=np.float64)
    mean = means.mean(axis=0) if n else np.zeros(width)
    away = (views - means).reshape(-1, width)
    within = away.T @ away / max(1, n * (n_views - 1))
    if n < FEWEST or not np.trace(within) > 0:
        return mean.astype(np.float32), np.eye(width, dtype=np.float32)
    between = (means - mean).T @ (means - mean) / n
    ridge = _RIDGE * np.trace(within) / width
    ratio, directions = eigh(between, within + ridge * np.eye(width))
    ratio, directions = ratio[::-1].clip(min=0), directions[:, ::-1]
    signs = np.sign(directions[np.abs(directions).argmax(axis=0), np.arange(width)])
    return mean.astype(np.float32), (directions * signs * ratio / (1 + ratio)).astype(np.float32)
