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
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from astromodal.config.evaluate import PredictSettings
from astromodal.core.vocab import MISS, TYPE_SCALAR
from astromodal.inference.bundle import Bundle
from astromodal.inference.prompt import Prompt, parts, prompts, run, show
from astromodal.inference.request import Question
from astromodal.models.decoding import Cache
from astromodal.sequences.dataset import SequenceSet
from astromodal.sequences.layout import SCALAR

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


@dataclass(frozen=True)
class ScalarPrediction:
    """What is predicted of one scalar column.

    Inside a bin the density is uniform below its center and uniform above it, such that its mean
    is the center: a last bin that ends at an error of 1e6 then does no harm.

    Attributes
    ----------
    column : str
        The column.
    unit : str
        Its unit, as astropy reads it; empty where it has none.
    ids : unicode (n,)
        Ids of the objects.
    probabilities : float64 (n, K)
        Probability of each bin; rows sum to 1.
    centers : float64 (K,)
        Mean of the training values in each bin.
    edges : float64 (K + 1,)
        Edges of the bins, ascending.
    n_given : int32 (n,)
        Codes that each was predicted from; 0: from nothing.
    """

    column: str
    unit: str
    ids: np.ndarray
    probabilities: np.ndarray
    centers: np.ndarray
    edges: np.ndarray
    n_given: np.ndarray

    def __getitem__(self, which: np.ndarray | slice) -> ScalarPrediction:
        """What is predicted of some of the objects, by a mask (n,), their places, or a slice."""
        ids, chances, n_given = (a[which] for a in (self.ids, self.probabilities, self.n_given))
        return replace(self, ids=ids, probabilities=chances, n_given=n_given)

    @cached_property
    def mean(self) -> np.ndarray:
        """Mean, float64 (n,)."""
        return self.probabilities @ self.centers

    @cached_property
    def std(self) -> np.ndarray:
        """Standard deviation, float64 (n,), the spread inside the bins included."""
        low, high = self.edges[:-1], self.edges[1:]
        inside = (high - self.centers) * (self.centers - low) / 3
        around = (self.centers - self.mean[:, None]) ** 2 + inside
        return np.sqrt((self.probabilities * around).sum(axis=1))

    @cached_property
    def median(self) -> np.ndarray:
        """Median, float64 (n,)."""
        return self.quantile(0.5)

    def quantile(self, level: float) -> np.ndarray:
        """Value below which the probability `level`, in [0, 1], lies, float64 (n,)."""
        values, reached = self._knots
        place = np.minimum((reached[:, 1:] < level).sum(axis=1), len(values) - 2)
        rows = np.arange(len(reached))
        begin, end = reached[rows, place], reached[rows, place + 1]
        share = np.ones(len(rows))
        np.divide(level - begin, end - begin, out=share, where=end > begin)
        return values[place] + share * (values[place + 1] - values[place])

    def reached(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Probability below a value of each object, and up to it, float64 (n,) each.

        Both are the same but at a value that has a probability of its own, a bin without width.

        Parameters
        ----------
        values : float64 (n,)
            Values in the column's unit.
        """
        knots, reached = self._knots
        rows, last = np.arange(len(values)), len(knots) - 1
        left = np.searchsorted(knots, values, side="left")
        right = np.searchsorted(knots, values, side="right")
        place, share = self._inside(values)
        begin, end = reached[rows, place], reached[rows, place + 1]
        between = begin + share * (end - begin)
        at_knot = right > left
        below = np.where(at_knot, reached[rows, np.minimum(left, last)], between)
        return below, np.where(at_knot, reached[rows, right - 1], between)

    def crps(self, values: np.ndarray) -> np.ndarray:
        """Continuous ranked probability score, the integral of (F(x) - [x ≥ value])² over x.

        Matheson & Winkler 1976 (doi:10.1287/mnsc.22.10.1087): smaller is better; of a forecast
        that is one value it is the absolute error. It is exact, F being made of straight pieces.

        Parameters
        ----------
        values : float64 (n,)
            What was measured, in the column's unit.

        Returns
        -------
        float64 (n,)
            In the column's unit.
        """
        knots, reached = self._knots
        width, rows = np.diff(knots), np.arange(len(values))
        low = width * _mean_square(reached[:, :-1], reached[:, 1:])  # (n, pieces), of F²
        high = width * _mean_square(1 - reached[:, :-1], 1 - reached[:, 1:])  # of (1 - F)²
        place, share = self._inside(values)
        begin, end = reached[rows, place], reached[rows, place + 1]
        at = begin + share * (end - begin)
        pieces = np.arange(len(width))
        whole = np.where(pieces < place[:, None], low, 0) + np.where(
            pieces > place[:, None], high, 0
        )
        part = share * _mean_square(begin, at) + (1 - share) * _mean_square(1 - at, 1 - end)
        outside = np.maximum(knots[0] - values, 0) + np.maximum(values - knots[-1], 0)
        return whole.sum(axis=1) + width[place] * part + outside

    @cached_property
    def _knots(self) -> tuple[np.ndarray, np.ndarray]:
        """Edges and centers in their order (2 K + 1,), and the probability up to each (n, …)."""
        values = np.empty(2 * len(self.centers) + 1)
        values[::2], values[1::2] = self.edges, self.centers
        width = np.diff(self.edges)
        lower = np.full(len(width), 0.5)
        np.divide(self.edges[1:] - self.centers, width, out=lower, where=width > 0)
        pieces = np.stack([self.probabilities * lower, self.probabilities * (1 - lower)], axis=2)
        reached = np.zeros((len(pieces), len(values)))
        np.cumsum(pieces.reshape(len(pieces), -1), axis=1, out=reached[:, 1:])
        return values, reached / reached[:, -1:]

    def _inside(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The piece between knots that each value lies in, and how far in it, 0 to 1."""
        knots = self._knots[0]
        place = np.clip(np.searchsorted(knots, values, side="right") - 1, 0, len(knots) - 2)
        width = knots[place + 1] - knots[place]
        share = np.zeros(len(values))
        np.divide(values - knots[place], width, out=share, where=width > 0)
        return place, np.clip(share, 0, 1)


def _mean_square(begin: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Mean of the square of what rises in a straight line from `begin` to `end`."""
    return (begin * begin + begin * end + end * end) / 3
