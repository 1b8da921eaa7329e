"""How evenly a codebook's codes are used: numbers, a figure and a table of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from scipy.special import entr

from astromodal.core.vocab import MISSING_CODE
from astromodal.evaluation.report.style import new_figure
from astromodal.evaluation.report.values import Row, Table


@dataclass(frozen=True)
class CodebookUse:
    """How often the codes of a codebook occur.

    Attributes
    ----------
    size : int
        Centroids of the codebook.
    tokens : int
        Codes that were counted.
    used, dead : int
        Centroids whose code occurs, and centroids whose code does not.
    dead_expected : int
        Dead centroids that are expected if all codes are equally likely.
    perplexity : float
        Number of equally frequent codes that have the same entropy.
    bits : float
        Entropy of the frequencies of the codes (bits per code). An ideal coder that knows these
        frequencies needs this many bits; a code as a plain number takes log2(size).
    """

    size: int
    tokens: int
    used: int
    dead: int
    dead_expected: int
    perplexity: float
    bits: float

    @classmethod
    def of(cls, counts: np.ndarray) -> CodebookUse:
        """Compute the numbers from how often each code occurs, int (K,)."""
        size, tokens = len(counts), int(counts.sum())
        dead = int((counts == 0).sum())
        effective = perplexity(counts)
        return cls(
            size=size,
            tokens=tokens,
            used=size - dead,
            dead=dead,
            dead_expected=round(size * (1 - 1 / size) ** tokens) if size else 0,
            perplexity=effective,
            bits=float(np.log2(effective)) if effective else 0.0,
        )


def perplexity(counts: np.ndarray) -> float:
    """Return exp of the entropy of frequencies `counts` (K,); 0 where nothing was counted."""
    total = np.sum(counts)
    return float(np.exp(entr(counts / total).sum())) if total > 0 else 0.0


def count_codes(codes: np.ndarray, size: int) -> np.ndarray:
    """Count how often each of `size` codes occurs, int64 (size,); missing codes do not count."""
    known = codes[codes != MISSING_CODE]
    return np.bincount(known.ravel(), minlength=size)[:size].astype(np.int64)


def plot_codebooks(counts: Mapping[str, np.ndarray], colours: Mapping[str, str]) -> Figure:
    """Plot the share of all tokens that the most frequent codes of each codebook take."""
    figure, axes = new_figure(height=2.9)
    axis = axes[0, 0]
    for name, count in counts.items():
        share = np.cumsum(np.sort(count)[::-1]) / count.sum()
        axis.plot(np.arange(1, len(count) + 1), share, color=colours[name], label=name)
    axis.set(
        xlabel="codes, most frequent first", ylabel="share of all tokens", xscale="log",
        ylim=(0, 1.02),
    )  # fmt: skip
    axis.legend()
    return figure


def codebook_table(codebooks: Mapping[str, CodebookUse]) -> Table:
    """Return a table with one row per codebook."""
    heading = [
        "codebook", "centroids", "tokens evaluated", "codes used", "dead codes",
        "dead if all were equally likely", "perplexity (codes)", "entropy (bits per code)",
    ]  # fmt: skip
    rows: list[Row] = [
        [name, c.size, c.tokens, c.used, c.dead, c.dead_expected, c.perplexity, c.bits]
        for name, c in codebooks.items()
    ]
    return Table(heading, rows)
