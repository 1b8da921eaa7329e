"""The style of all figures: colours for all kinds of colour vision, units, files.

A figure that several sections have, of how evenly codes are used, is here too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from cycler import cycler
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from astromodal.data.columns import scalar_unit
from astromodal.storage.tempfiles import storing

# Okabe & Ito (2008), https://jfly.uni-koeln.de/color/, ordered by contrast on white.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
BLUE, ORANGE, GREEN, PURPLE, AMBER, SKY = PALETTE
INK, FAINT, GRID = "#222222", "#767676", "#dcdcdc"
WIDTH = 6.4
"""Width of a figure (inch). Text of 9 pt stays readable when a phone shrinks the figure."""

_DECADES = 1.5
"""Smallest range of a logarithmic axis, in powers of its base."""

_THEME = {INK: "ink", FAINT: "faint", GRID: "grid", **{c: f"c{i}" for i, c in enumerate(PALETTE)}}

_RC: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "axes.prop_cycle": cycler(color=PALETTE),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.3,
    "image.cmap": "gray",
    "image.interpolation": "nearest",
    "figure.constrained_layout.use": True,
    "savefig.dpi": 150,
    "svg.fonttype": "path",
    "svg.hashsalt": "astromodal",
    **{f"{item}.color": INK for item in ("text", "xtick", "ytick")},
    **{f"axes.{item}": INK for item in ("edgecolor", "labelcolor", "titlecolor")},
}

_PRINTED = {"pix": "pixel", "deg": "degree", "mas / yr": "mas/yr", "electron / s": "electron/s"}
"""Spelling of units in figures, where it differs from astropy's."""


def unit(column: str) -> str:
    """Return the unit of a scalar column as text.

    Empty for a column without a unit, "catalogue unit" where the unit is not known.
    """
    name = scalar_unit(column)
    return "catalogue unit" if name is None else _PRINTED.get(name, name)


def with_unit(name: str, unit_name: str) -> str:
    """Return ``name (unit)``, or only the name for a quantity without a unit."""
    return f"{name} ({unit_name})" if unit_name else name


@contextmanager
def styled() -> Iterator[None]:
    """Apply the style to figures that are made inside, and restore matplotlib's settings after.

    The style changes matplotlib's defaults. A user's ``matplotlibrc`` has no effect, even in the
    working folder.
    """
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_RC)
        yield


def new_figure(
    rows: int = 1, columns: int = 1, height: float = 3.2, **options: Any
) -> tuple[Figure, Any]:
    """Create a figure of `WIDTH` × `height` inches, with a 2-d array (rows, columns) of axes.

    The figure is not known to pyplot: it needs no display and is freed like any other object.
    """
    figure = Figure(figsize=(WIDTH, height))
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def plot_codebooks(counts: Mapping[str, np.ndarray], colours: Mapping[str, str]) -> Figure:
    """Plot the share of all tokens that the most frequent codes of each codebook take."""
    figure, axes = new_figure(height=2.9)
    axis = axes[0, 0]
    for name, count in counts.items():
        share = np.cumsum(np.sort(count)[::-1]) / count.sum()
        axis.plot(np.arange(1, len(count) + 1), share, color=colours[name], label=name)
    axis.set(
        xlabel="codes, most frequent first", ylabel="share of all tokens", xscale="log",
        ylim=(0, 1.02),
    )  # fmt: skip
    axis.legend()
    return figure


def save_figure(figure: Figure, folder: str | Path, name: str) -> str:
    """Write a figure as PNG, PDF and SVG files into a folder, and return the PNG's name.

    The same figure gives the same bytes.

    Returns
    -------
    str
        Name of the PNG file.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _widen_logs(figure)
    figure.draw_without_rendering()
    # The layout is done once. Not "none", with which matplotlib still draws each file twice.
    with storing(folder / name), mpl.rc_context({"figure.constrained_layout.use": False}):
        figure.set_layout_engine(None)
        figure.savefig(folder / f"{name}.png", facecolor="white", metadata={"Software": None})
        figure.savefig(folder / f"{name}.pdf", metadata={"CreationDate": None})
        figure.savefig(folder / f"{name}.svg", transparent=True, metadata={"Date": None})
    return f"{name}.png"


def _widen_logs(figure: Figure) -> None:
    """Widen logarithmic axes to `_DECADES`: on shorter ones matplotlib's tick labels overlap."""
    for axes in figure.axes:
        for axis, widen in ((axes.xaxis, axes.set_xlim), (axes.yaxis, axes.set_ylim)):
            if axis.get_scale() != "log":
                continue
            transform: Any = axis.get_transform()
            low, high = np.log(np.sort(axis.get_view_interval())) / np.log(transform.base)
            missing = (_DECADES - (high - low)) / 2
            if missing > 0:
                ends = np.power(transform.base, [low - missing, high + missing])
                widen((float(ends[0]), float(ends[1])))


def themed_svg(text: str, prefix: str) -> str:
    """Return a matplotlib SVG as HTML that takes its colours from the page.

    Each colour of this module becomes a CSS variable (``--ink``, ``--c0`` …). Ids get a prefix,
    because two figures on one page must not share an id.
    """
    body = text[text.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r' (width|height)="[\d.]+pt"', "", body, count=2)
    for colour, name in _THEME.items():
        body = body.replace(colour, f"var(--{name})")
    body = re.sub(r'\bid="', f'id="{prefix}-', body)
    body = re.sub(r'href="#', f'href="#{prefix}-', body)
    return body.replace("url(#", f"url(#{prefix}-")
