"""Predicting scalar columns: p(z | everything given), exactly where the model can say it.

The model goes through the columns of a block in one order. A column's value z is predicted at its
slot from the blocks and the columns before it; the columns after it enter by Bayes' rule,

    p(z | before, after) ∝ p(z | before) × Π_j p(after_j | z, before, after_1 … after_(j - 1)),

with the likelihoods of each candidate z read off the model's own predictions after z. All
candidates of an object are run together, over one prompt.

Legend: B objects of a batch, K candidates, T tokens of one, C scalar columns, S bins in use.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from astromodal.config.predict import PredictSettings
from astromodal.core.vocab import MISS, TYPE_SCALAR
from astromodal.inference.asking import Question
from astromodal.inference.bundle import Bundle
from astromodal.inference.prompts import Prompt, parts, prompts, run, show
from astromodal.models.decoding import Cache
from astromodal.training.batches import SequenceSet
from astromodal.training.layout import SCALAR

_SCORES = 1 << 26
"""Weights of a layer's attention that are held at once: 256 MB."""


def predict_columns(
    bundle: Bundle,
    sequences: SequenceSet,
    question: Question,
    objects: np.ndarray,
    settings: PredictSettings,
) -> dict[int, np.ndarray]:
    """Distributions of the columns that are asked for, each without the others.

    Parameters
    ----------
    bundle : Bundle
        The model.
    sequences : SequenceSet
        Where the objects are.
    question : Question
        Columns and what to tell them from.
    objects : int64 (n,)
        Numbers of the objects.
    settings : PredictSettings
        Budget of tokens, and how many candidates are looked at.

    Returns
    -------
    dict of int to float64 (n, S)
        Probability of each bin in use, by column number; S is 0 for a column without bins.
    """
    out = {
        column: np.zeros((len(objects), _bins(bundle, column)[1])) for column in question.columns
    }
    asked = [column for column in question.columns if out[column].shape[1]]
    n_columns = bundle.layout[SCALAR].length
    for gathered in prompts(sequences, question, objects) if asked else ():
        each = gathered.length(bundle.layout) + n_columns
        for prompt in parts(gathered, each, settings.token_budget):
            cache = show(bundle, sequences, prompt, False, 1 + n_columns)
            for column, found in _columns(bundle, prompt, cache, asked, settings).items():
                out[column][prompt.place] = found
    return out


def _columns(
    bundle: Bundle,
    prompt: Prompt,
    cache: Cache,
    asked: list[int],
    settings: PredictSettings,
) -> Mapping[int, np.ndarray]:
    """Distributions, float64 (B, S), of the columns of a batch, ascending, over one prompt."""
    done, found = 0, {}  # tokens of the scalar block that were run
    for column in asked:
        slots = np.arange(done, 1 + column)
        types = np.full(len(slots), TYPE_SCALAR)
        states = run(bundle, cache, prompt.scalars[:, slots], types, slots)[:, -1]  # (B, D + F)
        done = 1 + column
        first, used = _bins(bundle, column)
        size = bundle.layout.spec.n_bins or used
        prior = bundle.log_chances(states, first, size, used).double()  # (B, S)
        after = prompt.scalars[:, 2 + column :]  # (B, C - 1 - column)
        known = np.flatnonzero((after != MISS).any(axis=0))
        if len(known):
            tokens = after[:, : known[-1] + 1]
            prior = _update(bundle, cache, column, prior, tokens, settings)
        chances = prior.softmax(dim=1).cpu().numpy()
        found[column] = chances / chances.sum(axis=1, keepdims=True)
    return found


def _update(
    bundle: Bundle,
    cache: Cache,
    column: int,
    prior: torch.Tensor,  # (B, S), log
    after: np.ndarray,  # (B, T), tokens of the columns after, the last of them given to someone
    settings: PredictSettings,
) -> torch.Tensor:
    """The log of prior times likelihood, (B, S), up to a constant."""
    chances = prior.exp().cpu().numpy()
    chosen = candidates(chances, settings.prior_mass, settings.max_candidates)  # (B, K)
    found = np.empty(chosen.shape)
    n_after, heads = after.shape[1], bundle.decoder.layers[0].n_heads
    tokens = min(settings.token_budget, _SCORES // (heads * (cache.length + n_after)))
    wide = min(chosen.shape[1], max(1, tokens // n_after))
    high = max(1, tokens // (wide * n_after))
    for top in range(0, len(chosen), high):
        rows = slice(top, top + high)
        for left in range(0, chosen.shape[1], wide):
            part = chosen[rows, left : left + wide]
            found[rows, left : left + wide] = _log_likelihood(
                bundle, cache.part(rows), column, part, after[rows]
            )
    bins = np.arange(prior.shape[1])
    between = [np.interp(bins, *pair) for pair in zip(chosen, found, strict=True)]
    return prior + torch.from_numpy(np.stack(between)).to(prior)


def candidates(chances: np.ndarray, mass: float, most: int) -> np.ndarray:
    """Bins in which a value is sought.

    Parameters
    ----------
    chances : float64 (B, S)
        Probability of each bin.
    mass : float
        Probability that the bins should hold together.
    most : int
        Bins an object at most.

    Returns
    -------
    int64 (B, K)
        Different bins of each object, ascending: the likeliest ones that hold `mass` and, where
        another object needs more, the next ones; where they are more than `most`, that many of
        them, spread evenly, the first and the last among them.
    """
    order = np.argsort(-chances, axis=1, kind="stable")
    reached = np.cumsum(np.take_along_axis(chances, order, axis=1), axis=1)
    needed = np.minimum(1 + (reached < mass).sum(axis=1), chances.shape[1])
    k = int(min(needed.max(initial=1), most))
    chosen = np.empty((len(chances), k), dtype=np.int64)
    for i, n in enumerate(needed.tolist()):
        inside = np.sort(order[i, : max(n, k)])
        chosen[i] = inside[np.round(np.linspace(0, len(inside) - 1, k)).astype(np.int64)]
    return chosen


def _log_likelihood(
    bundle: Bundle,
    cache: Cache,
    column: int,
    chosen: np.ndarray,  # (B, K), bins of the column
    after: np.ndarray,  # (B, T), tokens of the columns after it
) -> np.ndarray:
    """Log probability of the columns after each candidate, float64 (B, K)."""
    n_after, spec = after.shape[1], bundle.layout.spec
    tokens = np.empty((*chosen.shape, n_after), dtype=np.int64)  # (B, K, T)
    tokens[:, :, 0] = chosen + spec.column_offset(column)
    tokens[:, :, 1:] = after[:, None, :-1]
    slots = torch.arange(1 + column, 1 + column + n_after, device=bundle.device)
    types = torch.full_like(slots, TYPE_SCALAR)
    moved = torch.from_numpy(tokens).to(bundle.device)
    states = bundle.decoder.branch(cache, moved, types, slots)  # (B, K, T, D + F)
    total = torch.zeros(chosen.shape, dtype=torch.float64, device=bundle.device)
    for i in range(n_after):
        first, used = _bins(bundle, column + 1 + i)
        seen = np.flatnonzero(after[:, i] != MISS)
        if not len(seen):
            continue
        rows = torch.from_numpy(seen).to(bundle.device)
        codes = torch.from_numpy(after[seen, i].astype(np.int64) - first).to(bundle.device)
        chances = bundle.log_chances(states[rows, :, i], first, spec.n_bins or used, used)
        wanted = codes[:, None, None].expand(-1, chosen.shape[1], 1)
        total[rows] += chances.gather(2, wanted)[:, :, 0].double()
    return total.cpu().numpy()


def _bins(bundle: Bundle, column: int) -> tuple[int, int]:
    """First id and number of the bins in use of a column."""
    return bundle.legal(bundle.layout[SCALAR].ranges[0], column)
