"""How every figure looks: colours that all eyes tell apart, units on axes, no display needed."""

from __future__ import annotations

import re
from collections.abc import Iterator
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
"""Width of a figure (inch): its 9 pt text stays readable when a phone shrinks it."""

_DECADES = 1.5
"""Powers of its base that a logarithmic axis spans at least."""

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
    **{f"{part}.color": INK for part in ("text", "xtick", "ytick")},
    **{f"axes.{part}": INK for part in ("edgecolor", "labelcolor", "titlecolor")},
}

_PRINTED = {"pix": "pixel", "deg": "degree", "mas / yr": "mas/yr", "electron / s": "electron/s"}
"""Units as figures spell them, where that is not as astropy reads them."""


def unit(column: str) -> str:
    """Unit of a scalar column as text; empty where it has none, "catalogue unit" where unknown."""
    found = scalar_unit(column)
    return "catalogue unit" if found is None else _PRINTED.get(found, found)


def with_unit(name: str, unit_name: str) -> str:
    """``name (unit)``, or the bare name of a quantity without a unit."""
    return f"{name} ({unit_name})" if unit_name else name


@contextmanager
def styled() -> Iterator[None]:
    """Matplotlib's settings for figures made inside; the caller's own come back afterwards.

    They are its defaults and ours: a ``matplotlibrc`` of the user's, which may lie in the working
    folder, has no part in them.
    """
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_RC)
        yield


def new_figure(
    rows: int = 1, columns: int = 1, height: float = 3.2, **options: Any
) -> tuple[Figure, Any]:
    """A figure of `WIDTH` × `height` inches and its axes, always a 2-d array (rows, columns).

    It belongs to no window or global state, so it is freed like any other object.
    """
    figure = Figure(figsize=(WIDTH, height))
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def save_figure(figure: Figure, folder: str | Path, name: str) -> str:
    """Write `name` as PNG, PDF and SVG into `folder`; the same figure gives the same bytes.

    Returns
    -------
    str
        Name of the PNG file.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _widen_logs(figure)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # it has done its work: once, not once a file
    with storing(folder / name):
        figure.savefig(folder / f"{name}.png", facecolor="white", metadata={"Software": None})
        figure.savefig(folder / f"{name}.pdf", metadata={"CreationDate": None})
        figure.savefig(folder / f"{name}.svg", transparent=True, metadata={"Date": None})
    return f"{name}.png"


def _widen_logs(figure: Figure) -> None:
    """Let every logarithmic axis span `_DECADES`: of less, matplotlib labels ticks that overlap."""
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
    """A matplotlib SVG as a piece of HTML that takes its colours from the page.

    Each colour of this module becomes a CSS variable (``--ink``, ``--c0`` …), and ids get `prefix`,
    for two figures on one page may not share an id.
    """
    body = text[text.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r' (width|height)="[\d.]+pt"', "", body, count=2)
    for colour, name in _THEME.items():
        body = body.replace(colour, f"var(--{name})")
    body = re.sub(r'\bid="', f'id="{prefix}-', body)
    body = re.sub(r'href="#', f'href="#{prefix}-', body)
    return body.replace("url(#", f"url(#{prefix}-")
