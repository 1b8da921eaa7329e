"""A field at a glance: what its cube holds, what is selected, what is odd about it."""

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
from astromodal.data.light_curves import absent_parts
from astromodal.data.missing import find_pile_up
from astromodal.data.spectra import count_spectra
from astromodal.data.splits import NO_CELL, SPLIT_NAMES, Split, count_cut
from astromodal.surveys.grids import is_light_curve

_SHOWN = 4
"""Columns that a warning names."""


def summarise_field(
    cube: Cube,
    split: Split,
    columns: Sequence[str],
    spectrum: SpectrumSettings,
    image: ImageSettings,
    selection: SelectionSettings,
    read: Mapping[str, Sequence[str]],
) -> dict[str, Any]:
    """Checks, counts and coverage of a field.

    Parameters
    ----------
    cube : Cube
        The field's datacube.
    split : Split
        Its rows' cells, splits and selection.
    columns : sequence of str
        Scalar columns of the config.
    spectrum, image : settings
        Which spectrum groups and bands to count.
    selection : SelectionSettings
        The magnitude cut.
    read : mapping of str to sequence of str
        Columns that the workflow reads, by modality.

    Returns
    -------
    dict
        Plain values that JSON can hold: numbers of rows (all, selected, by split), of those outside
        the ``cut`` and why, of ``odd`` ones (that repeat an id or a Gaia source, or have no
        position), of present values a column among the selected rows, of values a column that
        count as ``missing`` since they are a sentinel or unreliable, of spectra and of cutouts
        among all rows; the columns that the cube lacks; `warnings` in words; and ``content``: the
        size and time of the cube and the digests of the columns that are read of it, to tell later
        whether they changed.
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
        "spectra": count_spectra(cube, spectrum),
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
    """Mean direction of the rows (degree)."""
    position = cube.scalars([cube.settings.ra, cube.settings.dec])
    position = position[np.isfinite(position).all(axis=1)]
    if not len(position):
        return None
    return dict(zip(("ra", "dec"), mean_direction(*position.T), strict=True))


def mean_direction(ra: np.ndarray, dec: np.ndarray) -> tuple[float, float]:
    """Mean of directions (n,), right where they straddle RA 0.

    Parameters
    ----------
    ra, dec : float (n,)
        Directions (degree).

    Returns
    -------
    tuple of float
        Right ascension in [0, 360) and declination (degree).
    """
    a, d = np.deg2rad(ra), np.deg2rad(dec)
    x, y, z = np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)
    mean = np.array([x.mean(), y.mean(), z.mean()])
    return (
        float(np.rad2deg(np.arctan2(mean[1], mean[0])) % 360),
        float(np.rad2deg(np.arctan2(mean[2], np.hypot(mean[0], mean[1])))),
    )


def _warnings(
    split: Split,
    odd: Mapping[str, int],
    values: np.ndarray,
    columns: Sequence[str],
    images: dict[str, Any],
) -> list[str]:
    found = []
    if odd["repeated_id"]:
        unique, counts = np.unique(split.ids, return_counts=True)
        example = str(unique[counts.argmax()])[:40]
        found.append(f"{odd['repeated_id']} rows repeat an id, for example {example!r}")
    if odd["no_position"]:
        found.append(
            f"{odd['no_position']} rows without a position: their id decides on their split"
        )
    if images["n_short"]:
        found.append(f"{images['n_short']} cutouts of a wrong length are missing")
    if images["n_blank"]:
        found.append(f"{images['n_blank']} cutouts without a valid pixel are missing")
    if odd["repeated_gaia"]:
        found.append(f"{odd['repeated_gaia']} rows share their Gaia source with another row")
    for name, column in zip(columns, values.T, strict=True):
        largest = np.nanmax(np.abs(column), initial=0.0)
        if name.startswith("err_mag") and largest > 1e3:
            found.append(f"{name} reaches {largest:.3g} mag")
    if not split.selected.any():
        found.append("no row passes the selection")
    return found


def _missing(counts: Mapping[str, Mapping[str, int]]) -> list[str]:
    """How many values are sentinels or unreliable, and in which columns most."""
    words = {"sentinel": "stand for missing ones", "unreliable": "are unreliable by their flags"}
    found = []
    for what, columns in counts.items():
        if columns:
            most = sorted(columns, key=lambda name: -columns[name])
            shown = ", ".join(f"{name} ({columns[name]})" for name in most[:_SHOWN])
            more = f" and {len(most) - _SHOWN} more columns" if len(most) > _SHOWN else ""
            found.append(f"{sum(columns.values())} values {words[what]}: {shown}{more}")
    return found


def _pile_ups(values: np.ndarray, columns: Sequence[str]) -> list[str]:
    """Values that many rows share and that lie far outside of their column's others."""
    found = {name: find_pile_up(column) for name, column in zip(columns, values.T, strict=True)}
    return [
        f"{name}: {pile[1]} rows hold {pile[0]:g}, far outside of its other values; name it in "
        "columns.sentinels if it stands for a missing one"
        for name, pile in found.items()
        if pile is not None
    ]


def _incomplete(cube: Cube, spectrum: SpectrumSettings) -> list[str]:
    """Light-curve groups that the cube has some columns of, but not all."""
    missing = {g: absent_parts(cube, g) for g in spectrum.groups if is_light_curve(g)}
    return [f"no {g} light curves without {', '.join(m)}" for g, m in missing.items() if m]


def _unread(cube: Cube, read: Mapping[str, Sequence[str]]) -> list[str]:
    """Columns of lists that are not read, in one warning."""
    unread = unread_lists(cube.kinds(), [name for names in read.values() for name in names])
    return [f"columns of lists that are not read: {', '.join(unread)}"] if unread else []


def _misspelt(cube: Cube, columns: Sequence[str]) -> list[str]:
    """Scalar columns that the cube has under almost the same name, in one warning."""
    found = misspelt(cube.kinds(), columns)
    return [f"no columns {', '.join(found)}"] if found else []


def _repeated_gaia(cube: Cube) -> int:
    """Rows whose Gaia source stands on an earlier row too."""
    names = [name for name in cube.text(GAIA_COLUMN).tolist() if name]
    return len(names) - len(set(names))
