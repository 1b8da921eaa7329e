"""Figures of the transformer's likelihoods."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from astromodal.evaluation.spectrum_figures import colour
from astromodal.evaluation.style import BLUE, FAINT, INK, WAVE_LABELS, new_figure


def draw_nll(modalities: dict[str, Any]) -> Figure:
    """Bits a code of model and baseline by modality, and their difference."""
    known = [name for name, n in modalities.items() if n["n_codes"]]
    figure, axes = new_figure(1, 2, height=2.9)
    left, right = axes[0]
    x = np.arange(len(known))
    for way, tint, marker, shift in (("unigram", FAINT, "s", -0.1), ("model", BLUE, "o", 0.1)):
        value, error = _column(modalities, known, f"{way}_bits")
        left.errorbar(x + shift, value, error, fmt=marker, color=tint, markersize=5, label=way)
    left.set(ylabel="surprise (bits a code)", ylim=(0, 1.1 * left.get_ylim()[1]))
    left.legend(loc="lower left")
    value, error = _column(modalities, known, "gain_bits")
    right.errorbar(x, value, error, fmt="o", color=BLUE, markersize=5)
    right.axhline(0, color=INK, linestyle="--", linewidth=0.9)
    right.set_ylabel("gain over the unigram (bits a code)")
    for axis in (left, right):
        axis.set_xticks(x, known)
        axis.set_xlim(-0.6, len(known) - 0.4)
    return figure


def _column(
    modalities: dict[str, Any], known: list[str], key: str
) -> tuple[np.ndarray, np.ndarray]:
    cells = [modalities[name][key] for name in known]
    return np.array([c["value"] for c in cells]), np.nan_to_num([c["error"] for c in cells])


def draw_columns(names: list[str], gain: np.ndarray, error: np.ndarray) -> Figure:
    """Gain in every scalar slot, with bootstrap errors, a row a column."""
    figure, axes = new_figure(height=1.0 + 0.16 * len(names))
    axis = axes[0, 0]
    y = np.arange(len(names))[::-1]
    axis.errorbar(
        gain, y, xerr=np.nan_to_num(error), fmt="o", color=BLUE, markersize=3, linewidth=1
    )
    axis.axvline(0, color=INK, linestyle="--", linewidth=0.9)
    axis.set_yticks(y, names, fontsize=6.5)
    axis.set_ylim(-1, len(names))
    axis.set_xlabel("gain over the unigram (bits a code)")
    return figure


def draw_image_slots(gain: np.ndarray, rings: list[list[Any]]) -> Figure:
    """Gain in every slot of the image block: the cutout's map, and means of rings.

    Parameters
    ----------
    gain : (slots,) float
        Bits a code; slots run row by row.
    rings : list of [str, int, float]
        Distance from the middle, slots, mean gain.
    """
    side = round(np.sqrt(len(gain)))
    figure, axes = new_figure(1, 2, height=2.9, width_ratios=(1.25, 1))
    left, right = axes[0]
    reach = max(float(np.abs(gain[np.isfinite(gain)]).max(initial=0.0)), 1e-6)
    shaped = gain.reshape(side, -1)
    drawn = left.imshow(shaped, origin="lower", cmap="PuOr_r", vmin=-reach, vmax=reach)
    left.grid(visible=False)
    left.set(xlabel="patch along x (4 pixels)", ylabel="patch along y (4 pixels)")
    figure.colorbar(drawn, ax=left, label="gain (bits a code)")
    right.plot(range(len(rings)), [ring[2] for ring in rings], "o", color=BLUE)
    right.axhline(0, color=INK, linestyle="--", linewidth=0.9)
    right.set_xticks(range(len(rings)), [ring[0] for ring in rings])
    right.set_xlim(-0.5, len(rings) - 0.5)
    right.set(xlabel="distance from the middle (patches)", ylabel="mean gain (bits a code)")
    return figure


def draw_spectrum_slots(slots: dict[str, np.ndarray], waves: dict[str, np.ndarray]) -> Figure:
    """Gain along the wavelength of every spectrum group that has any, smoothed over 16 bins."""
    families = [f for f in ("desi", "gaiaxp") if any(g.startswith(f) for g in slots)]
    figure, axes = new_figure(len(families), 1, height=0.4 + 2.1 * len(families))
    for axis, family in zip(axes[:, 0], families, strict=True):
        for group, gain in slots.items():
            if group.startswith(family):
                axis.plot(waves[group], gain, ".", color=colour(group), markersize=2, alpha=0.5)
                axis.plot(*running_mean(waves[group], gain), color=colour(group), label=group)
        axis.axhline(0, color=INK, linestyle="--", linewidth=0.9)
        axis.set(xlabel=WAVE_LABELS[family], ylabel="gain (bits a code)")
        axis.legend(ncols=3)
    return figure


def draw_epoch_slots(curves: dict[str, np.ndarray]) -> Figure:
    """Gain along the epochs of every light-curve group that has any, smoothed over 16 epochs."""
    figure, axes = new_figure(height=2.5)
    axis = axes[0, 0]
    for group, gain in curves.items():
        epoch = np.arange(1.0, 1 + len(gain))
        axis.plot(epoch, gain, ".", color=colour(group), markersize=2, alpha=0.5)
        axis.plot(*running_mean(epoch, gain), color=colour(group), label=group)
    axis.axhline(0, color=INK, linestyle="--", linewidth=0.9)
    axis.set(xlabel="epoch", ylabel="gain (bits a code)")
    axis.legend(ncols=3)
    return figure


def running_mean(x: np.ndarray, y: np.ndarray, width: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Means of `x` and of the finite `y` over stretches of about `width` values."""
    n = max(1, len(x) // width)
    which = np.arange(len(x)) * n // len(x)
    good = np.isfinite(y)
    count = np.bincount(which[good], minlength=n)
    total = np.bincount(which[good], weights=y[good], minlength=n)
    mean = np.divide(total, count, out=np.full(n, np.nan), where=count > 0)
    return np.bincount(which, weights=x) / np.bincount(which), mean
