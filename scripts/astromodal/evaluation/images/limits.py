"""Which is the limit of the decoded cutouts: noise, the autoencoder or the codebook."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from astromodal.evaluation.images.missing import HiddenBands
from astromodal.evaluation.images.sample import ImageSample, detected, noise_weights
from astromodal.evaluation.metrics import mean_error, median_error, pooled_r2_error
from astromodal.evaluation.report.style import BLUE, FAINT, INK, ORANGE, new_figure
from astromodal.evaluation.report.values import Measurement, Table

SHARES = ("noise", "autoencoder", "codebook")
_COLOURS = {"noise": FAINT, "autoencoder": ORANGE, "codebook": BLUE}
_HATCHES = {"noise": "", "autoencoder": "", "codebook": "////"}
_SURE = 2.0  # errors by which one loss must exceed the other to be called the limit


def limit_numbers(sample: ImageSample, bands: Sequence[str], seed: int) -> dict[str, Any]:
    """Split the unexplained variance 1 - R² from codes into what caused it.

    Noise is what an image without sky noise would leave (1 - ceiling), the autoencoder adds what
    latents leave beyond that (ceiling - latents; photon noise of bright sources included, since a
    cube does not tell the gain), the codebook what codes leave beyond latents (latents - codes). A
    loss is negative where the step helped by chance, or noise was kept.

    Returns
    -------
    dict
        ``pooled`` (sums over all cutouts, so that the brightest count most) and ``typical`` (mean
        over detected cutouts of each one's own shares), each by band and as ``all`` over all bands
        in units of their noise: ``n``, ``noise``, ``autoencoder``, ``codebook``, ``difference``
        (autoencoder - codebook) and ``limit``: the larger of the two where they differ by more than
        2 errors, else ``undecided``.
    """
    noise = sample.n_pixels * sample.noise**2
    steps = {
        "noise": noise,
        "autoencoder": sample.residual_latents - noise,
        "codebook": sample.residual_codes - sample.residual_latents,
        "difference": 2 * sample.residual_latents - noise - sample.residual_codes,
    }
    varies = sample.total > 0
    seen = np.stack([detected(sample, i) for i in range(len(bands))], axis=1)
    out: dict[str, Any] = {"pooled": {}, "typical": {}}
    for i, name in enumerate(bands):
        one = np.eye(len(bands))[i]
        out["pooled"][name] = _split(steps, sample.total, varies * one, False, seed)
        out["typical"][name] = _split(steps, sample.total, seen * one, True, seed)
    weights = noise_weights(sample)
    out["pooled"]["all"] = _split(steps, sample.total, varies * weights, False, seed)
    out["typical"]["all"] = _split(steps, sample.total, seen * weights, True, seed)
    return out


def _split(
    steps: dict[str, np.ndarray], total: np.ndarray, weight: np.ndarray, each: bool, seed: int
) -> dict[str, Any]:
    """Shares of the `total` (n, B) under a `weight` (n, B), together or mean of each cutout."""
    whole = (total * weight).sum(1)
    used = whole > 0
    numbers: dict[str, Any] = {"n": int(used.sum())}
    for name, step in steps.items():
        section = (step * weight).sum(1)[used]
        sums, counts = (
            (section / whole[used], np.ones(used.sum())) if each else (section, whole[used])
        )
        numbers[name] = Measurement(*mean_error(sums, counts, seed))
    difference = numbers["difference"]
    sure = abs(difference.value) > _SURE * difference.error
    larger = "autoencoder" if difference.value > 0 else "codebook"
    return {**numbers, "limit": larger if sure else "undecided"}


def sentence(limits: dict[str, Any], known: Sequence[str]) -> str:
    """Which is the limit, overall and by band, in words."""
    said = []
    for kind, what in (
        ("pooled", "All light together"),
        ("typical", "In the mean detected cutout"),
    ):
        whole = limits[kind]["all"]
        named = {
            limit: [name for name in known if limits[kind][name]["limit"] == limit]
            for limit in ("autoencoder", "codebook", "undecided")
        }
        by_band = "; ".join(
            f"{limit} in {' '.join(names)}" for limit, names in named.items() if names
        )
        overall = "undecided" if whole["limit"] == "undecided" else f"the {whole['limit']}"
        said.append(f"{what} the limit is {overall} (by band: {by_band}).")
    return " ".join(said)


def plot_limits(limits: dict[str, Any], known: Sequence[str]) -> Figure:
    """The three shares of the unexplained variance, stacked, by band and over all bands."""
    names = [*known, "all"]
    figure, axes = new_figure(2, 1, height=4.6, sharex=True)
    titles = {
        "pooled": "all light together: bright cutouts count most",
        "typical": "mean of each detected cutout's own shares",
    }
    x = np.arange(len(names)) + np.array([0.0] * len(known) + [0.6])
    for axis, (kind, title) in zip(axes[:, 0], titles.items(), strict=True):
        top, bottom = np.zeros(len(names)), np.zeros(len(names))
        for share in SHARES:
            value = np.nan_to_num([limits[kind][name][share].value for name in names])
            error = np.nan_to_num([limits[kind][name][share].error for name in names])
            base = np.where(value >= 0, top, bottom)
            axis.bar(
                x, value, 0.7, base, color=_COLOURS[share], hatch=_HATCHES[share], label=share,
                edgecolor="white", linewidth=0.4,
            )  # fmt: skip
            place = {"noise": -0.22, "autoencoder": 0.0, "codebook": 0.22}[share]
            axis.errorbar(x + place, base + value, error, fmt="none", ecolor=INK, elinewidth=0.9)
            top, bottom = top + np.maximum(value, 0), bottom + np.minimum(value, 0)
        axis.axhline(0, color=INK, linewidth=0.8)
        axis.set_title(title, loc="left", fontsize=8)
        axis.set_ylabel("unexplained, 1 - R²")
    axes[1, 0].set_xticks(x, names)
    axes[1, 0].set_xlabel("band")
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3,
        title="unexplained because of", title_fontsize=8,
    )  # fmt: skip
    return figure


def limit_table(limits: dict[str, Any], known: Sequence[str]) -> dict[str, Any]:
    """A row a band and a way of averaging."""
    heading = ["average", "band", "cutouts", "noise", "autoencoder", "codebook", "limit"]
    label = {"pooled": "all light together", "typical": "mean of each cutout's share"}
    rows = [
        [label[kind], name, n["n"], *(n[share] for share in SHARES), n["limit"]]
        for kind, by_band in limits.items()
        for name, n in by_band.items()
        if name in known or name == "all"
    ]
    return Table(heading, rows)


LITTLE = 0.01
"""Loss of R² in the other bands, with one missing, that still counts as decoding as well."""

_KEYS = {
    "loss": "all light together",
    "loss_object": "median cutout",
}


def hidden_numbers(
    sample: HiddenBands, bands: Sequence[str], weights: np.ndarray, seed: int
) -> dict[str, Any]:
    """What the bands that stay lose, and how well a hidden band is guessed.

    Parameters
    ----------
    sample : HiddenBands
        Sums of each cutout and pass.
    bands : sequence of str
        Bands in channel order.
    weights : (B,) float
        Weight of each band's sums: the inverse square of its noise.
    seed : int
        Seed of bootstrap errors.

    Returns
    -------
    dict
        ``n_objects``; ``by_number``: for each number of missing bands, as text, ``n`` (cutouts),
        ``loss`` (R² with all bands minus R² without the hidden ones, inside the mask of the bands
        that stay, all cutouts together, bands in units of their noise) and ``loss_object`` (median
        of each cutout's own); ``by_band``: the same for the one band that is missing, and the R² of
        that band itself, ``seen`` (encoded with it) and ``guessed`` (without it).
    """
    loss, whole = _losses(sample, weights)
    by_number = {}
    for k in np.unique(sample.n_hidden).tolist():
        several = sample.n_hidden == k
        by_number[str(k)] = _loss_numbers(loss[:, several].sum(1), whole[:, several].sum(1), seed)
    by_band = {}
    for i, name in enumerate(bands):
        here = sample.hidden[:, i, i] & (sample.total[:, i] > 0)
        total = sample.total[here, i]
        by_band[name] = {
            **_loss_numbers(loss[:, i], whole[:, i], seed),
            "seen": Measurement(*pooled_r2_error(sample.complete[here, i], total, seed)),
            "guessed": Measurement(*pooled_r2_error(sample.residual[here, i, i], total, seed)),
        }
    return {"n_objects": len(sample.total), "by_number": by_number, "by_band": by_band}


def _losses(sample: HiddenBands, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted squares that the bands that stay lose, and their total, (n, P) each.

    Both are 0 in a pass that hides nothing.
    """
    counts = sample.hidden.any(2, keepdims=True)
    stays = counts & ~sample.hidden & (sample.total[:, None] > 0)
    more = np.where(stays, sample.residual - sample.complete[:, None], 0.0)
    total = np.where(stays, sample.total[:, None], 0.0)
    return (more * weights).sum(2), (total * weights).sum(2)


def _loss_numbers(loss: np.ndarray, whole: np.ndarray, seed: int) -> dict[str, Any]:
    used = whole > 0
    loss, whole = loss[used], whole[used]
    return {
        "n": int(used.sum()),
        "loss": Measurement(*mean_error(loss, whole, seed)),
        "loss_object": Measurement(*median_error(loss / whole, seed)),
    }


def plot_hidden_bands(numbers: dict[str, Any], known: Sequence[str]) -> Figure:
    """Loss by number of missing bands, loss by missing band, and R² of the missing band."""
    figure, axes = new_figure(1, 3, height=3.2, width_ratios=(0.7, 1, 1))
    by_number, by_band = numbers["by_number"], numbers["by_band"]
    known = [name for name in known if by_band[name]["n"]]
    counts = [k for k in by_number if by_number[k]["n"]]
    x = np.array([int(k) for k in counts], dtype=float)
    rows = np.arange(len(known))[::-1]
    for j, (key, label) in enumerate(_KEYS.items()):
        style = {"fmt": "os"[j], "color": (BLUE, ORANGE)[j], "markersize": 4, "label": label}
        shift = 0.16 * (2 * j - 1)
        axes[0, 0].errorbar(x + shift / 2, *_values([by_number[k] for k in counts], key), **style)
        value, error = _values([by_band[name] for name in known], key)
        axes[0, 1].errorbar(value, rows - shift, xerr=error, **style)
    axes[0, 0].axhline(0, color=INK, linewidth=0.8)
    axes[0, 0].set(xlabel="bands missing", ylabel="R² lost in the others")
    axes[0, 0].set_xticks(x, counts)
    axes[0, 1].axvline(0, color=INK, linewidth=0.8)
    axes[0, 1].set(xlabel="R² lost in the others", ylabel="band missing")
    axes[0, 1].locator_params(axis="x", nbins=4)
    for j, (key, label) in enumerate((("seen", "band given"), ("guessed", "band missing"))):
        value, error = _values([by_band[name] for name in known], key)
        axes[0, 2].errorbar(
            np.maximum(value, -0.5), rows, xerr=error, fmt="^v"[j], color=(FAINT, BLUE)[j],
            markersize=5, label=label,
        )  # fmt: skip
    axes[0, 2].set(xlabel="R² of that band itself")
    for axis in axes[0, 1:]:
        axis.set_yticks(rows, known)
    axes[0, 2].legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), fontsize=7)
    axes[0, 1].legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), fontsize=7)
    return figure


def _values(numbers: Sequence[dict[str, Any]], key: str) -> tuple[np.ndarray, np.ndarray]:
    value = np.array([n[key].value for n in numbers], dtype=float)
    return value, np.nan_to_num(np.array([n[key].error for n in numbers], dtype=float))


def hidden_table(numbers: dict[str, Any], known: Sequence[str]) -> dict[str, Any]:
    """A row a number of missing bands, then a row a missing band."""
    heading = [
        "missing", "cutouts", "R² lost in the other bands", "the same, median cutout",
        "R² of the missing band, where given", "the same, where missing",
    ]  # fmt: skip
    rows = [
        [f"{k} band" + "s" * (k != "1"), n["n"], n["loss"], n["loss_object"], None, None]
        for k, n in numbers["by_number"].items()
    ]
    for name in known:
        n = numbers["by_band"][name]
        rows.append([name, n["n"], n["loss"], n["loss_object"], n["seen"], n["guessed"]])
    return Table(heading, rows)
