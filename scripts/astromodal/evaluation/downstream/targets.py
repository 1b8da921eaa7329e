"""What is to be told of a source, and on which scale it is learned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from astromodal.config.evaluate import LabelSettings
from astromodal.data.labels import cosmological, has_class
from astromodal.evaluation.downstream.objects import Objects
from astromodal.evaluation.style import unit, with_unit

Role = Literal["redshift", "stellar", "class"]


@dataclass(frozen=True)
class Target:
    """A label that is to be told.

    Attributes
    ----------
    name : str
        Its column.
    role : str
        ``redshift``, ``stellar`` or ``class``.
    classes : tuple of str
        Every class that occurs; empty of a number.
    """

    name: str
    role: Role
    classes: tuple[str, ...] = ()

    @property
    def unit(self) -> str:
        """Its unit as figures spell it; empty where it has none."""
        return unit(self.name) if self.role == "stellar" else ""

    @property
    def label(self) -> str:
        """Its name with its unit."""
        return with_unit(self.name, self.unit)

    def inward(self, values: np.ndarray) -> np.ndarray:
        """The scale on which errors are alike: log(1 + z), log₁₀ of a temperature, or as it is."""
        if self.role == "redshift":
            return np.log1p(values)
        return np.log10(values) if self.unit == "K" else values

    def outward(self, values: np.ndarray) -> np.ndarray:
        """Back from the scale of `inward`."""
        if self.role == "redshift":
            return np.expm1(values)
        return 10.0**values if self.unit == "K" else values


def find_targets(
    objects: Objects, labels: LabelSettings, notes: list[str]
) -> dict[Target, np.ndarray]:
    """Targets, and what is known of them.

    Parameters
    ----------
    objects : Objects
        Objects with labels.
    labels : LabelSettings
        Their columns.
    notes : list of str
        Takes what cannot be evaluated, and why.

    Returns
    -------
    dict of Target to float64 (n,)
        The label of each object, of a class its number in ``classes``; NaN where it is not known
        or not meant: the redshift of a star is a velocity.
    """
    found: dict[Target, np.ndarray] = {}
    for what, name in (("redshift", labels.redshift), ("kind", labels.kind)):
        if name is None:
            notes.append(f"evaluation.labels.{what} is null: there is no such label.")
        elif name in objects.absent:
            notes.append(f"No cube has the column {name} (evaluation.labels.{what}).")
    if labels.redshift is not None and labels.redshift not in objects.absent:
        values = cosmological(objects.values[labels.redshift], objects.kind, labels)
        found[Target(labels.redshift, "redshift")] = values
        if not (objects.kind != "").any():
            notes.append(f"Stars among {labels.redshift} are not known, and so are not left out.")
    for name in labels.stellar:
        if name in objects.absent:
            notes.append(f"No cube has the column {name} (evaluation.labels.stellar).")
            continue
        target, values = Target(name, "stellar"), objects.values[name]
        found[target] = np.where(values > 0, values, np.nan) if target.unit == "K" else values
    if labels.kind is not None and labels.kind not in objects.absent:
        known = has_class(objects.kind, labels)
        classes, number = np.unique(objects.kind[known], return_inverse=True)
        values = np.full(len(known), np.nan)
        values[known] = number
        found[Target(labels.kind, "class", tuple(classes.tolist()))] = values
    return found
