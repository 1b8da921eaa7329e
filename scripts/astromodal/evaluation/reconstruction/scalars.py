"""Scalars that the model tells from spectra and images, or a column from everything else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from astromodal.evaluation.metrics import fraction_error, scatter_error
from astromodal.evaluation.reconstruction.scores import BASELINE, MODEL, TOKENIZER, Bench, compared
from astromodal.evaluation.report.section import measured
from astromodal.inference.encode import Encoded
from astromodal.inference.predict_scalars import ScalarPrediction, predict_columns
from astromodal.inference.prompt import count_given
from astromodal.sequences.layout import SCALAR

ALONE = "model, everything else given"


@dataclass(frozen=True)
class ScalarSample:
    """Errors of scalars, in the columns' units.

    Attributes
    ----------
    columns : tuple of str
        Columns that a training field measured.
    errors : dict of str to float64 (n, C)
        By way, estimate minus measured value; NaN where nothing was measured.
    spread : float64 (C,)
        Half of the 16 to 84 % range of the training values.
    inside : dict of str to bool (m,)
        By column, which measured values lie in the central 68 % of what the model gave them.
    alone : dict of str to float64 (n,)
        Errors of the columns that were predicted from everything else too.
    """

    columns: tuple[str, ...]
    errors: dict[str, np.ndarray]
    spread: np.ndarray
    inside: dict[str, np.ndarray]
    alone: dict[str, np.ndarray] = field(default_factory=dict)


def sample_scalars(bench: Bench, objects: Encoded) -> ScalarSample:
    """Predict every column of some objects from their other blocks, and a few from all else."""
    model, every = bench.model, bench.model.columns
    truth = np.full((len(objects), len(every)), np.nan)
    for mine, cube, rows in bench.by_field(objects):
        truth[mine] = cube.scalars(every)[rows]
    own = model.tokenizers.scalar.decode(objects.codes(SCALAR))
    truth[~np.isfinite(own)] = np.nan  # a value without a code is not the model's to know
    found = _predictions(bench, objects, SCALAR)
    place = [every.index(name) for name in found]
    before = [_of_training(bench, i) for i in place]
    low, middle, high = (np.array([b.quantile(q)[0] for b in before]) for q in (0.16, 0.5, 0.84))
    truth, own = truth[:, place], own[:, place]
    medians = np.array([p.median for p in found.values()]).reshape(len(found), len(objects)).T
    inside = {}
    for i, (name, p) in enumerate(found.items()):
        known = np.isfinite(truth[:, i])
        within = (p.quantile(0.16) <= truth[:, i]) & (truth[:, i] <= p.quantile(0.84))
        inside[name] = within[known]
    errors = {TOKENIZER: own - truth, MODEL: medians - truth, BASELINE: middle - truth}
    asked = bench.evaluation  # what gives a label away is among everything else
    wanted = set(asked.reconstruction.columns) - set(asked.labels.hidden)
    alone = {
        name: _predictions(bench, objects, name)[name].median - truth[:, i]
        for i, name in enumerate(found)
        if name in wanted and np.isfinite(truth[:, i]).any()
    }
    return ScalarSample(tuple(found), errors, (high - low) / 2, inside, alone)


def _predictions(bench: Bench, objects: Encoded, target: str) -> dict[str, ScalarPrediction]:
    """Distributions of the columns that a name stands for, but of those without bins."""
    model = bench.model
    request = model.request(target)
    found = predict_columns(model.bundle, objects, request, model.settings)
    given = count_given(objects, request)
    return {
        model.columns[column]: model.distribution(column, chances, objects.ids, given)
        for column, chances in found.items()
        if chances.shape[1]
    }


def _of_training(bench: Bench, column: int) -> ScalarPrediction:
    """The distribution of a column's training values, as a prediction of one object."""
    tokenizer = bench.model.tokenizers.scalar
    chances = tokenizer.weights[None, column, : tokenizer.n_codes[column]]
    return bench.model.distribution(column, chances, np.array([""]), np.zeros(1, np.int32))


def scalar_numbers(sample: ScalarSample, seed: int) -> dict[str, Any]:
    """Errors of each column, in its unit, and of all together, in units of their spread."""
    with np.errstate(invalid="ignore", divide="ignore"):
        relative = {
            way: np.where(sample.spread > 0, np.abs(e) / sample.spread, np.nan)
            for way, e in sample.errors.items()
        }
    columns = {}
    for i, name in enumerate(sample.columns):
        errors = {way: e[:, [i]] for way, e in sample.errors.items()}
        size = {way: np.abs(e) for way, e in errors.items()}
        numbers = compared(size, seed, lower_is_better=True)
        if not numbers["n"]:
            continue
        numbers["scatter"] = {
            way: measured(*scatter_error(e[:, 0], seed)) for way, e in errors.items()
        }
        numbers["inside"] = measured(*fraction_error(sample.inside[name]))
        numbers["spread"] = float(sample.spread[i])
        if name in sample.alone:
            ways = {MODEL: np.abs(sample.alone[name][:, None]), BASELINE: size[MODEL]}
            numbers[ALONE] = compared(ways, seed, lower_is_better=True)
        columns[name] = numbers
    every = np.concatenate([*sample.inside.values(), np.empty(0, bool)])
    return {
        "columns": columns,
        "all": compared(relative, seed, lower_is_better=True),
        "inside": measured(*fraction_error(every)),
    }
