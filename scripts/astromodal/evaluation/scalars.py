"""How well scalar codes keep the scalars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from astromodal.config.schema import ColumnSettings, EvaluationSettings
from astromodal.core.progress import Progress, quiet
from astromodal.core.vocab import MISSING_CODE
from astromodal.evaluation.metrics import median_error, quantile_error, robust_sigma
from astromodal.evaluation.objects import EvaluatedField, check_ids, described, draw
from astromodal.evaluation.parts import Part, measured, table
from astromodal.evaluation.scalar_figures import draw_errors, draw_residuals
from astromodal.evaluation.style import styled, unit
from astromodal.tokenizers.scalar import ScalarTokenizer
from astromodal.tokenizers.scalar_tokens import load_scalar_tokens

IDEAL_BINS = 0.25
"""Median |decoded - true| in bin widths where values are uniform inside their bin."""
HALF_BIN = 0.5


@dataclass(frozen=True)
class ScalarSample:
    """Scalars of the evaluated objects, before and after coding."""

    truth: np.ndarray  # (n, C) float64, NaN where missing
    codes: np.ndarray  # (n, C) uint16
    used: np.ndarray  # (C, n_bins) int64: how often each code occurs among all eligible objects
    n_eligible: int  # objects that could have been drawn


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
    part = Part("scalars", "Scalars", Path(figures))
    coder = ScalarTokenizer.load(tokenizer)
    sample = _sample(fields, coder, evaluation, columns, progress)
    n = len(sample.truth)
    part.summary = (
        f"{n} of {sample.n_eligible} objects: {described(fields)}. A decoded value is the mean of "
        f"the "
        "training values in its bin; the error is compared with the width of that bin. With values "
        f"spread evenly inside a bin the median error would be {IDEAL_BINS} bins: no equal-mass "
        f"code "
        "of as many bins does better."
    )
    part.numbers = {"n_objects": n, "n_eligible": sample.n_eligible, "tokenizer_hash": coder.hash}
    rows = [_column_numbers(coder, sample, i, evaluation.seed) for i in range(len(coder.columns))]
    part.numbers["columns"] = {row["column"]: row for row in rows}
    known = [row for row in rows if row["n"]]
    part.notes += _notes(rows, n)
    if not known:
        part.notes.append(
            "No scalar could be evaluated: no evaluated object has a value with a code."
        )
        return part.as_dict()
    _headlines(part, known, evaluation.seed)
    with styled():
        drawn = draw_errors(known, HALF_BIN, IDEAL_BINS)
        part.figure(
            drawn, "scalar_errors",
            "Decoding error of each scalar column: in widths of the value's own bin (left; dot: "
            "median, "
            "line: to the 90th percentile), and its median relative to the column's spread "
            "(right).",
            "Left: every dot should lie left of the dashed line at half a bin; dots near the "
            "dotted line "
            "are as good as a code of this many bins can be. Right: how small a change of the "
            "value that is.",
            _error_table(rows),
        )  # fmt: skip
        chosen = _examples(known, evaluation.n_examples)
        values = [_pairs(coder, sample, name) for name in chosen]
        part.figure(
            draw_residuals(values), "scalar_residuals",
            "Decoded minus measured value against the measured value, for "
            f"{len(chosen)} of the columns; the shaded band is each bin's own extent.",
            "Points should fill the band evenly and be centred on zero; a point outside the band "
            "is a value "
            "beyond everything seen in training, which the last bin takes in.",
            _residual_table(values),
        )  # fmt: skip
    return part.as_dict()


def _sample(
    fields: Sequence[EvaluatedField],
    coder: ScalarTokenizer,
    evaluation: EvaluationSettings,
    columns: ColumnSettings,
    progress: Progress,
) -> ScalarSample:
    tokens = [load_scalar_tokens(f.files["tokens"], coder.hash) for f in fields]
    places = [np.flatnonzero(f.rows()[t.row]) for f, t in zip(fields, tokens, strict=True)]
    drawn = draw(places, evaluation.max_objects, evaluation.seed)
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
        truth.append(cube.scalars(coder.columns)[rows])
        codes.append(token.codes[chosen])
    n_eligible = sum(len(p) for p in places)
    return ScalarSample(np.concatenate(truth), np.concatenate(codes), used, n_eligible)


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
        "lost": int((np.isfinite(truth) & ~both).sum()),
        "invented": int((~np.isfinite(truth) & (codes != MISSING_CODE)).sum()),
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
        "median": measured(*median_error(error, seed)),
        "p90": measured(*quantile_error(error, 0.9, seed)),
        "median_bins": measured(*median_error(bins, seed)),
        "p90_bins": measured(*quantile_error(bins, 0.9, seed)),
        "median_rank": measured(*median_error(rank, seed)),
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


def _headlines(part: Part, known: list[dict[str, Any]], seed: int) -> None:
    medians = np.array([row["median_bins"]["value"] for row in known])
    if not np.isfinite(medians).any():
        return
    worst = int(np.nanargmax(medians))
    part.numbers["median_bins"] = median_error(medians, seed)[0]
    part.numbers["worst_column"] = known[worst]["column"]
    part.headline(
        "Scalar decoding error, median of columns", *median_error(medians, seed), unit="bins",
        note=f"worst: {known[worst]['column']}, {medians[worst]:.2f} bins; half a bin is asked for",
        verdict="good" if medians[worst] < HALF_BIN else "bad",
    )  # fmt: skip


def _notes(rows: list[dict[str, Any]], n: int) -> list[str]:
    notes = []
    empty = [row["column"] for row in rows if not row["n_codes"]]
    unseen = [row["column"] for row in rows if row["n_codes"] and not row["n"]]
    wrong = [row["column"] for row in rows if row["invented"] or (row["lost"] and row["n_codes"])]
    if not n:
        notes.append("There is no object to evaluate scalars on.")
    if empty:
        notes.append(f"No bins, because no training field has a value: {', '.join(empty)}.")
    if unseen and n:
        notes.append(f"No evaluated object has a value: {', '.join(unseen)}.")
    if wrong:
        notes.append(
            f"Values lost or invented by the codes (this is a defect): {', '.join(wrong)}."
        )
    return notes


def _error_table(rows: list[dict[str, Any]]) -> dict[str, Any]:
    heading = [
        "column", "unit", "n", "missing (%)", "median error (unit)", "90th percentile (unit)",
        "best possible median (unit)", "median error (bins)", "90th percentile (bins)",
        "median rank error (10⁻⁴)", "of the catalogue's error", "bins", "bins used (%)",
        "expected (%)", "beyond training (%)",
    ]  # fmt: skip

    def scaled(value: dict[str, float] | None, by: float) -> dict[str, float] | None:
        return measured(value["value"] * by, value["error"] * by) if value else None

    return table(heading, [
        [row["column"], row["unit"] or "none", row["n"], 100 * row["missing"],
         row.get("median"), row.get("p90"), row.get("best_possible"), row.get("median_bins"),
         row.get("p90_bins"),
         scaled(row.get("median_rank"), 1e4), row.get("of_measurement_error"), row["n_codes"],
         100 * row["used"], 100 * row["used_expected"],
         100 * row["outside"] if "outside" in row else None]
        for row in rows
    ])  # fmt: skip


_FAVOURITES = (
    "mag_pstotal_r", "err_mag_pstotal_r", "gaia_parallax", "gaia_teff_gspphot", "specz_z",
    "a_pixel_det", "vista_japermag6", "gaia_pmra",
)  # fmt: skip


def _examples(known: list[dict[str, Any]], most: int) -> list[str]:
    """Columns to draw: well-known ones that have values, then those with the most values."""
    counts = {row["column"]: row["n"] for row in known}
    first = [name for name in _FAVOURITES if name in counts]
    rest = sorted((name for name in counts if name not in first), key=lambda name: -counts[name])
    return (first + rest)[:most]


def _pairs(coder: ScalarTokenizer, sample: ScalarSample, name: str) -> dict[str, Any]:
    """Measured values of a column, their residuals and the extents of their bins."""
    i = coder.columns.index(name)
    both = np.isfinite(sample.truth[:, i]) & (sample.codes[:, i] != MISSING_CODE)
    value, code = sample.truth[both, i], sample.codes[both, i].astype(np.int64)
    center, edges = coder.centers[i, code], coder.edges[i]
    return {
        "column": name,
        "unit": unit(name),
        "value": value,
        "residual": center - value,
        "low": center - edges[code + 1],
        "high": center - edges[code],
    }


def _residual_table(values: list[dict[str, Any]]) -> dict[str, Any]:
    heading = [
        "column",
        "unit",
        "n",
        "mean residual (unit)",
        "68 % half-range (unit)",
        "largest |residual| (unit)",
    ]
    rows = []
    for v in values:
        error = (
            v["residual"].std(ddof=1) / np.sqrt(len(v["residual"]))
            if len(v["residual"]) > 1
            else np.nan
        )
        rows.append([
            v["column"], v["unit"] or "none", len(v["value"]),
            measured(v["residual"].mean(), error), robust_sigma(v["residual"]),
            np.abs(v["residual"]).max(),
        ])  # fmt: skip
    return table(heading, rows)
