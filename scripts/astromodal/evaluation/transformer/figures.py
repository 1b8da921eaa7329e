"""Figures of the section on the transformer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from astromodal.config.schema import Config
from astromodal.evaluation.metrics import LN2, bin_label
from astromodal.evaluation.report.section import Measurement, Row, Section, Table
from astromodal.evaluation.report.style import BLUE, FAINT, INK, ORANGE, new_figure
from astromodal.evaluation.spectra.figures import colour
from astromodal.evaluation.transformer.measures import (
    BRIGHTNESS,
    ModalityNumbers,
    SlotNumbers,
    TransformerNumbers,
)
from astromodal.sequences.layout import IMAGE, MODALITIES, SCALAR, SequenceLayout
from astromodal.surveys.registry import by_family, grid_group, light_curves, spectra
from astromodal.training.history import series

History = Mapping[str, list[dict[str, Any]]]
"""Entries of a history by split, as its file holds them."""


def plot_nll(modalities: Mapping[str, ModalityNumbers]) -> Figure:
    """Plot the NLL of model and baseline by modality, and their difference (bits per code)."""
    known = {name: n for name, n in modalities.items() if n.n_codes}
    figure, axes = new_figure(1, 2, height=2.9)
    left, right = axes[0]
    x = np.arange(len(known))
    unigram = [n.unigram_bits for n in known.values()]
    model = [n.model_bits for n in known.values()]
    for label, cells, tint, marker, shift in (
        ("unigram", unigram, FAINT, "s", -0.1), ("model", model, BLUE, "o", 0.1),
    ):  # fmt: skip
        value, error = _values(cells)
        left.errorbar(x + shift, value, error, fmt=marker, color=tint, markersize=5, label=label)
    left.set(ylabel="NLL (bits per code)", ylim=(0, 1.1 * left.get_ylim()[1]))
    left.legend(loc="lower left")
    value, error = _values([n.gain_bits for n in known.values()])
    right.errorbar(x, value, error, fmt="o", color=BLUE, markersize=5)
    right.axhline(0, color=INK, linestyle="--", linewidth=0.9)
    right.set_ylabel("gain over the unigram (bits per code)")
    for axis in (left, right):
        axis.set_xticks(x, list(known))
        axis.set_xlim(-0.6, len(known) - 0.4)
    return figure


def _values(cells: Sequence[Measurement | None]) -> tuple[np.ndarray, np.ndarray]:
    """Return values and errors of measurements; an unknown error is 0."""
    known = [cell for cell in cells if cell is not None]
    return np.array([c.value for c in known]), np.nan_to_num([c.error for c in known])


def plot_columns(names: list[str], gain: np.ndarray, error: np.ndarray) -> Figure:
    """Plot the gain in every scalar slot, with bootstrap errors, one row per column."""
    figure, axes = new_figure(height=1.0 + 0.16 * len(names))
    axis = axes[0, 0]
    y = np.arange(len(names))[::-1]
    axis.errorbar(
        gain, y, xerr=np.nan_to_num(error), fmt="o", color=BLUE, markersize=3, linewidth=1
    )
    axis.axvline(0, color=INK, linestyle="--", linewidth=0.9)
    axis.set_yticks(y, names, fontsize=6.5)
    axis.set_ylim(-1, len(names))
    axis.set_xlabel("gain over the unigram (bits per code)")
    return figure


def plot_image_slots(gain: np.ndarray, rings: Sequence[Row]) -> Figure:
    """Plot the gain in every slot of the image block: a map of the cutout, and means of rings.

    Parameters
    ----------
    gain : (slots,) float
        Bits per code; slots run row by row.
    rings : sequence of [str, int, float]
        Distance from the middle, number of slots, mean gain.
    """
    side = round(np.sqrt(len(gain)))
    figure, axes = new_figure(1, 2, height=2.9, width_ratios=(1.25, 1))
    left, right = axes[0]
    reach = max(float(np.abs(gain[np.isfinite(gain)]).max(initial=0.0)), 1e-6)
    shaped = gain.reshape(side, -1)
    image = left.imshow(shaped, origin="lower", cmap="PuOr_r", vmin=-reach, vmax=reach)
    left.grid(visible=False)
    left.set(xlabel="patch along x (4 pixels)", ylabel="patch along y (4 pixels)")
    figure.colorbar(image, ax=left, label="gain (bits per code)")
    right.plot(range(len(rings)), [ring[2] for ring in rings], "o", color=BLUE)
    right.axhline(0, color=INK, linestyle="--", linewidth=0.9)
    right.set_xticks(range(len(rings)), [ring[0] for ring in rings])
    right.set_xlim(-0.5, len(rings) - 0.5)
    right.set(xlabel="distance from the middle (patches)", ylabel="mean gain (bits per code)")
    return figure


def plot_spectrum_slots(slots: Mapping[str, np.ndarray], waves: Mapping[str, np.ndarray]) -> Figure:
    """Plot the gain along the slots of every spectrum group, and means of 16 slots."""
    families = by_family(slots)
    figure, axes = new_figure(len(families), 1, height=0.4 + 2.1 * len(families))
    for axis, groups in zip(axes[:, 0], families.values(), strict=True):
        for group in groups:
            wave, gain, tint = waves[group], slots[group], colour(group)
            axis.plot(wave, gain, ".", color=tint, markersize=2, alpha=0.5)
            axis.plot(*running_mean(wave, gain), color=tint, label=group)
        axis.axhline(0, color=INK, linestyle="--", linewidth=0.9)
        axis.set(xlabel=grid_group(groups[0]).slot_axis.label, ylabel="gain (bits per code)")
        axis.legend(ncols=3)
    return figure


def plot_epoch_slots(curves: Mapping[str, np.ndarray]) -> Figure:
    """Plot the gain along the epochs of every light-curve group, and means of 16 epochs."""
    figure, axes = new_figure(height=2.5)
    axis = axes[0, 0]
    for group, gain in curves.items():
        epoch = np.arange(1.0, 1 + len(gain))
        axis.plot(epoch, gain, ".", color=colour(group), markersize=2, alpha=0.5)
        axis.plot(*running_mean(epoch, gain), color=colour(group), label=group)
    axis.axhline(0, color=INK, linestyle="--", linewidth=0.9)
    axis.set(xlabel="epoch", ylabel="gain (bits per code)")
    axis.legend(ncols=3)
    return figure


def running_mean(x: np.ndarray, y: np.ndarray, width: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Return means of `x` and of the finite `y` over stretches of about `width` values."""
    n = max(1, len(x) // width)
    which = np.arange(len(x)) * n // len(x)
    good = np.isfinite(y)
    count = np.bincount(which[good], minlength=n)
    total = np.bincount(which[good], weights=y[good], minlength=n)
    mean = np.divide(total, count, out=np.full(n, np.nan), where=count > 0)
    return np.bincount(which, weights=x) / np.bincount(which), mean


def add_figures(
    section: Section,
    numbers: TransformerNumbers,
    config: Config,
    layout: SequenceLayout,
    losses: History,
) -> None:
    """Add every figure that the numbers allow.

    Parameters
    ----------
    section : Section
        The section.
    numbers : TransformerNumbers
        Its numbers.
    config, layout : Config, SequenceLayout
        Settings and layout that the model was trained with.
    losses : mapping of str to list of dict
        The history of the training.
    """
    if any(n.n_codes for n in numbers.modalities.values()):
        section.add_figure(
            plot_nll(numbers.modalities), "nll",
            "NLL per code of held-out objects, by modality: model and unigram baseline (left), "
            "and their difference (right), with bootstrap errors over objects.",
            "The gain should lie above zero by more than its error; below zero, the frequencies "
            "of codes predict better than the model. Scalars include the brightness of "
            "cutouts and the flux scales of spectra.",
            _modality_table(numbers.modalities),
        )  # fmt: skip
    section.add_figure(
        plot_history(losses), "history",
        "NLL in training and on the validation split of the training fields, against the step.",
        "Validation should end below the dashed baseline. Where it rises while training still "
        "falls, the model overfits its training objects.",
        history_table(losses),
    )  # fmt: skip
    _add_scalar_slots(section, numbers.slots, config)
    known = {name: s.gain for name, s in numbers.slots.items() if np.isfinite(s.gain).any()}
    if IMAGE in known:
        _add_image_slots(section, known[IMAGE])
    every = {b.name: known[b.name] for b in layout.groups() if b.name in known}
    groups = {name: every[name] for name in spectra(every)}
    if groups:
        settings = config.tokenizers.spectrum
        points = {name: grid_group(name).slot_points(settings) for name in groups}
        placed = {name: np.isfinite(own) for name, own in points.items()}  # levels have none
        waves = {name: own[placed[name]] for name, own in points.items()}
        _add_spectrum_slots(section, {n: gain[placed[n]] for n, gain in groups.items()}, waves)
    curves = {name: every[name] for name in light_curves(every)}
    if curves:
        _add_epoch_slots(section, curves)


def _add_scalar_slots(section: Section, slots: Mapping[str, SlotNumbers], config: Config) -> None:
    if SCALAR not in slots:
        return
    scales = {key: each for key, each in slots.items() if key.endswith("_scale")}
    names, parts = [*config.tokenizers.scalar.columns], [slots[SCALAR]]
    if BRIGHTNESS in slots:
        names += config.tokenizers.image.brightness_columns
        parts.append(slots[BRIGHTNESS])
    names += scales
    n, gain, error, model, unigram = (
        np.concatenate([getattr(each, key) for each in (*parts, *scales.values())])
        for key in ("n", "gain", "error", "model", "unigram")
    )
    known = np.flatnonzero(n > 0)
    section.add_figure(
        plot_columns([names[i] for i in known], gain[known], error[known]),
        "slots_scalar",
        "Gain over the unigram baseline in every scalar slot, with bootstrap errors. The "
        "brightness of cutouts and the flux scales of spectra come last.",
        "Columns that follow from others (a magnitude from those of other bands) gain most. A "
        "column right of the dashed line is predicted better than by its frequencies.",
        Table(
            ["column", "values", "gain (bits)", "model (bits)", "unigram (bits)"],
            [[names[i], int(n[i]), Measurement(gain[i], error[i]), model[i], unigram[i]]
             for i in known],
        ),
    )  # fmt: skip


def _add_image_slots(section: Section, gain: np.ndarray) -> None:
    rings = ring_means(gain)
    section.add_figure(
        plot_image_slots(gain, rings), "slots_image",
        "Gain over the unigram in every slot of the image block: laid out as the cutout "
        "(left), and means of rings around its middle (right).",
        "The unigram baseline already has a bright middle. Gain in the middle comes from this "
        "source, gain outside from its surroundings.",
        Table(["distance from the middle (patches)", "slots", "mean gain (bits)"], rings),
    )  # fmt: skip


def _add_spectrum_slots(
    section: Section, groups: Mapping[str, np.ndarray], waves: Mapping[str, np.ndarray]
) -> None:
    section.add_figure(
        plot_spectrum_slots(groups, waves), "slots_spectrum",
        "Gain over the unigram along spectra; dots: bins or coefficients, line: means of 16.",
        "After the first bins the continuum and the noise level are known, so the gain should "
        "be high throughout. It starts low, where no bin of the spectrum has been seen.",
        _wave_table(groups, waves),
    )  # fmt: skip


def _add_epoch_slots(section: Section, curves: Mapping[str, np.ndarray]) -> None:
    rows: list[Row] = []
    for name, gain in curves.items():
        epochs, means = running_mean(np.arange(1.0, 1 + len(gain)), gain)
        rows += [[name, float(e), float(m)] for e, m in zip(epochs, means, strict=True)]
    section.add_figure(
        plot_epoch_slots(curves), "slots_light_curve",
        "Gain over the unigram along light curves; dots: epochs, line: means of 16 epochs.",
        "After the first epochs, the brightness of the source and its scatter are known.",
        Table(["group", "epoch", "mean gain (bits)"], rows),
    )  # fmt: skip


def _modality_table(modalities: Mapping[str, ModalityNumbers]) -> Table:
    heading = [
        "modality", "objects", "codes", "model (bits)", "unigram (bits)", "gain (bits)",
        "model (nats)",
        "unigram (nats)", "gain (nats)", "objects that gain (%)",
        "model, before other modalities (bits)",
        "model, after other modalities (bits)",
    ]  # fmt: skip
    rows: list[Row] = [
        [name, n.n_objects, n.n_codes, n.model_bits, n.unigram_bits, n.gain_bits, n.model,
         n.unigram, n.gain, None if n.better is None else 100 * n.better, n.first, n.after_others]
        for name, n in modalities.items()
    ]  # fmt: skip
    return Table(heading, rows)


def ring_means(gain: np.ndarray) -> list[Row]:
    """Return distance, number of slots and mean gain of rings around the middle of the block."""
    side = round(np.sqrt(len(gain)))
    offset = np.arange(side) - (side - 1) / 2
    radius = np.hypot(*np.meshgrid(offset, offset)).ravel()
    edges = [0.0, 2.0, 4.0, 8.0, np.inf]
    rows: list[Row] = []
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        inside = gain[(radius >= low) & (radius < high) & np.isfinite(gain)]
        if len(inside):
            rows.append([bin_label(low, high), len(inside), float(inside.mean())])
    return rows


def _wave_table(groups: Mapping[str, np.ndarray], waves: Mapping[str, np.ndarray]) -> Table:
    rows: list[Row] = []
    for name, gain in groups.items():
        centres, means = running_mean(waves[name], gain, max(16, -(-len(gain) // 8)))
        rows += [[name, float(c), float(m)] for c, m in zip(centres, means, strict=True)]
    axes = " or ".join(dict.fromkeys(grid_group(name).slot_axis.label for name in groups))
    return Table(["group", axes, "mean gain (bits)"], rows)


def plot_history(history: History) -> Figure:
    """Plot the NLL of training, validation and baseline against the step, by modality."""
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
    axes[0, 0].set_ylabel("NLL (bits per code)")
    labelled = (dict(zip(*a.get_legend_handles_labels()[::-1], strict=True)) for a in axes[0])
    legend = max(labelled, key=len)
    figure.legend(legend.values(), legend.keys(), loc="outside upper center", ncols=3)
    return figure


def history_table(history: History) -> Table:
    """Return the NLL at the first, best and last validation and at the end of training."""
    heading = [
        "modality", "validations", "first validation (bits)", "best validation (bits)",
        "at step", "last validation (bits)", "unigram on validation (bits)", "last training (bits)",
    ]  # fmt: skip
    rows: list[Row] = []
    for modality in MODALITIES:
        steps, values = series(history["validation"], f"cross_entropy_{modality}")
        training = series(history["train"], f"cross_entropy_{modality}")[1] / LN2
        baseline = series(history["validation"], f"unigram_{modality}")[1] / LN2
        cells: Row = [None] * 4
        if values.size:
            bits, best = values / LN2, int(values.argmin())
            cells = [bits[0], bits[best], int(steps[best]), bits[-1]]
        last = [float(a[-1]) if a.size else None for a in (baseline, training)]
        rows.append([modality, len(values), *cells, *last])
    return Table(heading, rows)
