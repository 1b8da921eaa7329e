"""Where fields lie on the sky."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from astromodal.evaluation.style import BLUE, INK, ORANGE, new_figure
from astromodal.tokenizers.field_summary import mean_direction

WIDE = 30.0
"""Degrees from their middle beyond which fields are shown on the whole sky, not on a plane."""
_MOST_NAMED = 25
_MARGIN = 0.7  # degree around the outermost centres: half an S-PLUS field


def role(field: Mapping[str, Any], trained: Collection[str]) -> str:
    """``trained`` or ``held out``."""
    return "trained" if field["field"] in trained else "held out"


def draw_sky(fields: Sequence[Mapping[str, Any]], trained: Collection[str]) -> Figure:
    """Field centres, right ascension to the left; far-flung ones in Mollweide's projection.

    Parameters
    ----------
    fields : sequence of mapping
        Summaries with a ``position`` (degree).
    trained : collection of str
        Fields that something was trained on.
    """
    ra, dec = np.array([[f["position"]["ra"], f["position"]["dec"]] for f in fields]).T
    middle = mean_direction(ra, dec)
    reach = separation(ra, dec, *middle).max()
    if reach > WIDE or abs(middle[1]) + reach > 85:
        figure, axes = new_figure(height=3.6, subplot_kw={"projection": "mollweide"})
        x, y = np.deg2rad(-around(ra, 0.0)), np.deg2rad(dec)
        _whole_sky(axes[0, 0])
    else:
        figure, axes = new_figure(height=4.2)
        x, y = middle[0] + around(ra, middle[0]), dec
        _patch(axes[0, 0], x, y)
    axis, roles = axes[0, 0], np.array([role(f, trained) for f in fields])
    size = 5 if len(fields) <= 200 else 2
    for colour, marker, part in ((BLUE, "o", "trained"), (ORANGE, "s", "held out")):
        chosen = roles == part
        if chosen.any():
            axis.plot(
                x[chosen], y[chosen], marker, color=colour, markersize=size, linestyle="none",
                label=f"{part} ({chosen.sum()})",
            )  # fmt: skip
    if len(fields) <= _MOST_NAMED:
        for name, *at in zip((f["field"] for f in fields), x, y, strict=True):
            axis.annotate(
                name, at, xytext=(4, 4), textcoords="offset points", fontsize=6.5, color=INK
            )
    figure.legend(*axis.get_legend_handles_labels(), loc="outside upper left", ncols=2)
    return figure


def separation(ra: np.ndarray, dec: np.ndarray, ra0: float, dec0: float) -> np.ndarray:
    """Angle between directions and one direction, degree, by the haversine formula."""
    a, d, a0, d0 = (np.deg2rad(angle) for angle in (ra, dec, ra0, dec0))
    h = np.sin((d - d0) / 2) ** 2 + np.cos(d) * np.cos(d0) * np.sin((a - a0) / 2) ** 2
    return np.rad2deg(2 * np.arcsin(np.sqrt(np.clip(h, 0, 1))))


def around(ra: np.ndarray, middle: float) -> np.ndarray:
    """Right ascension from `middle` on, in [-180, 180) degree."""
    return (ra - middle + 180) % 360 - 180


def _whole_sky(axis: Axes) -> None:
    places = np.arange(-150, 180, 60)
    axis.set_xticks(np.deg2rad(places), [f"{-p % 360}°" for p in places], fontsize=7)
    axis.set(xlabel="right ascension (degree)", ylabel="declination (degree)")


def _patch(axis: Axes, x: np.ndarray, y: np.ndarray) -> None:
    """In the middle a degree is as long in both directions; 1 degree stands beside 359."""
    stretch = float(np.cos(np.deg2rad(y.mean())))
    half = max(np.ptp(x) * stretch, np.ptp(y)) / 2 + _MARGIN
    centre = (x.min() + x.max()) / 2, (y.min() + y.max()) / 2
    axis.set_aspect(1 / stretch, adjustable="datalim")
    axis.set_xlim(centre[0] + half / stretch, centre[0] - half / stretch)
    axis.set_ylim(centre[1] - half, centre[1] + half)
    axis.xaxis.set_major_formatter(lambda value, _: f"{round(value % 360, 4):g}")
    axis.set(xlabel="right ascension (degree)", ylabel="declination (degree)")
