"""Figures of the embeddings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from astromodal.evaluation.embeddings.offsets import Offsets
from astromodal.evaluation.embeddings.retrieval import Agreement, Retrieval
from astromodal.evaluation.embeddings.sample import Sample
from astromodal.evaluation.report.style import BLUE, FAINT, GRID, INK, ORANGE, PALETTE, new_figure

UNKNOWN, OTHERS = "unknown", "others"
INNER = 48
"""Side of the part of a cutout that is shown (pixel)."""
_MOST = len(PALETTE) - 1
_PAIRS = (("near", BLUE, "neighbours"), ("random", FAINT, "random"))
# Neither end vanishes, on a white page or on a dark one.
_SHADES = ListedColormap(mpl.colormaps["viridis"](np.linspace(0.2, 0.95, 256)))


def categories(names: np.ndarray) -> np.ndarray:
    """Names, unicode (n,): of more than five different ones the commonest, and `OTHERS`."""
    shown = np.where(names == "", UNKNOWN, names)
    found, counts = np.unique(shown[shown != UNKNOWN], return_counts=True)
    kept = found[np.argsort(-counts, kind="stable")[:_MOST]]
    return np.where(np.isin(shown, [*kept, UNKNOWN]), shown, OTHERS)


def plot_map(
    places: np.ndarray, named: Mapping[str, np.ndarray], valued: Mapping[str, np.ndarray]
) -> Figure:
    """The map, once for each way to colour it.

    Parameters
    ----------
    places : float64 (n, 2)
        What ``plane`` gave.
    named, valued : mapping of str to array (n,)
        Title to `categories`, and to numbers, NaN where unknown.
    """
    n_panels = len(named) + len(valued)
    rows = -(-n_panels // 2)
    figure, axes = new_figure(rows, 2, height=3.3 * rows)
    for axis, title in zip(axes.flat, [*named, *valued], strict=False):
        if title in named:
            _colour_names(axis, places, named[title])
        else:
            _colour_values(axis, places, valued[title], title)
        axis.set(xticks=[], yticks=[])
        axis.set_title(title, loc="left", pad=30)
        axis.grid(visible=False)
    for axis in axes.flat[n_panels:]:
        axis.set_visible(False)
    return figure


def plot_offsets(panels: Mapping[str, Offsets], names: Sequence[str]) -> Figure:
    """Recall and offset of each field, a pair of panels for each choice of objects."""
    most = max(len(found.fields) for found in panels.values())
    figure, axes = new_figure(len(panels), 2, height=len(panels) * (1.3 + 0.2 * most))
    for (title, found), (left, right) in zip(panels.items(), axes, strict=True):
        y = np.arange(len(found.fields))[::-1]
        _points(left, 100 * found.recall, y, BLUE)
        left.axvline(100 * found.shuffled[0], color=INK, linestyle="--", linewidth=0.9)
        left.set(xlabel="told to be of their field (%)", xlim=(-3, 103))
        left.set_yticks(y, [names[i] for i in found.fields], fontsize=7)
        left.set_title(title, loc="left")
        _points(right, found.distance, y, ORANGE)
        right.axvline(0, color=INK, linestyle="--", linewidth=0.9)
        right.set(xlabel="squared offset (variance within fields)")
        right.set_yticks(y, [])
    return figure


def plot_agreement(
    classes: Mapping[str, Mapping[str, Agreement]], values: Mapping[str, Mapping[str, Agreement]]
) -> Figure:
    """Shares of neighbours of one's class, and distributions of the differences to neighbours.

    Parameters
    ----------
    classes : mapping
        By choice of objects, two at most, and by class.
    values : mapping
        By quantity, and by choice of objects.
    """
    figure, axes = new_figure(1, bool(classes) + len(values), height=3.2)
    panels = iter(axes[0])
    if classes:
        _plot_classes(next(panels), classes)
    for axis, (title, found) in zip(panels, values.items(), strict=True):
        for line, (objects, agreement) in zip(("-", "--"), found.items(), strict=False):
            for pairs, colour, what in _PAIRS:
                differences = np.sort(getattr(agreement, pairs))
                differences = differences[np.isfinite(differences)]
                share = 100 * np.arange(1, len(differences) + 1) / max(len(differences), 1)
                axis.plot(differences, share, line, color=colour, label=f"{what}, {objects}")
        axis.set(xlabel=title, ylabel="objects below (%)", ylim=(0, 100), xlim=(0, None))
    figure.legend(*axes[0, -1].get_legend_handles_labels(), loc="outside upper left", ncols=2)
    return figure


def plot_retrieval(found: Retrieval, sample: Sample) -> Figure:
    """A row a query: the query, and its neighbours, nearest first."""
    rows, columns = found.objects.shape
    figure, axes = new_figure(rows, columns, height=0.3 + 1.42 * rows)
    for line, panels in zip(found.objects, axes, strict=True):
        for place, axis in zip(line, panels, strict=True):
            _show_cutout(axis, found.cutouts.get(int(place)))
            axis.set_xlabel(label(sample, int(place)), fontsize=5.5, labelpad=2)
        for spine in panels[0].spines.values():
            spine.set(visible=True, color=ORANGE, linewidth=1.5)
    for axis, title in zip(
        axes[0], ("query", "nearest", *map(str, range(2, columns))), strict=True
    ):
        axis.set_title(title, fontsize=7)
    figure.set_layout_engine("constrained", w_pad=0.02, h_pad=0.02, wspace=0.02, hspace=0.02)
    return figure


def label(sample: Sample, place: int) -> str:
    """Id, class, redshift and magnitude of an object in three short lines."""
    z, magnitude = sample.redshift[place], sample.magnitude[place]
    known = [sample.kind[place] or "class unknown"]
    known += [f"z {z:.3f}"] if np.isfinite(z) else []
    bright = f"{magnitude:.2f} mag" if np.isfinite(magnitude) else "no magnitude"
    return "\n".join(["…" + str(sample.ids[place])[-11:], ", ".join(known), bright])


def _colour_names(axis: Axes, places: np.ndarray, names: np.ndarray) -> None:
    """Points by category: the unknown below, the others in grey, the rest by their number."""
    found = [n for n in np.unique(names) if n not in (UNKNOWN, OTHERS)]
    found.sort(key=lambda name: -int((names == name).sum()))
    colours = dict(zip(found, PALETTE, strict=False))
    for name in (UNKNOWN, OTHERS, *found):
        chosen = places[names == name]
        if len(chosen):
            axis.plot(
                *chosen.T, ".", color=colours.get(name, GRID if name == UNKNOWN else FAINT),
                markersize=4, label=f"{name} ({len(chosen)})", rasterized=True,
            )  # fmt: skip
    legend = axis.legend(
        loc="lower left", bbox_to_anchor=(0, 1), ncols=2, fontsize=6.5, markerscale=2,
        borderaxespad=0.1, columnspacing=0.8, handletextpad=0.1, labelspacing=0.2,
    )  # fmt: skip
    legend.set_in_layout(False)  # all panels are equally large


def _colour_values(axis: Axes, places: np.ndarray, values: np.ndarray, title: str) -> None:
    known = np.isfinite(values)
    axis.plot(*places[~known].T, ".", color=GRID, markersize=4, rasterized=True)
    low, high = np.quantile(values[known], [0.02, 0.98]) if known.any() else (0.0, 1.0)
    x, y = places[known].T
    drawn = axis.scatter(
        x, y, c=values[known], s=7, cmap=_SHADES, vmin=low, vmax=high, linewidths=0,
        rasterized=True,
    )  # fmt: skip
    axis.figure.colorbar(drawn, ax=axis, location="bottom", extend="both", label=title)


def _plot_classes(axis: Axes, classes: Mapping[str, Mapping[str, Agreement]]) -> None:
    names = list(dict.fromkeys(name for found in classes.values() for name in found))
    for i, (objects, found) in enumerate(classes.items()):
        for (pairs, colour, what), shift in zip(_PAIRS, (-0.1, 0.1), strict=True):
            numbers = [found[name].numbers(0)[pairs] for name in names]
            share = 100 * np.array(numbers)
            axis.errorbar(
                np.arange(len(names)) + shift + 0.2 * i - 0.1, share[:, 0],
                np.nan_to_num(share[:, 1]), fmt="o" if not i else "s", color=colour, markersize=4,
                markerfacecolor="none" if i else colour, label=f"{what}, {objects}",
            )  # fmt: skip
    axis.set_xticks(np.arange(len(names)), names, rotation=30)
    axis.set(ylabel="of the same class (%)", ylim=(-3, 103), xlim=(-0.6, len(names) - 0.4))


def _points(axis: Axes, values: np.ndarray, y: np.ndarray, colour: str) -> None:
    """Values (F, 2) with their errors, one below the other."""
    axis.errorbar(
        values[:, 0], y, xerr=np.nan_to_num(values[:, 1]), fmt="o", color=colour, markersize=4
    )


def _show_cutout(axis: Axes, cutout: np.ndarray | None) -> None:
    axis.set(xticks=[], yticks=[])
    axis.grid(visible=False)
    for spine in axis.spines.values():
        spine.set_visible(False)
    if cutout is None or not np.isfinite(cutout).any():
        axis.text(0.5, 0.5, "no image", ha="center", va="center", transform=axis.transAxes)
        return
    sky = np.nanmedian(np.abs(cutout - np.nanmedian(cutout))) * 1.4826 or 1.0
    margin = max(0, (len(cutout) - INNER) // 2)
    inner = cutout[margin : len(cutout) - margin, margin : len(cutout) - margin]
    stretched = np.arcsinh(inner / (2 * sky))
    top = max(float(np.nanquantile(stretched, 0.998)), 1.5) if np.isfinite(inner).any() else 1.5
    axis.imshow(stretched, origin="lower", vmin=-0.8, vmax=top)
