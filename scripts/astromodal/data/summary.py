"""The summary of a field: counts, coverage, selection, warnings, and digests of its columns.

The digest of a column depends on its values alone. The bytes of the file do not matter: the same
table has the same digests when it is copied, or written by another program, with another
compression or in other row groups. A null number and a NaN have the same digest, since both are
missing values.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from astromodal.config.schema import ImageSettings, SelectionSettings, SpectrumSettings
from astromodal.data.check import misspelt, unread_lists
from astromodal.data.columns import GAIA_COLUMN
from astromodal.data.cube import Cube
from astromodal.data.cutouts import count_cutouts
from astromodal.data.parquet import is_list, is_number
from astromodal.data.provenance import Provenance
from astromodal.data.spectra import count_spectra
from astromodal.data.splits import NO_CELL, SPLIT_NAMES, Split, count_cut, mean_direction
from astromodal.data.values import find_pile_up
from astromodal.surveys.registry import light_curve_group, light_curves

if TYPE_CHECKING:
    from hashlib import _Hash

ABSENT: Final = "absent"
"""Digest of a column that a cube lacks."""
DIGEST_LENGTH = 32
_ROWS, _ROWS_OF_LISTS = 65_536, 256  # rows in memory at a time
_COLUMNS = 64  # columns of numbers in memory at a time


def column_digests(cube: Cube, names: Iterable[str]) -> dict[str, str]:
    """Compute the digests of some columns, a slice of rows at a time.

    Parameters
    ----------
    cube : Cube
        The field's datacube.
    names : iterable of str
        Columns; the digest of a column that the cube lacks is `ABSENT`.

    Returns
    -------
    dict
        The first 32 hexadecimal digits of a SHA-256 over type, nulls, lengths and values, by
        column.
    """
    digests = dict.fromkeys(names, ABSENT)
    present = {name: cube.dtype(name) for name in digests if name in cube.columns}
    numbers = [name for name, kind in present.items() if is_number(kind)]
    for first in range(0, len(numbers), _COLUMNS):
        digests |= _digests(cube, numbers[first : first + _COLUMNS], _ROWS)
    for name, kind in present.items():
        if not is_number(kind):
            digests |= _digests(cube, [name], _ROWS_OF_LISTS if is_list(kind) else _ROWS)
    return digests


def _digests(cube: Cube, names: Sequence[str], rows: int) -> dict[str, str]:
    """Return the digests of columns that are read together, `rows` rows at a time."""
    streams: dict[str, dict[str, _Hash]] = {name: {} for name in names}
    for piece in cube.slices(names, rows):
        for name, column in zip(names, piece.table.columns, strict=True):
            _add(streams[name], "", column)
    return {name: _digest(cube.n_rows, places) for name, places in streams.items()}


def _digest(n_rows: int, streams: Mapping[str, _Hash]) -> str:
    whole = hashlib.sha256(str(n_rows).encode())
    for place in sorted(streams):
        whole.update(place.encode() + streams[place].digest())
    return whole.hexdigest()[:DIGEST_LENGTH]


def _add(streams: dict[str, _Hash], place: str, column: Any) -> None:
    """Add the values of an Arrow array, and of the arrays inside it, to their streams.

    Lengths, nulls and values form separate streams, at each depth of the lists. So the digest does
    not depend on how the rows are sliced.
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.dictionary_decode()
        kind = column.type
    if is_list(kind):
        _stream(streams, f"{place} lists").update(_lengths(pc.list_value_length(column)))
        _add(streams, f"{place}[]", column.flatten())
    elif pa.types.is_floating(kind):
        values = column.to_numpy(zero_copy_only=False)
        gaps = np.isnan(values)
        if gaps.any():
            values = np.where(gaps, values.dtype.type(np.nan), values)
        _stream(streams, f"{place} {values.dtype.str}").update(_buffer(values))
    elif pa.types.is_integer(kind):
        values = pc.fill_null(column, 0).to_numpy(zero_copy_only=False)
        valid = pc.is_valid(column).to_numpy(zero_copy_only=False)
        _stream(streams, f"{place} nulls").update(_buffer(valid))
        _stream(streams, f"{place} {values.dtype.str}").update(_buffer(values))
    elif pa.types.is_null(kind):
        pass  # the number of rows is part of every digest
    else:
        _add_text(streams, place, column)


def _add_text(streams: dict[str, _Hash], place: str, column: Any) -> None:
    """Add text and bytes by their bytes, and values of any other type as text."""
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_binary(kind):
        column = pc.cast(column, pa.large_binary())
    elif not pa.types.is_large_binary(kind):
        printed = [None if value is None else str(value) for value in column.to_pylist()]
        column = pa.array(printed, pa.large_string()).cast(pa.large_binary())
    _stream(streams, f"{place} texts").update(_lengths(pc.binary_length(column)))
    _stream(streams, f"{place} bytes").update(b"".join(column.drop_null().to_pylist()))


def _stream(streams: dict[str, _Hash], name: str) -> _Hash:
    return streams.setdefault(name, hashlib.sha256())


def _lengths(counted: Any) -> memoryview:
    """Return lengths as bytes of int64; -1 where null."""
    return _buffer(pc.fill_null(pc.cast(counted, pa.int64()), -1).to_numpy(zero_copy_only=False))


def _buffer(values: np.ndarray) -> memoryview:
    return np.ascontiguousarray(values).data


_SHOWN = 4
"""Most columns, files or reasons that a warning names."""


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
        cutouts among all rows. What each source of raw files gave, as `Provenance` says, with the
        numbers of its files and of those left out. The columns that the cube lacks, and
        ``warnings`` in words.
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
    sources = cube.provenance
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
        "sources": {name: _counted(found) for name, found in sources.items()},
        "content": {
            **asdict(cube.version),
            "columns": column_digests(cube, [name for names in read.values() for name in names]),
        },
        "warnings": [
            *_warnings(split, odd, values, columns, images),
            *_of_sources(sources),
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


def _counted(found: Provenance) -> dict[str, Any]:
    """Return what a source gave, with the numbers of its files and not their names."""
    files, left_out = len(found.files), len(found.left_out)
    return {**asdict(found), "files": files, "left_out": left_out}


def _of_sources(sources: Mapping[str, Provenance]) -> list[str]:
    """Return lines on left-out files, sources without a match, contested objects, edges."""
    lines = []
    for name, found in sources.items():
        if found.left_out:
            names = _first([Path(path).name for path in found.left_out], "files")
            lines.append(f"source {name}: damaged files that are left out: {names}")
        if found.objects and not found.matched:
            dropped = [f"{reason} ({n})" for reason, n in found.dropped.items()]
            why = f"; not used: {_first(dropped, 'reasons')}" if dropped else ""
            near = f"{found.objects} objects in and around the field"
            lines.append(f"source {name}: no row matches any of its {near}{why}")
        if found.contested:
            lines.append(f"source {name}: {found.contested} objects match several rows best")
        partial = sum(band.n_partial for band in found.bands.values())
        if partial:
            lines.append(f"source {name}: {partial} cutouts reach beyond the edge of their image")
    return lines


def _missing(counts: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Return one line per reason for missing values, which names the columns with most of them."""
    words = {"sentinel": "stand for missing ones", "unreliable": "are unreliable by their flags"}
    lines = []
    for reason, columns in counts.items():
        if columns:
            most = sorted(columns, key=lambda name: -columns[name])
            shown = _first([f"{name} ({columns[name]})" for name in most], "columns")
            lines.append(f"{sum(columns.values())} values {words[reason]}: {shown}")
    return lines


def _first(names: Sequence[str], what: str) -> str:
    """Return the first names, and how many more of `what` there are."""
    more = f" and {len(names) - _SHOWN} more {what}" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


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
