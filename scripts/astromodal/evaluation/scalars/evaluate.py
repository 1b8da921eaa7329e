"""How well scalar codes keep the scalars."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from astromodal.config.evaluate import EvaluationSettings
from astromodal.config.schema import ColumnSettings
from astromodal.core.progress import Progress, quiet
from astromodal.core.vocab import MISSING_CODE
from astromodal.evaluation.held_out import EvaluatedField, described
from astromodal.evaluation.metrics import median_error, quantile_error, robust_sigma
from astromodal.evaluation.report.section import Section
from astromodal.evaluation.report.style import styled, unit
from astromodal.evaluation.report.values import Measurement, show
from astromodal.evaluation.scalars.figures import HALF_BIN, IDEAL_BINS, add_figures
from astromodal.evaluation.scalars.sample import ScalarSample, sample_scalars
from astromodal.tokenizers.scalars.tokenizer import ScalarTokenizer


def evaluate_scalars(
    fields: Sequence[EvaluatedField],
    tokenizer: str | Path,
    evaluation: EvaluationSettings,
    columns: ColumnSettings,
    figures: str | Path,
    progress: Progress = quiet,
) -> dict[str, Any]:
    """Compare decoded scalars to the measured ones.

    Parameters
    ----------
    fields : sequence of EvaluatedField
        With the files ``cube``, ``split`` and ``tokens`` (scalar codes).
    tokenizer : path
        The scalar tokenizer.
    evaluation : EvaluationSettings
        How many objects at most, and the seeds.
    columns : ColumnSettings
        Names of the identifying columns.
    figures : path
        Folder to write the figures into.
    progress : Progress
        Shows which field is being read.

    Returns
    -------
    dict
        As `Part.as_dict` gives it.
    """
    section = Section("scalars", "Scalars", Path(figures))
    coder = ScalarTokenizer.load(tokenizer)
    sample = sample_scalars(fields, coder, evaluation, columns, progress)
    n = len(sample.truth)
    section.summary = (
        f"{n} of {sample.n_eligible} objects: {described(fields)}. A decoded value is the mean of "
        "the training values in its bin; the error is compared with the width of that bin. With "
        f"values spread evenly inside a bin the median error would be {IDEAL_BINS} bins: no "
        "equal-mass code of as many bins does better."
    )
    section.numbers = {
        "n_objects": n,
        "n_eligible": sample.n_eligible,
        "tokenizer_hash": coder.hash,
    }
    rows = [_column_numbers(coder, sample, i, evaluation.seed) for i in range(len(coder.columns))]
    section.numbers["columns"] = {row["column"]: row for row in rows}
    known = [row for row in rows if row["n"]]
    section.notes += _notes(rows, n)
    if not known:
        section.notes.append(
            "No scalar could be evaluated: no evaluated object has a value with a code."
        )
        return section.as_dict()
    _headlines(section, known, evaluation.seed)
    with styled():
        add_figures(section, rows, known, coder, sample, evaluation.n_examples)
    return section.as_dict()


def _column_numbers(
    coder: ScalarTokenizer, sample: ScalarSample, i: int, seed: int
) -> dict[str, Any]:
    """All numbers of column `i`."""
    truth, codes = sample.truth[:, i], sample.codes[:, i]
    both = np.isfinite(truth) & (codes != MISSING_CODE)
    n_codes, name = int(coder.n_codes[i]), coder.columns[i]
    numbers: dict[str, Any] = {
        "column": name,
        "unit": unit(name),
        "n": int(both.sum()),
        "missing": float(1 - both.mean()) if len(truth) else np.nan,
        "n_codes": n_codes,
        **_code_use(sample.used[i], n_codes),
    }
    if not both.any():
        return numbers
    value, code = truth[both], codes[both].astype(np.int64)
    edges = coder.edges[i, : n_codes + 1]
    error = np.abs(coder.centers[i, code] - value)
    width = edges[code + 1] - edges[code]
    bins = in_bins(error, width)
    rank = np.abs(ranks(coder, i, coder.centers[i, code]) - ranks(coder, i, value))
    numbers |= {
        "outside": float(np.mean((value < edges[0]) | (value > edges[-1]))),
        "median": Measurement(*median_error(error, seed)),
        "p90": Measurement(*quantile_error(error, 0.9, seed)),
        "median_bins": Measurement(*median_error(bins, seed)),
        "p90_bins": Measurement(*quantile_error(bins, 0.9, seed)),
        "median_rank": Measurement(*median_error(rank, seed)),
        "best_possible": float(np.median(width) * IDEAL_BINS),
        "spread": robust_sigma(value),
        "of_measurement_error": _against_errors(coder, sample, name, both, error),
    }
    return numbers


def in_bins(error: np.ndarray, width: np.ndarray) -> np.ndarray:
    """Errors in units of the bin's width; a bin of no width (one tied value) gives 0 or NaN."""
    exact = np.where(error == 0, 0.0, np.nan)
    return np.divide(error, width, out=exact, where=width > 0)


def ranks(coder: ScalarTokenizer, i: int, values: np.ndarray) -> np.ndarray:
    """Fraction of column `i`'s training values below each of `values`, linear inside a bin."""
    n_codes = int(coder.n_codes[i])
    reached = np.append(0.0, np.cumsum(coder.weights[i, :n_codes]))
    return np.interp(values, coder.edges[i, : n_codes + 1], reached)


def _code_use(counts: np.ndarray, n_codes: int) -> dict[str, float]:
    """Fraction of codes that occur, and the fraction expected if all were equally likely."""
    if not n_codes:
        return {"used": np.nan, "used_expected": np.nan}
    expected = 1 - (1 - 1 / n_codes) ** counts.sum() if n_codes > 1 else float(counts.sum() > 0)
    return {"used": float((counts[:n_codes] > 0).mean()), "used_expected": float(expected)}


def _against_errors(
    coder: ScalarTokenizer, sample: ScalarSample, name: str, both: np.ndarray, error: np.ndarray
) -> float:
    """Median of the decoding error over the catalogue's own error; NaN where it has none."""
    partners = (f"err_{name}", f"{name}_error", f"{name}err", name.replace("_z", "_e_z"))
    found = [p for p in partners if p != name and p in coder.columns]
    if not found:
        return np.nan
    sigma = sample.truth[both, coder.columns.index(found[0])]
    good = np.isfinite(sigma) & (sigma > 0)
    return float(np.median(error[good] / sigma[good])) if good.any() else np.nan


def _headlines(section: Section, known: list[dict[str, Any]], seed: int) -> None:
    medians = np.array([row["median_bins"].value for row in known])
    if not np.isfinite(medians).any():
        return
    errors = np.array([row["median_bins"].error for row in known])
    # A column of few values may lie above by chance: it must lie above by two standard errors.
    over = medians - 2 * np.nan_to_num(errors, nan=np.inf) > HALF_BIN
    worst = int(np.nanargmax(medians))
    value, error = median_error(medians, seed)
    section.numbers |= {"median_bins": value, "worst_column": known[worst]["column"]}
    section.numbers["columns_over_half_a_bin"] = [known[i]["column"] for i in np.flatnonzero(over)]
    section.add_headline(
        "Scalar decoding error, median of columns", value, error, unit="bins",
        note=f"half a bin is asked for; columns above it by two errors: {over.sum()}; largest: "
        f"{known[worst]['column']}, {show(known[worst]['median_bins'])} bins",
        verdict="good" if value < HALF_BIN and not over.any() else "bad",
    )  # fmt: skip


def _notes(rows: list[dict[str, Any]], n: int) -> list[str]:
    notes = []
    empty = [row["column"] for row in rows if not row["n_codes"]]
    unseen = [row["column"] for row in rows if row["n_codes"] and not row["n"]]
    if not n:
        notes.append("There is no object to evaluate scalars on.")
    if empty:
        notes.append(f"No bins, for no object that trains has a value: {', '.join(empty)}.")
    if unseen and n:
        notes.append(f"No evaluated object has a value: {', '.join(unseen)}.")
    tied = [row["column"] for row in rows if row["n"] and not _known(row["median_bins"])]
    if tied:
        notes.append(f"A single value in training, so no bin has a width: {', '.join(tied)}.")
    return notes


def _known(cell: dict[str, float]) -> bool:
    return bool(np.isfinite(cell.value))
