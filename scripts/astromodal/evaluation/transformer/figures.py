"""Figures of the transformer's likelihoods."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from astromodal.config.schema import Config
from astromodal.evaluation.metrics import LN2
from astromodal.evaluation.report.section import Part, measured, table
from astromodal.evaluation.report.style import BLUE, FAINT, INK, ORANGE, new_figure
from astromodal.evaluation.spectra.figures import colour
from astromodal.sequences.layout import IMAGE, MODALITIES, SCALAR, SequenceLayout
from astromodal.surveys.registry import (
    by_family,
    grid_group,
    light_curves,
    spectra,
    spectrum_group,
)
from astromodal.training.history import series


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
    families = by_family(slots)
    figure, axes = new_figure(len(families), 1, height=0.4 + 2.1 * len(families))
    for axis, groups in zip(axes[:, 0], families.values(), strict=True):
        for group in groups:
            gain = slots[group]
            axis.plot(waves[group], gain, ".", color=colour(group), markersize=2, alpha=0.5)
            axis.plot(*running_mean(waves[group], gain), color=colour(group), label=group)
        axis.axhline(0, color=INK, linestyle="--", linewidth=0.9)
        axis.set(xlabel=spectrum_group(groups[0]).axis.label, ylabel="gain (bits a code)")
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


def add_figures(
    part: Part,
    config: Config,
    layout: SequenceLayout,
    losses: dict[str, list[dict[str, Any]]],
) -> None:
    """Add every figure that `part`'s numbers allow.

    Parameters
    ----------
    part : Part
        With ``modalities`` and ``slots`` among its numbers.
    config, layout : Config, SequenceLayout
        What the model was trained with.
    losses : dict of str to list of dict
        The history.
    """
    modalities, slots = part.numbers["modalities"], part.numbers["slots"]
    if any(n["n_codes"] for n in modalities.values()):
        part.figure(
            draw_nll(modalities), "surprise",
            "Surprise a code of unseen objects, by modality: model and unigram baseline (left), "
            "and their difference (right), with bootstrap errors over objects.",
            "The gain must lie above zero, by more than its error: below, counting does better. "
            "Scalars include the spectra's flux scales.",
            _modality_table(modalities),
        )  # fmt: skip
    part.figure(
        draw_history(losses), "history",
        "Surprise in training and on the validation split of the training fields, against the "
        "step.",
        "Validation should end below the dashed baseline. Where it turns up while training still "
        "falls, the model learns its training objects by heart.",
        history_table(losses),
    )  # fmt: skip
    _add_scalar_slots(part, config)
    known = {name: s["gain"] for name, s in slots.items() if np.isfinite(s["gain"]).any()}
    if IMAGE in known:
        _add_image_slots(part, known[IMAGE])
    every = {b.name: known[b.name] for b in layout.groups() if b.name in known}
    groups = {name: every[name] for name in spectra(every)}
    if groups:
        waves = {name: grid_group(name).bin_centres(config.tokenizers.spectrum) for name in groups}
        _add_spectrum_slots(part, groups, waves)
    curves = {name: every[name] for name in light_curves(every)}
    if curves:
        _add_epoch_slots(part, curves)


def _add_scalar_slots(part: Part, config: Config) -> None:
    slots = part.numbers["slots"]
    if SCALAR not in slots:
        return
    scales = {key: n for key, n in slots.items() if key.endswith("_scale")}
    names = [*config.tokenizers.scalar.columns, *scales]
    joined = {
        key: np.concatenate([slots[SCALAR][key], *(n[key] for n in scales.values())])
        for key in ("n", "gain", "error", "model", "unigram")
    }
    known = np.flatnonzero(joined["n"] > 0)
    part.figure(
        draw_columns([names[i] for i in known], joined["gain"][known], joined["error"][known]),
        "slots_scalar",
        "Gain over the unigram in every scalar slot, the spectra's flux scales last, with "
        "bootstrap errors.",
        "Columns that follow from others (a magnitude from its neighbours) gain most; a column "
        "right of the dashed line is predicted better than by its frequency.",
        table(
            ["column", "values", "gain (bits)", "model (bits)", "unigram (bits)"],
            [[names[i], int(joined["n"][i]), measured(joined["gain"][i], joined["error"][i]),
              joined["model"][i], joined["unigram"][i]] for i in known],
        ),
    )  # fmt: skip


def _add_image_slots(part: Part, gain: np.ndarray) -> None:
    rings = ring_means(gain)
    part.figure(
        draw_image_slots(gain, rings), "slots_image",
        "Gain over the unigram in every slot of the image block: laid out as the cutout "
        "(left), and means of rings around its middle (right).",
        "The unigram already knows that the middle is bright; gain in the middle is "
        "knowledge of this source, gain outside is knowledge of this sky.",
        table(["distance from the middle (patches)", "slots", "mean gain (bits)"], rings),
    )  # fmt: skip


def _add_spectrum_slots(
    part: Part, groups: dict[str, np.ndarray], waves: dict[str, np.ndarray]
) -> None:
    part.figure(
        draw_spectrum_slots(groups, waves), "slots_spectrum",
        "Gain over the unigram along the wavelength; dots: bins, line: means of 16 bins.",
        "Once a spectrum has begun, its continuum and noise level are known, so gain should "
        "be high throughout; it starts low where nothing of it has been seen yet.",
        _wave_table(groups, waves),
    )  # fmt: skip


def _add_epoch_slots(part: Part, curves: dict[str, np.ndarray]) -> None:
    rows = []
    for name, gain in curves.items():
        epochs, means = running_mean(np.arange(1.0, 1 + len(gain)), gain)
        rows += [[name, float(e), float(m)] for e, m in zip(epochs, means, strict=True)]
    part.figure(
        draw_epoch_slots(curves), "slots_light_curve",
        "Gain over the unigram along light curves; dots: epochs, line: means of 16 epochs.",
        "Once a curve has begun, how bright the source is and how much it varies are known.",
        table(["group", "epoch", "mean gain (bits)"], rows),
    )  # fmt: skip


def _modality_table(modalities: dict[str, Any]) -> dict[str, Any]:
    heading = [
        "modality", "objects", "codes", "model (bits)", "unigram (bits)", "gain (bits)",
        "model (nats)",
        "unigram (nats)", "gain (nats)", "objects that gain (%)",
        "model, nothing seen before (bits)",
        "model, after other blocks (bits)",
    ]  # fmt: skip
    rows: list[list[Any]] = []
    for name, n in modalities.items():
        if not n["n_codes"]:
            rows.append([name, 0, 0, *[None] * 9])
            continue
        cells = [
            n[f"{way}{unit}"] for unit in ("_bits", "") for way in ("model", "unigram", "gain")
        ]
        rows.append([name, n["n_objects"], n["n_codes"], *cells, 100 * n["better"], n.get("first"),
                     n.get("after_others")])  # fmt: skip
    return table(heading, rows)


def ring_means(gain: np.ndarray) -> list[list[Any]]:
    """Distance in words, slots, and mean gain of rings around the middle of the image block."""
    side = round(np.sqrt(len(gain)))
    offset = np.arange(side) - (side - 1) / 2
    radius = np.hypot(*np.meshgrid(offset, offset)).ravel()
    edges = [0.0, 2.0, 4.0, 8.0, np.inf]
    rows: list[list[Any]] = []
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        inside = gain[(radius >= low) & (radius < high) & np.isfinite(gain)]
        if len(inside):
            text = f"{low:g} to {high:g}" if np.isfinite(high) else f"over {low:g}"
            rows.append([text, len(inside), float(inside.mean())])
    return rows


def _wave_table(groups: dict[str, np.ndarray], waves: dict[str, np.ndarray]) -> dict[str, Any]:
    rows = []
    for name, gain in groups.items():
        centres, means = running_mean(waves[name], gain, max(16, -(-len(gain) // 8)))
        rows += [[name, float(c), float(m)] for c, m in zip(centres, means, strict=True)]
    axes = " or ".join(dict.fromkeys(spectrum_group(name).axis.label for name in groups))
    return table(["group", axes, "mean gain (bits)"], rows)


def draw_history(history: dict[str, list[dict[str, Any]]]) -> Figure:
    """Surprise against the step, a panel a modality: training, validation, and the unigram."""
    figure, axes = new_figure(1, len(MODALITIES), height=2.7)
    for axis, modality in zip(axes[0], MODALITIES, strict=True):
        key = f"cross_entropy_{modality}"
        steps, values = series(history["train"], key)
        axis.plot(
            steps, values / LN2, ".-", color=BLUE, markersize=2, label="training", linewidth=1
        )
        steps, values = series(history["validation"], key)
        axis.plot(steps, values / LN2, "o-", color=ORANGE, markersize=3, label="validation")
        baseline = series(history["validation"], f"unigram_{modality}")[1]
        if baseline.size:
            axis.axhline(
                baseline[-1] / LN2, color=FAINT, linestyle="--", label="unigram on validation"
            )
        axis.set_title(modality)
        axis.set_xlabel("step")
        axis.locator_params(axis="x", nbins=4)
        if not steps.size:
            axis.text(0.5, 0.5, "no codes", ha="center", transform=axis.transAxes, color=FAINT)
            axis.set(xticks=[], yticks=[])
    axes[0, 0].set_ylabel("surprise (bits a code)")
    drawn = (dict(zip(*a.get_legend_handles_labels()[::-1], strict=True)) for a in axes[0])
    legend = max(drawn, key=len)
    figure.legend(legend.values(), legend.keys(), loc="outside upper center", ncols=3)
    return figure


def history_table(history: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Surprise at the first, best and last validation, and at the end of training (bits a code)."""
    heading = [
        "modality", "validations", "first validation (bits)", "best validation (bits)",
        "at step", "last validation (bits)", "unigram on validation (bits)", "last training (bits)",
    ]  # fmt: skip
    rows: list[list[Any]] = []
    for modality in MODALITIES:
        steps, values = series(history["validation"], f"cross_entropy_{modality}")
        training = series(history["train"], f"cross_entropy_{modality}")[1] / LN2
        baseline = series(history["validation"], f"unigram_{modality}")[1] / LN2
        cells: list[Any] = [None] * 4
        if values.size:
            bits, best = values / LN2, int(values.argmin())
            cells = [bits[0], bits[best], int(steps[best]), bits[-1]]
        last = [float(a[-1]) if a.size else None for a in (baseline, training)]
        rows.append([modality, len(values), *cells, *last])
    return table(heading, rows)
