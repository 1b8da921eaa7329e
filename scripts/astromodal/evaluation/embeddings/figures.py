"""Figures and tables of the section on embeddings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from astromodal.evaluation.embeddings.measures import Agreement, AgreementNumbers, K, Retrieval
from astromodal.evaluation.embeddings.sample import Offsets, Sample
from astromodal.evaluation.report.section import Measurement, Row, Table
from astromodal.evaluation.report.style import BLUE, FAINT, GRID, INK, ORANGE, PALETTE, new_figure

UNKNOWN, OTHERS = "unknown", "others"
INNER = 48
"""Side of the part of a cutout that is shown (pixel)."""
_MOST = len(PALETTE) - 1
_PAIRS = (("near", BLUE, "neighbours"), ("random", FAINT, "random"))
"""Attributes of an agreement, with colour and label."""
# Neither end vanishes, on a white page or on a dark one.
_SHADES = ListedColormap(mpl.colormaps["viridis"](np.linspace(0.2, 0.95, 256)))


def categories(names: np.ndarray) -> np.ndarray:
    """Return names, unicode (n,), with all but the five most common ones replaced by `OTHERS`."""
    shown = np.where(names == "", UNKNOWN, names)
    names_shown, counts = np.unique(shown[shown != UNKNOWN], return_counts=True)
    kept = names_shown[np.argsort(-counts, kind="stable")[:_MOST]]
    return np.where(np.isin(shown, [*kept, UNKNOWN]), shown, OTHERS)


def plot_map(
    places: np.ndarray, named: Mapping[str, np.ndarray], valued: Mapping[str, np.ndarray]
) -> Figure:
    """Plot the map once for each quantity that colours it.

    Parameters
    ----------
    places : float64 (n, 2)
        Places in the map, as `project_to_plane` returns them.
    named, valued : mapping of str to array (n,)
        Categories and numbers by title; a number is NaN where unknown.
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


def plot_offsets(panels: Mapping[str, Offsets]) -> Figure:
    """Plot recall and offset of each field, one pair of panels per choice of objects."""
    most = max(len(offsets.fields) for offsets in panels.values())
    figure, axes = new_figure(len(panels), 2, height=len(panels) * (1.3 + 0.2 * most))
    for (title, offsets), (left, right) in zip(panels.items(), axes, strict=True):
        y = np.arange(len(offsets.fields))[::-1]
        _points(left, [each.recall.scaled(100) for each in offsets.fields.values()], y, BLUE)
        left.axvline(100 * offsets.shuffled.value, color=INK, linestyle="--", linewidth=0.9)
        left.set(xlabel="assigned to their field (%)", xlim=(-3, 103))
        left.set_yticks(y, list(offsets.fields), fontsize=7)
        left.set_title(title, loc="left")
        _points(right, [each.squared_offset for each in offsets.fields.values()], y, ORANGE)
        right.axvline(0, color=INK, linestyle="--", linewidth=0.9)
        right.set(xlabel="squared offset (variance within fields)")
        right.set_yticks(y, [])
    return figure


def plot_agreement(
    classes: Mapping[str, Mapping[str, AgreementNumbers]],
    values: Mapping[str, Mapping[str, Agreement]],
) -> Figure:
    """Plot fractions of neighbours of the same class, and distributions of differences.

    Parameters
    ----------
    classes : mapping
        Percentages by choice of objects (at most two), and by class.
    values : mapping
        By quantity, and by choice of objects.
    """
    figure, axes = new_figure(1, bool(classes) + len(values), height=3.2)
    panels = iter(axes[0])
    if classes:
        _plot_classes(next(panels), classes)
    for axis, (title, choices) in zip(panels, values.items(), strict=True):
        for line, (objects, agreement) in zip(("-", "--"), choices.items(), strict=False):
            for pairs, colour, what in _PAIRS:
                differences = np.sort(getattr(agreement, pairs))
                differences = differences[np.isfinite(differences)]
                share = 100 * np.arange(1, len(differences) + 1) / max(len(differences), 1)
                axis.plot(differences, share, line, color=colour, label=f"{what}, {objects}")
        axis.set(xlabel=title, ylabel="objects below (%)", ylim=(0, 100), xlim=(0, None))
    figure.legend(*axes[0, -1].get_legend_handles_labels(), loc="outside upper left", ncols=2)
    return figure


def plot_retrieval(retrieval: Retrieval, sample: Sample) -> Figure:
    """Plot one row per query: the query, and its neighbours, nearest first."""
    rows, columns = retrieval.objects.shape
    figure, axes = new_figure(rows, columns, height=0.3 + 1.42 * rows)
    for line, panels in zip(retrieval.objects, axes, strict=True):
        for place, axis in zip(line, panels, strict=True):
            _show_cutout(axis, retrieval.cutouts.get(int(place)))
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
    """Return id, class, redshift and magnitude of an object in three short lines."""
    z, magnitude = sample.redshift[place], sample.magnitude[place]
    known = [sample.kind[place] or "class unknown"]
    known += [f"z {z:.3f}"] if np.isfinite(z) else []
    bright = f"{magnitude:.2f} mag" if np.isfinite(magnitude) else "no magnitude"
    return "\n".join(["…" + str(sample.ids[place])[-11:], ", ".join(known), bright])


def _colour_names(axis: Axes, places: np.ndarray, names: np.ndarray) -> None:
    """Plot points by category: unknown ones below, others in grey, the rest by their number."""
    kinds = [n for n in np.unique(names) if n not in (UNKNOWN, OTHERS)]
    kinds.sort(key=lambda name: -int((names == name).sum()))
    colours = dict(zip(kinds, PALETTE, strict=False))
    for name in (UNKNOWN, OTHERS, *kinds):
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
    """Plot points coloured by a value; unknown ones are pale grey."""
    known = np.isfinite(values)
    axis.plot(*places[~known].T, ".", color=GRID, markersize=4, rasterized=True)
    low, high = np.quantile(values[known], [0.02, 0.98]) if known.any() else (0.0, 1.0)
    x, y = places[known].T
    points = axis.scatter(
        x, y, c=values[known], s=7, cmap=_SHADES, vmin=low, vmax=high, linewidths=0,
        rasterized=True,
    )  # fmt: skip
    axis.figure.colorbar(points, ax=axis, location="bottom", extend="both", label=title)


def _plot_classes(axis: Axes, classes: Mapping[str, Mapping[str, AgreementNumbers]]) -> None:
    """Plot the fraction of neighbours of the same class, by class."""
    names = list(dict.fromkeys(name for choices in classes.values() for name in choices))
    for i, (objects, choices) in enumerate(classes.items()):
        for (pairs, colour, what), shift in zip(_PAIRS, (-0.1, 0.1), strict=True):
            measured: list[Measurement] = [getattr(choices[name], pairs) for name in names]
            axis.errorbar(
                np.arange(len(names)) + shift + 0.2 * i - 0.1, [m.value for m in measured],
                np.nan_to_num([m.error for m in measured]), fmt="o" if not i else "s",
                color=colour, markersize=4, markerfacecolor="none" if i else colour,
                label=f"{what}, {objects}",
            )  # fmt: skip
    axis.set_xticks(np.arange(len(names)), names, rotation=30)
    axis.set(ylabel="of the same class (%)", ylim=(-3, 103), xlim=(-0.6, len(names) - 0.4))


def _points(axis: Axes, values: Sequence[Measurement], y: np.ndarray, colour: str) -> None:
    """Plot measurements with their errors, one below the other."""
    errors = np.nan_to_num([m.error for m in values])
    axis.errorbar([m.value for m in values], y, xerr=errors, fmt="o", color=colour, markersize=4)


def _show_cutout(axis: Axes, cutout: np.ndarray | None) -> None:
    """Plot the inner part of a cutout, or a text where there is none."""
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


def map_table(named: Mapping[str, np.ndarray], valued: Mapping[str, np.ndarray]) -> Table:
    """Return how many objects have each colour of the map; arguments as for `plot_map`."""
    rows: list[Row] = []
    for title, values in named.items():
        groups, counts = np.unique(values, return_counts=True)
        rows += [[title, str(g), int(n)] for g, n in zip(groups, counts, strict=True)]
    rows += [[title, "known", int(np.isfinite(v).sum())] for title, v in valued.items()]
    return Table(["colour", "group", "objects"], rows)


def offset_table(panels: Mapping[str, Offsets]) -> Table:
    """Return the numbers of `plot_offsets`."""
    rows: list[Row] = []
    for title, offsets in panels.items():
        n = sum(each.objects for each in offsets.fields.values())
        accuracy, shuffled = (m.scaled(100) for m in (offsets.balanced_accuracy, offsets.shuffled))
        rows.append([title, "all fields, balanced", n, accuracy, shuffled, None])
        rows += [
            [title, name, each.objects, each.recall.scaled(100), None, each.squared_offset]
            for name, each in offsets.fields.items()
        ]  # fmt: skip
    return Table(
        ["objects", "field", "number", "assigned rightly (%)", "with shuffled labels (%)",
         "squared offset (variance within fields)"], rows,
    )  # fmt: skip


def agreement_table(numbers: Sequence[AgreementNumbers]) -> Table:
    """Return the numbers of `plot_agreement`."""
    return Table(
        ["quantity", "among", "objects", f"{K} nearest neighbours", "random", "difference"],
        [[n.quantity, n.among, n.near.n, n.near, n.random, n.difference] for n in numbers],
    )


def retrieval_table(retrieval: Retrieval, sample: Sample) -> Table:
    """Return the objects of `plot_retrieval`."""
    rows: list[Row] = []
    for line, distances in zip(retrieval.objects.tolist(), retrieval.distance, strict=True):
        for rank, (place, distance) in enumerate(zip(line, distances, strict=True)):
            rows.append([
                "query" if not rank else f"neighbour {rank}", str(sample.ids[place]),
                sample.fields[sample.field[place]].name, str(sample.kind[place]) or "unknown",
                sample.redshift[place], sample.magnitude[place], float(distance),
            ])  # fmt: skip
    return Table(
        ["", "id", "field", "class", "redshift", "magnitude (mag)",
         "distance (of two random objects)"], rows,
    )  # fmt: skip
