"""Scalars of the evaluated objects, before and after coding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from astromodal.config.evaluate import EvaluationSettings
from astromodal.config.schema import ColumnSettings
from astromodal.core.progress import Progress
from astromodal.core.vocab import MISSING_CODE
from astromodal.evaluation.held_out import EvaluatedField, check_ids, coded_scalars, sample_rows
from astromodal.tokenizers.scalars.tokenizer import ScalarTokenizer, load_scalar_tokens


@dataclass(frozen=True)
class ScalarSample:
    """Scalars of the evaluated objects, before and after coding."""

    truth: np.ndarray  # (n, C) float64, NaN where missing
    codes: np.ndarray  # (n, C) uint16
    used: np.ndarray  # (C, n_bins) int64: how often each code occurs among all eligible objects
    n_eligible: int  # objects that could have been drawn


def sample_scalars(
    fields: Sequence[EvaluatedField],
    coder: ScalarTokenizer,
    evaluation: EvaluationSettings,
    columns: ColumnSettings,
    progress: Progress,
) -> ScalarSample:
    """Draw objects of all fields, and count the codes of every eligible one."""
    tokens = [load_scalar_tokens(f.files["tokens"], coder.hash) for f in fields]
    places = [np.flatnonzero(f.rows()[t.row]) for f, t in zip(fields, tokens, strict=True)]
    drawn = sample_rows(places, evaluation.max_objects, evaluation.seed)
    n_columns = len(coder.columns)
    used = np.zeros((n_columns, coder.n_bins), dtype=np.int64)
    truth, codes = [np.empty((0, n_columns))], [np.empty((0, n_columns), dtype=np.uint16)]
    jobs = list(zip(fields, tokens, places, drawn, strict=True))
    for field, token, eligible, chosen in progress(jobs, len(jobs), "scalars of fields"):
        for i in range(n_columns):
            column = token.codes[eligible, i]
            used[i] += np.bincount(column[column != MISSING_CODE], minlength=coder.n_bins)
        cube = field.open(columns)
        rows = token.row[chosen]
        check_ids(cube.ids(), rows, token.ids[chosen], field.files["tokens"])
        codes.append(token.codes[chosen])
        truth.append(coded_scalars(cube, coder, rows, codes[-1], "encode_scalars"))
    n_eligible = sum(len(p) for p in places)
    return ScalarSample(np.concatenate(truth), np.concatenate(codes), used, n_eligible)
