"""Which is the limit of the decoded cutouts: noise, the autoencoder or the codebook."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from astromodal.evaluation.image_sample import ImageSample, detected, noise_weights
from astromodal.evaluation.metrics import mean_error
from astromodal.evaluation.parts import measured, table
from astromodal.evaluation.style import BLUE, FAINT, INK, ORANGE, new_figure

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
        part = (step * weight).sum(1)[used]
        sums, counts = (part / whole[used], np.ones(used.sum())) if each else (part, whole[used])
        numbers[name] = measured(*mean_error(sums, counts, seed))
    difference = numbers["difference"]
    sure = abs(difference["value"]) > _SURE * difference["error"]
    larger = "autoencoder" if difference["value"] > 0 else "codebook"
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


def draw_limits(limits: dict[str, Any], known: Sequence[str]) -> Figure:
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
            value = np.nan_to_num([limits[kind][name][share]["value"] for name in names])
            error = np.nan_to_num([limits[kind][name][share]["error"] for name in names])
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
    return table(heading, rows)
