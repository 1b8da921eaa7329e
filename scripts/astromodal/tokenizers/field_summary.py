"""A field at a glance: what its cube holds, what is selected, what is odd about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from astromodal.config.schema import ImageSettings, SpectrumSettings
from astromodal.core.grids import is_light_curve
from astromodal.data.content import column_digests
from astromodal.data.cube import Cube
from astromodal.data.cutouts import count_cutouts
from astromodal.data.light_curves import absent_parts
from astromodal.data.spectra import count_spectra
from astromodal.data.splits import NO_CELL, SPLIT_NAMES, Split


def summarise_field(
    cube: Cube,
    split: Split,
    columns: Sequence[str],
    spectrum: SpectrumSettings,
    image: ImageSettings,
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
    read : mapping of str to sequence of str
        Columns that the workflow reads, by modality.

    Returns
    -------
    dict
        Plain values that JSON can hold: numbers of rows (all, selected, by split), of present
        values a column among the selected rows, of spectra and of cutouts among all rows; the
        columns that the cube lacks; `warnings` in words; and ``content``: the size and time of the
        cube and the digests of the columns that are read of it, to tell later whether they changed.
    """
    values = cube.scalars(columns)
    selected = split.selected
    present = np.isfinite(values[selected]).sum(axis=0)
    images = count_cutouts(cube, image)
    spectra = count_spectra(cube, spectrum)
    return {
        "field": cube.field,
        "n_rows": cube.n_rows,
        "n_selected": int(selected.sum()),
        "splits": {
            name: int((selected & (split.split == number)).sum())
            for number, name in enumerate(SPLIT_NAMES)
        },
        "n_cells": int(np.unique(split.healpix[split.healpix != NO_CELL]).size),
        "position": _centre(cube),
        "scalars": dict(zip(columns, present.tolist(), strict=True)),
        "absent_columns": [name for name in columns if name not in cube.columns],
        "spectra": spectra,
        "images": images,
        "content": {
            **asdict(cube.version),
            "columns": column_digests(cube, [name for names in read.values() for name in names]),
        },
        "warnings": _warnings(cube, split, values, columns, images) + _incomplete(cube, spectrum),
    }


def _centre(cube: Cube) -> dict[str, float] | None:
    """Mean direction of the rows (degree), right where the field straddles RA 0."""
    position = np.deg2rad(cube.scalars([cube.settings.ra, cube.settings.dec]))
    position = position[np.isfinite(position).all(axis=1)]
    if not len(position):
        return None
    ra, dec = position.T
    x, y, z = np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)
    mean = np.array([x.mean(), y.mean(), z.mean()])
    return {
        "ra": float(np.rad2deg(np.arctan2(mean[1], mean[0])) % 360),
        "dec": float(np.rad2deg(np.arctan2(mean[2], np.hypot(mean[0], mean[1])))),
    }


def _warnings(
    cube: Cube, split: Split, values: np.ndarray, columns: Sequence[str], images: dict[str, Any]
) -> list[str]:
    found = []
    unique, counts = np.unique(split.ids, return_counts=True)
    if len(unique) < len(split.ids):
        example = str(unique[counts.argmax()])[:40]
        found.append(f"{len(split.ids) - len(unique)} rows repeat an id, for example {example!r}")
    lost = int((split.healpix == NO_CELL).sum())
    if lost:
        found.append(f"{lost} rows without a position: their id decides on their split")
    if images["n_short"]:
        found.append(f"{images['n_short']} cutouts of a wrong length are missing")
    if images["n_blank"]:
        found.append(f"{images['n_blank']} cutouts without a valid pixel are missing")
    repeated = _repeated_gaia(cube)
    if repeated:
        found.append(f"{repeated} rows share their Gaia source with another row")
    for name, column in zip(columns, values.T, strict=True):
        largest = np.nanmax(np.abs(column), initial=0.0)
        if name.startswith("err_mag") and largest > 1e3:
            found.append(f"{name} reaches {largest:.3g} mag")
    if not split.selected.any():
        found.append("no row passes the selection")
    return found


def _incomplete(cube: Cube, spectrum: SpectrumSettings) -> list[str]:
    """Light-curve groups that the cube has some columns of, but not all."""
    missing = {g: absent_parts(cube, g) for g in spectrum.groups if is_light_curve(g)}
    return [f"no {g} light curves without {', '.join(m)}" for g, m in missing.items() if m]


def _repeated_gaia(cube: Cube) -> int:
    """Rows whose Gaia source stands on an earlier row too."""
    names = [name for name in cube.text("gaia_designation").tolist() if name]
    return len(names) - len(set(names))
