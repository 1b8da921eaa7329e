"""The page of the ablations: what each variant of the training changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from astromodal.config.evaluate import AS_CONFIGURED
from astromodal.evaluation.ablations.changes import (
    Trainings,
    add_changes,
    add_columns,
    column_changes,
    modality_changes,
    without_reconstruction,
)
from astromodal.evaluation.ablations.losses import ORDERS, ObjectLosses
from astromodal.evaluation.held_out import described, evaluated_fields
from astromodal.evaluation.report.section import Section
from astromodal.evaluation.report.style import styled
from astromodal.evaluation.report.values import show

CLEAR = 2.0
"""Errors that a change must exceed to be called one: several are looked at together."""


def compare_ablations(
    losses: Sequence[str | Path],
    runs: Sequence[tuple[str, int]],
    fields: Sequence[str],
    trained: Sequence[str],
    config: Mapping[str, Any],
    figures: str | Path,
) -> dict[str, Any]:
    """Compare each variant with the training as configured, object by object and seed by seed.

    Parameters
    ----------
    losses : sequence of path
        Files of `ObjectLosses`.
    runs : sequence of (str, int)
        Variant and seed of each.
    fields, trained : sequence of str
        Evaluated fields, and fields that something was trained on.
    config : mapping
        All settings of the run, as plain values.
    figures : path
        Folder to write the figures into.

    Returns
    -------
    dict
        As `Part.as_dict` gives it.
    """
    section = Section("ablations", "Ablations", Path(figures))
    variants, seed = config["ablations"]["variants"], config["evaluation"]["seed"]
    trainings = Trainings.join(
        [(run[0], ObjectLosses.load(path)) for run, path in zip(runs, losses, strict=True)]
    )
    n_seeds = len(trainings.surprise[AS_CONFIGURED])
    own = config["sequences"]["block_order"]
    orders = sorted(ORDERS, key=lambda order: order != own)
    where = described(evaluated_fields(fields, trained))
    section.summary = _summary(where, len(trainings.codes), n_seeds, config)
    _note(section, variants, trainings, n_seeds)
    section.numbers["orders"] = {
        order: modality_changes(trainings, ORDERS.index(order), seed) for order in orders
    }
    off = without_reconstruction({v: c for v, c in variants.items() if v in trainings.surprise})
    with styled():
        for order in orders:
            add_changes(section, section.numbers["orders"][order], order, variants)
        if off is None:
            section.notes.append(
                "What the reconstruction terms buy is not told: no variant that was trained "
                "differs in having none."
            )
            return section.as_dict()
        section.notes.insert(
            0, _what_reconstruction_buys(section.numbers["orders"][own][off], n_seeds)
        )
        _headlines(section, section.numbers["orders"][own][off])
        columns = column_changes(trainings, off, ORDERS.index(own), seed)
        section.numbers["columns"] = columns
        if columns:
            add_columns(section, columns, own)
    return section.as_dict()


def _summary(where: str, n: int, n_seeds: int, config: Mapping[str, Any]) -> str:
    own = config["training"]["epochs"]
    epochs = config["ablations"]["epochs"] or own
    return (
        f"{n} objects: {where}. Seeds of each variant: {n_seeds}. Epochs: {epochs}; of the "
        f"training itself: {own}. Every variant is trained on the same tokens, from the start and "
        "by one process; its best validation is by its own loss. Every code is told from the codes "
        "before it. A change is against the training as configured, of the same objects and seeds; "
        "its error is over objects (bootstrap) and over seeds (Student's t) together. Squared "
        "errors are of expected centroids, in standardised units."
    )


def _note(
    section: Section, variants: Mapping[str, Any], trainings: Trainings, n_seeds: int
) -> None:
    same = [name for name in variants if name not in trainings.surprise]
    if same:
        section.notes.append(
            f"Not trained: {', '.join(same)}; it would differ in nothing, or learn nothing."
        )
    if n_seeds == 1:
        section.notes.append(
            "One seed: errors are over objects alone, and what another seed would change is not "
            "known. Raise ablations.seeds."
        )
    elif n_seeds < 4:
        section.notes.append(f"{n_seeds} seeds: how much seeds differ is itself known poorly.")


def _what_reconstruction_buys(changes: Mapping[str, Any], n_seeds: int) -> str:
    """The numbers of the variant without reconstruction terms, in sentences."""
    told = "; ".join(
        f"{name} {show(n['squared_change'])} % and {show(n['bits_change'])} bits a code"
        for name, n in changes.items()
    )
    told = (
        "What the reconstruction terms buy: without them the squared error and the surprise change "
        f"by {told}. "
    )
    if n_seeds == 1:
        return told + "Whether they buy anything, one seed cannot tell."
    better, worse = (
        [name for name, n in changes.items() if sign * n[key].value > CLEAR * n[key].error]
        for sign, key in ((1, "squared_change"), (-1, "bits_change"))
    )
    bought = (
        f"buy a smaller error of the expected {', '.join(better)} codes"
        if better
        else f"buy nothing: no squared error grows by more than {CLEAR:g} errors without them"
    )
    price = f"; they cost surprise at {', '.join(worse)} codes" if worse else ""
    return f"{told}So they {bought}{price}."


def _headlines(section: Section, changes: Mapping[str, Any]) -> None:
    for name, n in changes.items():
        found = n["squared_change"]
        section.add_headline(
            f"Squared error of expected {name} codes without the reconstruction terms",
            found.value, found.error, unit="%",
            note=f"surprise {show(n['bits_change'])} bits a code; {n['n']} objects",
        )  # fmt: skip
