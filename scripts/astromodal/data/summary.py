"""The summary of a field: counts, coverage, selection, and warnings on its cube."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from astromodal.config.schema import ImageSettings, SelectionSettings, SpectrumSettings
from astromodal.data.check import misspelt, unread_lists
from astromodal.data.columns import GAIA_COLUMN
from astromodal.data.content import column_digests
from astromodal.data.cube import Cube
from astromodal.data.cutouts import count_cutouts
from astromodal.data.spectra import count_spectra
from astromodal.data.splits import NO_CELL, SPLIT_NAMES, Split, count_cut, mean_direction
from astromodal.data.values import find_pile_up
from astromodal.surveys.registry import light_curve_group, light_curves

_SHOWN = 4
"""Most columns that a warning names."""


def summarise_field(
    cube: Cube,
    split: Split,
    columns: Sequence[str],
    spectrum: SpectrumSettings,
    image: ImageSettings,
    selection: SelectionSettings,
    read: Mapping[str, Sequence[str]],
) -> dict[str, Any]:
    """Count what a field holds, and check it.

    Parameters
    ----------
    cube : Cube
        The field's datacube.
    split : Split
        Cell, split and selection of its rows.
    columns : sequence of str
        Scalar columns of the config.
    spectrum, image : settings
        Settings that name the spectrum groups and bands to count.
    selection : SelectionSettings
        The magnitude cut.
    read : mapping of str to sequence of str
        Columns that the workflow reads, by modality.

    Returns
    -------
    dict
        Plain values for JSON. Numbers of rows: all, selected, by split, outside the ``cut`` by
        reason, and ``odd`` ones, which repeat an id or a Gaia source or have no position. Numbers
        of present values of each scalar column among the selected rows. Numbers of values that are
        ``missing`` because they are a sentinel or unreliable, by column. Numbers of spectra and of
        cutouts among all rows. The columns that the cube lacks, and ``warnings`` in words.
        ``content``: size and time of the cube, and the digests of the columns that are read, from
        which a later run sees whether they changed.
    """
    values = cube.scalars(columns)
    selected = split.selected
    present = np.isfinite(values[selected]).sum(axis=0)
    images = count_cutouts(cube, image)
    odd = {
        "repeated_id": len(split.ids) - len(np.unique(split.ids)),
        "repeated_gaia": _repeated_gaia(cube),
        "no_position": int((split.healpix == NO_CELL).sum()),
    }
    missing = cube.count_missing([*columns, *read["labels"]])
    return {
        "field": cube.field,
        "n_rows": cube.n_rows,
        "n_selected": int(selected.sum()),
        "splits": {
            name: int((selected & (split.split == number)).sum())
            for number, name in enumerate(SPLIT_NAMES)
        },
        "cut": count_cut(cube, selection),
        "odd": odd,
        "n_cells": int(np.unique(split.healpix[split.healpix != NO_CELL]).size),
        "position": _centre(cube),
        "scalars": dict(zip(columns, present.tolist(), strict=True)),
        "missing": missing,
        "absent_columns": [name for name in columns if name not in cube.columns],
        "spectra": count_spectra(cube, spectrum.groups),
        "images": images,
        "content": {
            **asdict(cube.version),
            "columns": column_digests(cube, [name for names in read.values() for name in names]),
        },
        "warnings": [
            *_warnings(split, odd, values, columns, images),
            *_missing(missing),
            *_pile_ups(values[selected], columns),
            *_incomplete(cube, spectrum),
            *_unread(cube, read),
            *_misspelt(cube, columns),
        ],
    }


def _centre(cube: Cube) -> dict[str, float] | None:
    """Return the mean direction of the rows (degree); None where no row has a position."""
    position = cube.scalars([cube.settings.ra, cube.settings.dec])
    position = position[np.isfinite(position).all(axis=1)]
    if not len(position):
        return None
    return dict(zip(("ra", "dec"), mean_direction(*position.T), strict=True))


def _warnings(
    split: Split,
    odd: Mapping[str, int],
    values: np.ndarray,
    columns: Sequence[str],
    images: dict[str, Any],
) -> list[str]:
    lines = []
    if odd["repeated_id"]:
        unique, counts = np.unique(split.ids, return_counts=True)
        example = str(unique[counts.argmax()])[:40]
        lines.append(f"{odd['repeated_id']} rows repeat an id, for example {example!r}")
    if odd["no_position"]:
        lines.append(
            f"{odd['no_position']} rows without a position: their id decides on their split"
        )
    if images["n_short"]:
        lines.append(f"{images['n_short']} cutouts of a wrong length are missing")
    if images["n_blank"]:
        lines.append(f"{images['n_blank']} cutouts without a valid pixel are missing")
    if odd["repeated_gaia"]:
        lines.append(f"{odd['repeated_gaia']} rows share their Gaia source with another row")
    for name, column in zip(columns, values.T, strict=True):
        largest = np.nanmax(np.abs(column), initial=0.0)
        if name.startswith("err_mag") and largest > 1e3:
            lines.append(f"{name} reaches {largest:.3g} mag")
    if not split.selected.any():
        lines.append("no row passes the selection")
    return lines


def _missing(counts: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Return one line per reason for missing values, which names the columns with most of them."""
    words = {"sentinel": "stand for missing ones", "unreliable": "are unreliable by their flags"}
    lines = []
    for reason, columns in counts.items():
        if columns:
            most = sorted(columns, key=lambda name: -columns[name])
            shown = ", ".join(f"{name} ({columns[name]})" for name in most[:_SHOWN])
            more = f" and {len(most) - _SHOWN} more columns" if len(most) > _SHOWN else ""
            lines.append(f"{sum(columns.values())} values {words[reason]}: {shown}{more}")
    return lines


def _pile_ups(values: np.ndarray, columns: Sequence[str]) -> list[str]:
    """Return one line per value that many rows share, far outside its column's other values."""
    piles = {name: find_pile_up(column) for name, column in zip(columns, values.T, strict=True)}
    return [
        f"{name}: {pile[1]} rows hold {pile[0]:g}, far outside of its other values; name it in "
        "columns.sentinels if it stands for a missing one"
        for name, pile in piles.items()
        if pile is not None
    ]


def _incomplete(cube: Cube, spectrum: SpectrumSettings) -> list[str]:
    """Return one line per group of light curves of which the cube has only some columns."""
    groups = map(light_curve_group, light_curves(spectrum.groups))
    lacking = {group.name: group.lacking(cube.columns) for group in groups}
    return [f"no {g} light curves without {', '.join(m)}" for g, m in lacking.items() if m]


def _unread(cube: Cube, read: Mapping[str, Sequence[str]]) -> list[str]:
    """Return one line on the columns of lists that are not read."""
    unread = unread_lists(cube.kinds(), [name for names in read.values() for name in names])
    return [f"columns of lists that are not read: {', '.join(unread)}"] if unread else []


def _misspelt(cube: Cube, columns: Sequence[str]) -> list[str]:
    """Return one line on the scalar columns that the cube has under almost the same name."""
    names = misspelt(cube.kinds(), columns)
    return [f"no columns {', '.join(names)}"] if names else []


def _repeated_gaia(cube: Cube) -> int:
    """Count the rows whose Gaia source is that of an earlier row too."""
    names = [name for name in cube.text(GAIA_COLUMN).tolist() if name]
    return len(names) - len(set(names))
