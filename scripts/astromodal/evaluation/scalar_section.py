"""The figures of the scalars' section, each with the table of its numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from astromodal.core.vocab import MISSING_CODE
from astromodal.evaluation.metrics import robust_sigma
from astromodal.evaluation.parts import Part, measured, table
from astromodal.evaluation.scalar_figures import draw_errors, draw_residuals
from astromodal.evaluation.scalar_sample import ScalarSample
from astromodal.evaluation.style import unit
from astromodal.tokenizers.scalar import ScalarTokenizer

IDEAL_BINS = 0.25
"""Median |decoded - true| in bin widths where values are uniform inside their bin."""
HALF_BIN = 0.5


_FAVOURITES = (
    "mag_pstotal_r", "err_mag_pstotal_r", "gaia_parallax", "gaia_teff_gspphot", "specz_z",
    "a_pixel_det", "vista_japermag6", "gaia_pmra",
)  # fmt: skip


def add_figures(
    part: Part,
    rows: list[dict[str, Any]],
    known: list[dict[str, Any]],
    coder: ScalarTokenizer,
    sample: ScalarSample,
    n_examples: int,
) -> None:
    """Add every figure.

    Parameters
    ----------
    part : Part
        Where to add them.
    rows, known : list of dict
        Numbers of every column, and of those that have values.
    coder, sample : ScalarTokenizer, ScalarSample
        What the residuals are made of.
    n_examples : int
        Columns whose residuals are drawn.
    """
    drawn = draw_errors(known, HALF_BIN, IDEAL_BINS)
    part.figure(
        drawn, "scalar_errors",
        "Decoding error of each scalar column: in widths of the value's own bin (left; dot: "
        "median, line: to the 90th percentile), and its median relative to the column's "
        "spread (right).",
        "Left: every dot should lie left of the dashed line at half a bin; dots near the "
        "dotted line are as good as a code of this many bins can be. Right: how small a "
        "change of the value that is.",
        _error_table(rows),
    )  # fmt: skip
    chosen = _examples(known, n_examples)
    values = [_pairs(coder, sample, name) for name in chosen]
    part.figure(
        draw_residuals(values), "scalar_residuals",
        f"Decoded minus measured value against the measured value, for {len(chosen)} of the "
        "columns; the shaded band is each bin's own extent.",
        "Points should fill the band evenly and be centred on zero; a point outside the band "
        "is a value beyond everything seen in training, which the last bin takes in.",
        _residual_table(values),
    )  # fmt: skip


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
