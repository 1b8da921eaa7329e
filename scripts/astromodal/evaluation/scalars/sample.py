"""Scalars of the evaluated objects, before and after coding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from astromodal.evaluation.codebooks import count_codes
from astromodal.evaluation.context import EvaluationContext
from astromodal.evaluation.held_out import check_ids, coded_scalars, sample_rows
from astromodal.tokenizers.scalars.tokenizer import ScalarTokenizer, load_scalar_tokens


@dataclass(frozen=True)
class ScalarSample:
    """Scalars of the evaluated objects, before and after coding.

    Attributes
    ----------
    truth : float64 (n, C)
        Measured values; NaN where missing.
    codes : uint16 (n, C)
        Their codes.
    used : int64 (C, n_bins)
        How often each code occurs among all eligible objects.
    n_eligible : int
        Number of objects that the sample is drawn from.
    """

    truth: np.ndarray
    codes: np.ndarray
    used: np.ndarray
    n_eligible: int


def sample_scalars(context: EvaluationContext, tokenizer: ScalarTokenizer) -> ScalarSample:
    """Sample objects of all fields, and count the codes of every eligible object.

    Raises
    ------
    FormatError
        Where the codes are not those of the cube's values.
    """
    fields, evaluation = context.fields, context.settings.evaluation
    tokens = [load_scalar_tokens(f.files["tokens"], tokenizer.hash) for f in fields]
    places = [np.flatnonzero(f.rows()[t.row]) for f, t in zip(fields, tokens, strict=True)]
    sampled = sample_rows(places, evaluation.max_objects, evaluation.seed)
    n_columns = len(tokenizer.columns)
    used = np.zeros((n_columns, tokenizer.n_bins), dtype=np.int64)
    truth, codes = [np.empty((0, n_columns))], [np.empty((0, n_columns), dtype=np.uint16)]
    jobs = list(zip(fields, tokens, places, sampled, strict=True))
    for field, token, eligible, chosen in context.progress(jobs, len(jobs), "scalars of fields"):
        for i in range(n_columns):
            used[i] += count_codes(token.codes[eligible, i], tokenizer.n_bins)
        cube = field.open(context.settings.columns)
        rows = token.row[chosen]
        check_ids(cube.ids(), rows, token.ids[chosen], field.files["tokens"])
        codes.append(token.codes[chosen])
        truth.append(coded_scalars(cube, tokenizer, rows, codes[-1], "encode_scalars"))
    n_eligible = sum(len(p) for p in places)
    return ScalarSample(np.concatenate(truth), np.concatenate(codes), used, n_eligible)
