"""The figures of the transformer's section, each with the table of its numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from astromodal.config.schema import Config
from astromodal.core.grids import bin_centres, is_light_curve
from astromodal.evaluation.history import draw_history, history_table
from astromodal.evaluation.parts import Part, measured, table
from astromodal.evaluation.transformer_figures import (
    draw_columns,
    draw_epoch_slots,
    draw_image_slots,
    draw_nll,
    draw_spectrum_slots,
    running_mean,
)
from astromodal.training.layout import IMAGE, SCALAR, SequenceLayout


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
    groups = {name: gain for name, gain in every.items() if not is_light_curve(name)}
    if groups:
        waves = {name: bin_centres(name, config.tokenizers.spectrum) for name in groups}
        _add_spectrum_slots(part, groups, waves)
    curves = {name: gain for name, gain in every.items() if is_light_curve(name)}
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
    return table(["group", "wavelength (Å) or pseudo-wavelength", "mean gain (bits)"], rows)
