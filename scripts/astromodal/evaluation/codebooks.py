"""How evenly a codebook is used."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from astromodal.core.vocab import MISSING_CODE
from astromodal.evaluation.metrics import perplexity
from astromodal.evaluation.parts import table
from astromodal.evaluation.style import new_figure


def count_codes(codes: np.ndarray, size: int) -> np.ndarray:
    """How often each of `size` codes occurs, int64 (size,); missing codes do not count."""
    known = codes[codes != MISSING_CODE]
    return np.bincount(known.ravel(), minlength=size)[:size].astype(np.int64)


def codebook_numbers(counts: np.ndarray) -> dict[str, Any]:
    """Size, tokens, dead codes, perplexity and bits of a codebook from its codes' `counts` (K,).

    `bits` is the entropy of the codes' frequencies: what a code takes in an ideal coder that knows
    them and nothing else; an id of K takes log2 K.
    """
    size, tokens = len(counts), int(counts.sum())
    dead = int((counts == 0).sum())
    evenly = perplexity(counts)
    return {
        "size": size,
        "tokens": tokens,
        "used": size - dead,
        "dead": dead,
        "dead_expected": round(size * (1 - 1 / size) ** tokens) if size else 0,
        "perplexity": evenly,
        "bits": float(np.log2(evenly)) if evenly else 0.0,
    }


def draw_codebooks(counts: dict[str, np.ndarray], colours: dict[str, str]) -> Figure:
    """Share of the tokens that each codebook's most used codes take, cumulated."""
    figure, axes = new_figure(height=2.9)
    axis = axes[0, 0]
    for name, count in counts.items():
        share = np.cumsum(np.sort(count)[::-1]) / count.sum()
        axis.plot(np.arange(1, len(count) + 1), share, color=colours[name], label=name)
    axis.set(
        xlabel="codes, most used first", ylabel="share of all tokens", xscale="log", ylim=(0, 1.02)
    )
    axis.legend()
    return figure


def codebook_table(numbers: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """A row a codebook."""
    heading = [
        "codebook", "centroids", "tokens evaluated", "codes used", "dead codes",
        "dead if all were equally likely", "perplexity (codes)", "entropy (bits a code)",
    ]  # fmt: skip
    keys = ("size", "tokens", "used", "dead", "dead_expected", "perplexity", "bits")
    return table(heading, [[name, *(n[key] for key in keys)] for name, n in numbers.items()])
