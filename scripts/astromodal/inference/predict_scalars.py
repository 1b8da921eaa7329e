"""Prediction of scalar columns: their distributions, given everything that is shown.

The columns that are predicted are asked at the end of a sequence, as in training: one run of the
model gives the distributions of all of them.

Legend: M objects of a batch, K bins, D model, F features of an id.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from astromodal.config.evaluate import PredictSettings
from astromodal.data.columns import period, scalar_unit
from astromodal.inference.bundle import Bundle, LegalIds
from astromodal.inference.encode import Encoded
from astromodal.inference.prompt import count_given, run_given
from astromodal.inference.request import Request
from astromodal.sequences.layout import SCALAR
from astromodal.training.calibration import part_shown, with_levels


def predict_columns(
    bundle: Bundle, objects: Encoded, request: Request, settings: PredictSettings
) -> dict[int, ScalarPrediction]:
    """Predict the distribution of each requested column.

    Parameters
    ----------
    bundle : Bundle
        The model.
    objects : Encoded
        The n objects.
    request : Request
        Columns to predict, and what they are predicted from.
    settings : PredictSettings
        Token budget.

    Returns
    -------
    dict of int to ScalarPrediction
        Distributions by column number; of a column without bins there is none.
    """
    legal = {column: _legal(bundle, column) for column in request.columns}
    legal = {column: ids for column, ids in legal.items() if ids.used}
    if not legal:
        return {}
    every = {column: np.zeros((len(objects), ids.used)) for column, ids in legal.items()}
    shown, n_given = np.zeros(len(objects)), count_given(objects, request)
    runs = run_given(bundle, objects, request, list(legal), None, settings.token_budget)
    for place, batch, states in runs:
        shown[place] = part_shown(batch.columns)
        for column, ids in legal.items():
            at = torch.from_numpy(batch.columns.place[:, column]).to(bundle.device)
            log = bundle.log_probabilities(states[at], ids).double()  # (M, K)
            every[column][place] = log.softmax(dim=1).cpu().numpy()
    out = {}
    for column, probabilities in every.items():
        levels = bundle.levels(column, shown)
        if levels is not None:
            probabilities = with_levels(probabilities, levels)
        plain = distribution_of(bundle, column, probabilities, objects.ids, n_given)
        temperature = bundle.column_temperature(bundle.columns[column])
        out[column] = replace(plain, temperature=temperature, levels=levels)
    return out


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
    temperature : float
        Divisor of the logits.
    levels : float64 (n, L), optional
        What even levels of the cumulative distributions, from 0 to 1, were replaced by in their
        calibration; None where they were not.
    period : float, optional
        Of an angle: values that differ by it are the same. Mean and standard deviation are then
        circular (Mardia & Jupp 2000, Directional Statistics, eqs. 2.2.4 and 2.3.14), and quantiles
        are those of the turn around the mean, so that that of a higher level may have a lower
        value. None for other columns.
    """

    column: str
    unit: str
    ids: np.ndarray
    probabilities: np.ndarray
    centers: np.ndarray
    edges: np.ndarray
    n_given: np.ndarray
    temperature: float = 1.0
    levels: np.ndarray | None = None
    period: float | None = None

    def __getitem__(self, which: np.ndarray | slice) -> ScalarPrediction:
        """Return the prediction for some objects, by a mask (n,), positions or a slice."""
        levels = None if self.levels is None else self.levels[which]
        ids, n_given = self.ids[which], self.n_given[which]
        probabilities = self.probabilities[which]
        return replace(self, ids=ids, probabilities=probabilities, n_given=n_given, levels=levels)

    @cached_property
    def mean(self) -> np.ndarray:
        """Mean, float64 (n,)."""
        if self.period is not None:
            angle = np.angle(self._resultant(self.period))
            return self._wrapped(angle / (2 * np.pi) * self.period)
        return self.probabilities @ self.centers

    @cached_property
    def std(self) -> np.ndarray:
        """Standard deviation, float64 (n,), including the spread inside the bins."""
        if self.period is not None:
            length = np.clip(np.abs(self._resultant(self.period)), np.finfo(float).tiny, 1)
            return np.sqrt(-2 * np.log(length)) / (2 * np.pi) * self.period
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
        values, cumulative = self._knots if self.period is None else self._knots_of_turn
        place = np.minimum((cumulative[:, 1:] < level).sum(axis=1), values.shape[-1] - 2)
        rows = np.arange(len(cumulative))
        begin, end = cumulative[rows, place], cumulative[rows, place + 1]
        share = np.ones(len(rows))
        np.divide(level - begin, end - begin, out=share, where=end > begin)
        values = np.broadcast_to(values, cumulative.shape)
        low, high = values[rows, place], values[rows, place + 1]
        return self._wrapped(low + share * (high - low))

    def errors(self, values: np.ndarray) -> np.ndarray:
        """Return the medians minus values, float64 (n,); the shorter way of an angle."""
        return self.shortest(self.median - values)

    def contains(self, values: np.ndarray, low: float, high: float) -> np.ndarray:
        """Return whether values lie between the quantiles at two levels, bool (n,)."""
        first, last = self.quantile(low), self.quantile(high)
        if self.period is None:
            return (first <= values) & (values <= last)
        return (values - first) % self.period <= (last - first) % self.period

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

    def cumulative(self, values: np.ndarray) -> np.ndarray:
        """Return the probabilities up to values that all objects share.

        Parameters
        ----------
        values : float64 (m,)
            Values in the column's unit.

        Returns
        -------
        float64 (n, m)
            Probability of a value of at most each of these.
        """
        knots, cumulative = self._knots
        place, share = self._inside(values)
        begin, end = cumulative[:, place], cumulative[:, place + 1]
        return np.where(values >= knots[-1], 1.0, begin + share * (end - begin))

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

    def given_beyond(self, limit: float) -> ScalarPrediction:
        """Return the distributions given that the absolute value exceeds a limit.

        For a redshift and a limit above the speeds of stars, it is that of a source which is known
        to be no star. An object of which no bin beyond the limit is possible keeps its
        distribution.

        Parameters
        ----------
        limit : float
            Limit in the column's unit; bins count by their centers.
        """
        kept = self.probabilities * (np.abs(self.centers) > limit)
        total = kept.sum(axis=1, keepdims=True)
        possible = np.divide(kept, total, out=self.probabilities.copy(), where=total > 0)
        return replace(self, probabilities=possible)

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

    def _resultant(self, period: float) -> np.ndarray:
        """Return the mean unit vector of an angle, complex (n,), with the spread inside bins."""
        spread = np.sinc(np.diff(self.edges) / period)
        vectors = np.exp(2j * np.pi * self.centers / period) * spread
        return np.asarray(self.probabilities @ vectors)

    def _wrapped(self, values: np.ndarray) -> np.ndarray:
        """Return angles in the turn from the first edge; other values as they are."""
        if self.period is None:
            return values
        return self.edges[0] + (values - self.edges[0]) % self.period

    def shortest(self, differences: np.ndarray) -> np.ndarray:
        """Return differences of angles within half a period; others as they are."""
        if self.period is None:
            return differences
        return (differences + self.period / 2) % self.period - self.period / 2

    @cached_property
    def _knots_of_turn(self) -> tuple[np.ndarray, np.ndarray]:
        """Knots as `_knots` has them, float64 (n, 2 K + 1) both, of the turn around the mean.

        The turn begins with the bin that is farthest from the mean.
        """
        n, k = self.probabilities.shape
        away = self.shortest(self.centers - self.mean[:, None])
        turned = (away.argmin(axis=1)[:, None] + np.arange(k)) % k
        centers = self.mean[:, None] + np.take_along_axis(away, turned, axis=1)
        below, above = (self.centers - self.edges[:-1])[turned], np.diff(self.edges)[turned]
        above -= below
        knots = np.empty((n, 2 * k + 1))
        knots[:, :-1:2], knots[:, 1::2], knots[:, -1] = (
            centers - below, centers, centers[:, -1] + above[:, -1]
        )  # fmt: skip
        mass = np.take_along_axis(self.probabilities, turned, axis=1)
        width = below + above
        lower = np.divide(below, width, out=np.full_like(width, 0.5), where=width > 0)
        pieces = np.stack([mass * lower, mass * (1 - lower)], axis=2).reshape(n, -1)
        cumulative = np.concatenate([np.zeros((n, 1)), pieces.cumsum(axis=1)], axis=1)
        return knots, cumulative / cumulative[:, -1:]

    def _inside(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the interval of knots that holds each value, and the position in it, 0 to 1."""
        knots = self._knots[0]
        place = np.clip(np.searchsorted(knots, values, side="right") - 1, 0, len(knots) - 2)
        width = knots[place + 1] - knots[place]
        share = (values > knots[place]).astype(np.float64)
        with np.errstate(over="ignore"):  # a value far outside of a very narrow interval
            np.divide(values - knots[place], width, out=share, where=width > 0)
        return place, np.clip(share, 0, 1)


def _mean_square(begin: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return the mean square of a linear function that rises from `begin` to `end`."""
    return (begin * begin + begin * end + end * end) / 3


def distribution_of(
    bundle: Bundle, column: int, probabilities: np.ndarray, ids: np.ndarray, n_given: np.ndarray
) -> ScalarPrediction:
    """Return the distribution of a column, by number, with probabilities (n, K) of its bins."""
    scalar, used, name = bundle.tokenizers.scalar, probabilities.shape[1], bundle.columns[column]
    centers, edges = scalar.centers[column, :used], scalar.edges[column, : used + 1]
    unit = scalar_unit(name) or ""
    plain = ScalarPrediction(name, unit, ids, probabilities, centers, edges, n_given)
    return replace(plain, period=period(name))
