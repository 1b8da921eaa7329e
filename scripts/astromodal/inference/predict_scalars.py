"""Prediction of scalar columns: p(z | everything given) by Bayes' rule.

The columns of a block have one order. The model predicts a column's value z from the blocks and the
columns before it. Columns after it enter by Bayes' rule,

    p(z | before, after) ∝ p(z | before) × Π_j p(after_j | z, before, after_1 … after_(j - 1)),

where the model's predictions after each candidate z give the likelihoods. All candidates of an
object are run together, after one prompt.

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
from astromodal.inference.bundle import Bundle, LegalIds
from astromodal.inference.encode import Encoded
from astromodal.inference.prompt import Prompt, extend, prompts, run_prompt
from astromodal.inference.request import Request
from astromodal.models.decoding import Cache
from astromodal.sequences.layout import SCALAR

_SCORES = 1 << 26
"""Attention weights of a layer that are held in memory at once: 256 MB."""


def predict_columns(
    bundle: Bundle, objects: Encoded, request: Request, settings: PredictSettings
) -> dict[int, np.ndarray]:
    """Predict the distribution of each requested column, independently of the other ones.

    Parameters
    ----------
    bundle : Bundle
        The model.
    objects : Encoded
        The n objects.
    request : Request
        Columns to predict, and what they are predicted from.
    settings : PredictSettings
        Token budget, and number of candidates.

    Returns
    -------
    dict of int to float64 (n, S)
        Probability of each bin in use, by column number; S is 0 for a column without bins.
    """
    used = {column: _legal(bundle, column).used for column in request.columns}
    out = {column: np.zeros((len(objects), n_bins)) for column, n_bins in used.items()}
    columns = [column for column, n_bins in used.items() if n_bins]
    n_columns = bundle.layout[SCALAR].length
    for gathered in prompts(objects, request) if columns else ():
        each = gathered.length(bundle.layout) + n_columns
        for prompt in gathered.batches(each, settings.token_budget):
            cache = run_prompt(bundle, objects.sequences, prompt, False, 1 + n_columns)
            for column, probabilities in _columns(bundle, prompt, cache, columns, settings).items():
                out[column][prompt.place] = probabilities
    return out


def _columns(
    bundle: Bundle,
    prompt: Prompt,
    cache: Cache,
    columns: list[int],
    settings: PredictSettings,
) -> Mapping[int, np.ndarray]:
    """Return the distributions, float64 (B, S), of ascending columns, for a batch's prompt."""
    done, out = 0, {}  # number of tokens of the scalar block that are in the cache
    for column in columns:
        slots = np.arange(done, 1 + column)
        types = np.full(len(slots), TYPE_SCALAR)
        states = extend(bundle, cache, prompt.scalars[:, slots], types, slots)[:, -1]  # (B, D + F)
        done = 1 + column
        prior = bundle.log_probabilities(states, _legal(bundle, column)).double()  # (B, S)
        after = prompt.scalars[:, 2 + column :]  # (B, C - 1 - column)
        given = np.flatnonzero((after != MISS).any(axis=0))
        if len(given):
            tokens = after[:, : given[-1] + 1]
            prior = _posterior(bundle, cache, column, prior, tokens, settings)
        probabilities = prior.softmax(dim=1).cpu().numpy()
        out[column] = probabilities / probabilities.sum(axis=1, keepdims=True)
    return out


def _posterior(
    bundle: Bundle,
    cache: Cache,
    column: int,
    prior: torch.Tensor,  # (B, S), log probabilities
    after: np.ndarray,  # (B, T), tokens of later columns; the last is given for some object
    settings: PredictSettings,
) -> torch.Tensor:
    """Return the log of prior times likelihood, (B, S), up to a constant."""
    probabilities = prior.exp().cpu().numpy()
    chosen = candidates(probabilities, settings.prior_mass, settings.max_candidates)  # (B, K)
    likelihood = np.empty(chosen.shape)  # log
    n_after, heads = after.shape[1], bundle.decoder.layers[0].n_heads
    tokens = min(settings.token_budget, _SCORES // (heads * (cache.length + n_after)))
    wide = min(chosen.shape[1], max(1, tokens // n_after))
    high = max(1, tokens // (wide * n_after))
    for top in range(0, len(chosen), high):
        rows = slice(top, top + high)
        for left in range(0, chosen.shape[1], wide):
            part = chosen[rows, left : left + wide]
            likelihood[rows, left : left + wide] = _log_likelihood(
                bundle, cache.part(rows), column, part, after[rows]
            )
    bins = np.arange(prior.shape[1])
    between = [np.interp(bins, *pair) for pair in zip(chosen, likelihood, strict=True)]
    return prior + torch.from_numpy(np.stack(between)).to(prior)


def candidates(probabilities: np.ndarray, mass: float, most: int) -> np.ndarray:
    """Choose the bins for which the likelihood is computed.

    Parameters
    ----------
    probabilities : float64 (B, S)
        Probability of each bin.
    mass : float
        Least sum of the probabilities of the chosen bins.
    most : int
        Largest number of bins per object.

    Returns
    -------
    int64 (B, K)
        Distinct bins of each object, ascending. They are the likeliest bins whose probabilities
        sum to `mass`, and the next ones if another object needs more. Of more than `most` bins,
        `most` are chosen at even distances, the first and the last included.
    """
    order = np.argsort(-probabilities, axis=1, kind="stable")
    cumulative = np.cumsum(np.take_along_axis(probabilities, order, axis=1), axis=1)
    needed = np.minimum(1 + (cumulative < mass).sum(axis=1), probabilities.shape[1])
    k = int(min(needed.max(initial=1), most))
    chosen = np.empty((len(probabilities), k), dtype=np.int64)
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
    """Return the log probability of the later columns after each candidate, float64 (B, K)."""
    n_after = after.shape[1]
    tokens = np.empty((*chosen.shape, n_after), dtype=np.int64)  # (B, K, T)
    tokens[:, :, 0] = chosen + bundle.layout.spec.column_offset(column)
    tokens[:, :, 1:] = after[:, None, :-1]
    slots = torch.arange(1 + column, 1 + column + n_after, device=bundle.device)
    types = torch.full_like(slots, TYPE_SCALAR)
    moved = torch.from_numpy(tokens).to(bundle.device)
    states = bundle.decoder.branch(cache, moved, types, slots)  # (B, K, T, D + F)
    total = torch.zeros(chosen.shape, dtype=torch.float64, device=bundle.device)
    for i in range(n_after):
        legal = _legal(bundle, column + 1 + i)
        given = np.flatnonzero(after[:, i] != MISS)
        if not len(given):
            continue
        rows = torch.from_numpy(given).to(bundle.device)
        codes = torch.from_numpy(after[given, i].astype(np.int64) - legal.first).to(bundle.device)
        log = bundle.log_probabilities(states[rows, :, i], legal)  # (rows, K, S)
        index = codes[:, None, None].expand(-1, chosen.shape[1], 1)
        total[rows] += log.gather(2, index)[:, :, 0].double()
    return total.cpu().numpy()


def _legal(bundle: Bundle, column: int) -> LegalIds:
    """Return the ids of the bins of a column."""
    return bundle.legal(bundle.layout[SCALAR].ranges[0], column)


@dataclass(frozen=True)
class ScalarPrediction:
    """The predicted distribution of one scalar column for n objects.

    Inside a bin the density is uniform below the center and uniform above it, so that the mean is
    the center. A wide last bin, which may end at an error of 1e6, then does not bias the mean.

    Attributes
    ----------
    column : str
        Name of the column.
    unit : str
        Unit in the notation of astropy; empty for none.
    ids : unicode (n,)
        Ids of the objects.
    probabilities : float64 (n, K)
        Probability of each bin; rows sum to 1.
    centers : float64 (K,)
        Mean of the training values in each bin.
    edges : float64 (K + 1,)
        Edges of the bins, ascending.
    n_given : int32 (n,)
        Number of codes that each object was predicted from.
    """

    column: str
    unit: str
    ids: np.ndarray
    probabilities: np.ndarray
    centers: np.ndarray
    edges: np.ndarray
    n_given: np.ndarray

    def __getitem__(self, which: np.ndarray | slice) -> ScalarPrediction:
        """Return the prediction for some objects, by a mask (n,), positions or a slice."""
        ids, probabilities, n_given = self.ids, self.probabilities, self.n_given
        return replace(
            self, ids=ids[which], probabilities=probabilities[which], n_given=n_given[which]
        )

    @cached_property
    def mean(self) -> np.ndarray:
        """Mean, float64 (n,)."""
        return self.probabilities @ self.centers

    @cached_property
    def std(self) -> np.ndarray:
        """Standard deviation, float64 (n,), including the spread inside the bins."""
        low, high = self.edges[:-1], self.edges[1:]
        inside = (high - self.centers) * (self.centers - low) / 3
        around = (self.centers - self.mean[:, None]) ** 2 + inside
        return np.sqrt((self.probabilities * around).sum(axis=1))

    @cached_property
    def median(self) -> np.ndarray:
        """Median, float64 (n,)."""
        return self.quantile(0.5)

    def quantile(self, level: float) -> np.ndarray:
        """Return the quantile at `level`, in [0, 1], float64 (n,)."""
        values, cumulative = self._knots
        place = np.minimum((cumulative[:, 1:] < level).sum(axis=1), len(values) - 2)
        rows = np.arange(len(cumulative))
        begin, end = cumulative[rows, place], cumulative[rows, place + 1]
        share = np.ones(len(rows))
        np.divide(level - begin, end - begin, out=share, where=end > begin)
        return values[place] + share * (values[place + 1] - values[place])

    def cdf(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the probabilities below a value of each object and up to it, float64 (n,) each.

        The two differ only at a bin without width, whose single value has a finite probability.

        Parameters
        ----------
        values : float64 (n,)
            Values in the column's unit.
        """
        knots, cumulative = self._knots
        rows, last = np.arange(len(values)), len(knots) - 1
        left = np.searchsorted(knots, values, side="left")
        right = np.searchsorted(knots, values, side="right")
        place, share = self._inside(values)
        begin, end = cumulative[rows, place], cumulative[rows, place + 1]
        between = begin + share * (end - begin)
        at_knot = right > left
        below = np.where(at_knot, cumulative[rows, np.minimum(left, last)], between)
        return below, np.where(at_knot, cumulative[rows, right - 1], between)

    def crps(self, values: np.ndarray) -> np.ndarray:
        """Return the continuous ranked probability score, the integral of (F(x) - [x ≥ value])² dx.

        Smaller is better; for a forecast of a single value it is the absolute error (Matheson &
        Winkler 1976, doi:10.1287/mnsc.22.10.1087). The result is exact: F is piecewise linear.

        Parameters
        ----------
        values : float64 (n,)
            Measured values in the column's unit.

        Returns
        -------
        float64 (n,)
            Scores in the column's unit.
        """
        knots, cumulative = self._knots
        width, rows = np.diff(knots), np.arange(len(values))
        low = width * _mean_square(cumulative[:, :-1], cumulative[:, 1:])  # (n, pieces), of F²
        high = width * _mean_square(1 - cumulative[:, :-1], 1 - cumulative[:, 1:])  # of (1 - F)²
        place, share = self._inside(values)
        begin, end = cumulative[rows, place], cumulative[rows, place + 1]
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
        """Edges and centers, ascending (2 K + 1,), and cumulative probabilities (n, 2 K + 1)."""
        values = np.empty(2 * len(self.centers) + 1)
        values[::2], values[1::2] = self.edges, self.centers
        width = np.diff(self.edges)
        lower = np.full(len(width), 0.5)
        np.divide(self.edges[1:] - self.centers, width, out=lower, where=width > 0)
        pieces = np.stack([self.probabilities * lower, self.probabilities * (1 - lower)], axis=2)
        cumulative = np.zeros((len(pieces), len(values)))
        np.cumsum(pieces.reshape(len(pieces), -1), axis=1, out=cumulative[:, 1:])
        return values, cumulative / cumulative[:, -1:]

    def _inside(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the interval of knots that holds each value, and the position in it, 0 to 1."""
        knots = self._knots[0]
        place = np.clip(np.searchsorted(knots, values, side="right") - 1, 0, len(knots) - 2)
        width = knots[place + 1] - knots[place]
        share = np.zeros(len(values))
        np.divide(values - knots[place], width, out=share, where=width > 0)
        return place, np.clip(share, 0, 1)


def _mean_square(begin: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return the mean square of a linear function that rises from `begin` to `end`."""
    return (begin * begin + begin * end + end * end) / 3
