"""Predictions of a field as a table with units, UCDs and descriptions; VOTable and FITS writers.

UCDs (unified content descriptors) are words of the IVOA that say what a column holds, in a form
that programs read: UCD1+ controlled vocabulary 1.5, https://www.ivoa.net/documents/UCD1+/.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from astromodal import __version__
from astromodal.data.columns import scalar_meaning, scalar_unit
from astromodal.data.cube import Cube
from astromodal.data.splits import has_position
from astromodal.errors import ConfigError, FormatError, must_be
from astromodal.inference.tables import KEY, read_meta
from astromodal.storage.formats import DAMAGE, refuse_skipped, unreadable
from astromodal.storage.tempfiles import atomic_path

if TYPE_CHECKING:
    import astropy.units as u
    from astropy.io.fits import BinTableHDU
    from astropy.table import Table


class Described(NamedTuple):
    """Unit in the notation of astropy, UCD and description of a column of a catalogue."""

    unit: str
    ucd: str
    description: str


KEY_COLUMNS: Final = {
    "id": Described("", "meta.id;meta.main", "identifier in the field"),
    "field": Described("", "meta.id;obs.field", "field"),
    "ra": Described("deg", "pos.eq.ra;meta.main", "right ascension (ICRS)"),
    "dec": Described("deg", "pos.eq.dec;meta.main", "declination (ICRS)"),
    "healpix": Described("", "pos.healpix", "HEALPix cell, NESTED; -1 without a position"),
    "row": Described("", "meta.record", "row in the cube"),
    "split": Described("", "meta.code", "train, validation or test"),
    "n_given": Described("", "meta.number", "codes that the object was predicted from"),
}
"""Columns of every catalogue, but for positions where the cube is not given."""
POINTS: Final = {
    "zmode": Described("", "src.redshift.phot;meta.main", "mode: middle of the most probable bin"),
    "zmean": Described("", "src.redshift.phot;stat.mean", "mean"),
    "zmedian": Described("", "src.redshift.phot;stat.median", "median"),
    "z_lower68": Described("", "src.redshift.phot;stat.min", "lower limit of the central 68 %"),
    "z_upper68": Described("", "src.redshift.phot;stat.max", "upper limit of the central 68 %"),
    "z_lower95": Described("", "src.redshift.phot;stat.min", "lower limit of the central 95 %"),
    "z_upper95": Described("", "src.redshift.phot;stat.max", "upper limit of the central 95 %"),
    "odds": Described("", "stat.probability;src.redshift.phot", "probability near the mode"),
}
"""Point estimates of a redshift, float64 each."""
_UCDS: Final = (
    (r"^specz_z$", "src.redshift.phot"),
    (r"^specz_e_z$", "stat.error;src.redshift"),
    (r"parallax$", "pos.parallax"),
    (r"pmra$", "pos.pm;pos.eq.ra"),
    (r"pmdec$", "pos.pm;pos.eq.dec"),
    (r"mean_flux$", "phot.flux;em.opt"),
    (r"teff", "phys.temperature.effective"),
    (r"logg", "phys.gravity"),
    (r"_mh_", "phys.abund.Z"),
    (r"^mag_\w+_u$", "phot.mag;em.opt.U"),
    (r"^mag_\w+_g$", "phot.mag;em.opt.B"),
    (r"^mag_\w+_r$", "phot.mag;em.opt.R"),
    (r"^mag_\w+_[iz]$", "phot.mag;em.opt.I"),
    (r"^mag_", "phot.mag;em.opt"),
    (r"^vista_j", "phot.mag;em.IR.J"),
    (r"^vista_h", "phot.mag;em.IR.H"),
    (r"^vista_k", "phot.mag;em.IR.K"),
    (r"apermag\d$", "phot.mag;em.IR.NIR"),
    (r"^theta", "pos.posAng"),
    (r"^a_pixel", "phys.angSize.smajAxis"),
    (r"^b_pixel", "phys.angSize.sminAxis"),
    (r"^ellipticity", "src.ellipticity"),
    (r"^elongation", "phys.size.axisRatio"),
    (r"^fwhm_n", "phys.angSize"),
)
"""UCDs of scalar columns, by patterns of their names. The first that matches is used."""
_ERRORS: Final = ((r"^err_(\w+)$", "{}"), (r"^(\w+)_error$", "{}"), (r"^(vista_\w+\d)err$", "{}"))
"""Patterns of the names of errors, and the column that they are of."""
_STATISTICS: Final = {
    "mean": ("{};stat.mean", "mean"),
    "median": ("{};stat.median", "median"),
    "std": ("stat.stdev;{}", "standard deviation"),
    "p16": ("{};stat.min", "16th percentile"),
    "p84": ("{};stat.max", "84th percentile"),
}
"""UCD and description of each statistic of a predicted column."""

_UNKNOWN_UNITS: Final = {"electron", "dex"}
"""Units of columns that VOUnit 1.0 and FITS lack."""


def column_ucd(column: str) -> str:
    """Return the UCD of a scalar column; ``stat.value`` where none is known."""
    for pattern, of in _ERRORS:
        if match := re.search(pattern, column):
            return f"stat.error;{column_ucd(of.format(*match.groups()))}"
    return next((ucd for pattern, ucd in _UCDS if re.search(pattern, column)), "stat.value")


def catalogue_table(
    predictions: str | Path,
    cube: Cube | None = None,
    photoz: str | Path | None = None,
) -> Table:
    """Return predictions of a field as a table of astropy.

    Parameters
    ----------
    predictions : path
        Parquet file that `astromodal.inference.tables.predict_field` wrote.
    cube : Cube, optional
        Cube of the field, for the columns ``field``, ``ra`` and ``dec``.
    photoz : path, optional
        Redshift distributions of the same objects, for the columns `POINTS`.

    Returns
    -------
    astropy.table.Table
        The n objects in the order of the predictions. Columns have a unit, a description and, in
        ``info.meta``, a ``ucd``; NaN where there is no prediction or position. The table's ``meta``
        describes the origin.

    Raises
    ------
    FormatError
        If the predictions are of another kind, the distributions are damaged, or the files hold
        other objects or another model's predictions.
    SkippedError
        If the field was skipped.
    """
    from astropy.table import Table  # here: it takes half a second to import

    refuse_skipped(predictions)
    meta = read_meta(predictions)
    if meta["format"] != "predictions":
        must = "predictions of scalar columns"
        raise FormatError(must_be(str(predictions), must, str(meta["format"])))
    found = pq.read_table(predictions, page_checksum_verification=True)
    described = dict(_described(meta["columns"]))
    columns = {name: _values(found.column(name)) for name in found.column_names}
    if cube is not None:
        columns |= _places(cube, columns, str(predictions))
    if photoz is not None:
        columns |= _points(photoz, columns["id"], meta["model_hash"])
    described |= POINTS if photoz is not None else {}
    table = Table({name: columns[name] for name in described if name in columns})
    for name in table.colnames:
        own = described[name]
        table[name].unit = own.unit or None
        table[name].description = own.description
        table[name].meta["ucd"] = own.ucd
    given = ["everything else"] if meta["given"] is None else meta["given"]
    table.meta |= {
        "creator": f"astromodal {__version__}",
        "model_hash": meta["model_hash"],
        "given": ", ".join(given) or "nothing",
    }
    return table


def write_catalogue(table: Table, path: str | Path) -> None:
    """Write a table of `catalogue_table` as VOTable or FITS, by the ending of the path.

    Parameters
    ----------
    table : astropy.table.Table
        The table; it is not modified.
    path : path
        A file ``.vot`` (VOTable 1.4, BINARY2) or ``.fits`` (binary table with UCDs as ``TUCDn`` and
        descriptions as ``TCOMMn``). Text is UTF-8 in FITS, which provides for ASCII alone. A unit
        that FITS does not know (electron, dex) stands in the description.

    Raises
    ------
    ConfigError
        If the path has another ending.
    MachineError
        If the disk is full, read-only or broken.
    """
    writers = {".vot": _write_votable, ".fits": _write_fits}
    write = writers.get(Path(path).suffix)
    if write is None:
        raise ConfigError(
            must_be(f"ending of {path}", ".vot or .fits", Path(path).suffix or "none")
        )
    with atomic_path(path) as temporary:
        write(table, temporary)


def read_points(path: str | Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read ids and point estimates of a file of redshift distributions.

    Returns
    -------
    meta : dict
        Metadata of the file.
    columns : dict of str to array (n,)
        ``id`` as unicode, and the columns `POINTS`, float64.

    Raises
    ------
    FormatError
        If the file is damaged, or no such file.
    SkippedError
        If the field was skipped.
    """
    import h5py  # here: it takes a third of a second to import

    refuse_skipped(path)
    try:
        with h5py.File(path, "r", locking=False) as file:
            meta = dict(json.loads(file.attrs[KEY.decode()]))
            columns = {name: file[f"ancil/{name}"][()] for name in ("id", *POINTS)}
    except DAMAGE as error:
        raise unreadable(error, path, "redshift distributions", "photoz") from error
    columns["id"] = np.strings.decode(columns["id"], "utf-8")
    return meta, columns


def positions(cube: Cube, row: np.ndarray, ids: np.ndarray, source: str) -> np.ndarray:
    """Return right ascensions and declinations of some rows of a cube.

    Parameters
    ----------
    cube : Cube
        The cube.
    row : int (n,)
        Rows of the objects.
    ids : unicode (n,)
        Their ids, which are compared with those of the cube.
    source : str
        The file that rows and ids are from.

    Returns
    -------
    float64 (n, 2)
        ICRS positions (degree), right ascensions in [0, 360); NaN where there is none.

    Raises
    ------
    FormatError
        If the cube has other ids in these rows.
    """
    own, same = cube.ids(), row < cube.n_rows
    same[same] = own[row[same]] == ids[same]
    wrong = np.flatnonzero(~same)
    if len(wrong):
        what, must = f"id of row {row[wrong[0]]} in {cube.path}", repr(str(ids[wrong[0]]))
        raise FormatError(must_be(what, f"{must} as in {source}", "another", "run that rule again"))
    places = cube.scalars([cube.settings.ra, cube.settings.dec])[row]
    places[:, 0] %= 360
    places[~has_position(*places.T)] = np.nan
    return places


def _described(predicted: list[str]) -> Iterator[tuple[str, Described]]:
    """Yield the columns of a catalogue of predictions, in its order."""
    yield from KEY_COLUMNS.items()
    for column in predicted:
        unit, meaning = scalar_unit(column) or "", scalar_meaning(column) or column
        for statistic, (ucd, words) in _STATISTICS.items():
            words = f"{meaning}: {words} of the predicted distribution"
            whole = _one_primary(ucd.format(column_ucd(column)))
            yield f"{column}_{statistic}", Described(unit, whole, words)


def _one_primary(ucd: str) -> str:
    """Return a UCD without ``stat.error`` behind its first word, where it may not stand."""
    first, *rest = ucd.split(";")
    return ";".join((first, *(word for word in rest if word != "stat.error")))


def _values(column: pa.ChunkedArray) -> np.ndarray:
    """Return a column as an array; text as unicode."""
    if pa.types.is_string(column.type):
        return np.array(column.to_pylist(), dtype=np.str_)
    return np.asarray(column.to_numpy())


def _places(cube: Cube, columns: Mapping[str, np.ndarray], source: str) -> dict[str, np.ndarray]:
    """Return field and positions of objects with the columns id and row."""
    ra, dec = positions(cube, columns["row"], columns["id"], source).T
    return {"field": np.full(len(ra), cube.field), "ra": ra, "dec": dec}


def _points(path: str | Path, ids: np.ndarray, model_hash: str) -> dict[str, np.ndarray]:
    """Return the point estimates of objects, after a check that they are these ones."""
    meta, columns = read_points(path)
    do = "run export_photoz and predict_field again"
    if meta["model_hash"] != model_hash:
        must = f"that of hash {model_hash}"
        raise FormatError(must_be(f"model of {path}", must, meta["model_hash"], do))
    if not np.array_equal(columns.pop("id"), ids):
        raise FormatError(must_be(f"objects of {path}", "those of the predictions", "others", do))
    return columns


def _write_votable(table: Table, path: Path) -> None:
    import astropy.units as u
    from astropy.io.votable import from_table
    from astropy.io.votable.tree import CooSys, Info

    shown = table.copy(copy_data=False)
    for column in shown.itercols():
        if column.unit is not None:
            column.unit = u.Unit(_vounit(column.unit), format="vounit")
    shown.meta.clear()
    votable = from_table(shown)
    votable.version = "1.4"
    resource = votable.resources[0]
    resource.coordinate_systems.append(CooSys(ID="ICRS", system="ICRS"))
    resource.infos.extend(Info(name=key, value=value) for key, value in table.meta.items())
    for field in votable.get_first_table().fields:
        if field.name in ("ra", "dec"):
            field.ref = "ICRS"
    # Binary text of VOTable has two bytes per character, which emoji and rare scripts exceed.
    texts = (text for column in table.itercols() if column.dtype.kind == "U" for text in column)
    wide = any(max(text, default="") > "\uffff" for text in texts)
    votable.to_xml(str(path), tabledata_format="tabledata" if wide else "binary2")


def _vounit(unit: u.UnitBase) -> str:
    """Return a unit in the notation of VOUnit 1.0, with quotes around names that it lacks."""
    lacking = {base.name for base in unit.bases} & _UNKNOWN_UNITS
    if not lacking:
        return str(unit.to_string("vounit"))
    pairs = zip(unit.bases, unit.powers, strict=True)
    named = [(f"'{base.name}'" if base.name in lacking else base.name, p) for base, p in pairs]
    return ".".join(name if power == 1 else f"{name}**{power}" for name, power in named)


def _write_fits(table: Table, path: Path) -> None:
    from astropy.io import fits

    shown = table.copy(copy_data=False)
    shown.meta.clear()
    comments = []
    for name in shown.colnames:
        if shown[name].dtype.kind == "U":
            shown[name] = np.strings.encode(shown[name].data, "utf-8")
        comments.append(table[name].description)
        unit = shown[name].unit
        if unit is not None and _UNKNOWN_UNITS.intersection(base.name for base in unit.bases):
            comments[-1] += f" ({unit})"
            shown[name].unit = None
    hdu: BinTableHDU = fits.table_to_hdu(shown)
    hdu.name = "PREDICTIONS"
    for i, name in enumerate(table.colnames, start=1):
        hdu.header.set(f"TUCD{i}", table[name].meta["ucd"], after=f"TFORM{i}")
        hdu.header.set(f"TCOMM{i}", _plain(comments[i - 1]), after=f"TUCD{i}")
    names = {"creator": "CREATOR", "model_hash": "MODEL", "given": "GIVEN"}
    for key, keyword in names.items():
        hdu.header[keyword] = table.meta[key]
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path, overwrite=True)


def _plain(text: str) -> str:
    """Return text in ASCII, as headers of FITS need it."""
    return text.replace("²", "^2").encode("ascii", "replace").decode()
