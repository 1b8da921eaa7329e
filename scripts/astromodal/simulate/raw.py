"""A simulated sky in the files that survey archives deliver, from which its cubes can be built.

``python -m astromodal.simulate.raw FOLDER`` writes the sky of ``config.yaml`` there, and a
configuration that names the files.
"""

from __future__ import annotations

import sys
from fnmatch import fnmatchcase
from itertools import chain
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
import yaml
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from hats.catalog import PartitionInfo, TableProperties
from hats.io import paths, write_parquet_metadata
from hats.pixel_math import HealpixPixel

from astromodal.config.inputs import BANDS, SimulateSettings
from astromodal.config.load import load_config
from astromodal.data.splits import healpix_cells
from astromodal.simulate.cutouts import SIZE
from astromodal.simulate.field import MeasuredField, cutout_columns
from astromodal.sources.match import Positions
from astromodal.sources.presets import load_preset
from astromodal.storage.tempfiles import atomic_path, write_text
from astromodal.surveys.desi import GRIDS

EPOCH: Final = 2018.5
"""Epoch of the simulated catalogue and images (Julian year)."""
GAIA_EPOCH: Final = 2016.0
"""Reference epoch of Gaia DR3 (Gaia Collaboration, Vallenari et al. 2023, A&A 674, A1)."""
_PIXEL: Final = 0.55 / 3600  # degree
_ORDER: Final = 3  # of the HEALPix cells that the Gaia catalogue is divided into
_FIBRES: Final = 100  # of a coadd file
_PLAIN: Final = pyarrow.csv.WriteOptions(quoting_style="needed")
_SOURCES: Final[dict[str, dict[str, Any]]] = {
    "splus": {"kind": "catalogue", "files": "splus/*.csv", "preset": "splus_dr4"},
    "gaia": {
        "kind": "catalogue",
        "files": "gaia",
        "preset": "gaia_dr3",
        "match": {"radius": "1.2 arcsec", "epoch": EPOCH, "one_to_one": False},
    },
    "vista": {"kind": "catalogue", "files": "vista/*.fits", "preset": "vista"},
    "specz": {"kind": "catalogue", "files": "specz.parquet", "preset": "specz_compilation"},
    "xp": {"kind": "gaia_xp", "files": "xp/*.csv"},
    "desi": {"kind": "desi_coadd", "files": "desi/coadd-*.fits"},
    "stamps": {"kind": "images", "files": "images/{field}_{band}.fits", "matched": "gaia"},
}


def write_raw_survey(sky: SimulateSettings, folder: str | Path, size: int = 1000) -> dict[str, Any]:
    """Write a simulated sky as raw survey files.

    Parameters
    ----------
    sky : SimulateSettings
        The sky.
    folder : path
        A new folder: S-PLUS catalogues as CSV and images as FITS, one a field and band, Gaia as a
        HATS catalogue, XP spectra as CSV, VISTA as FITS tables, DESI coadds with their redshifts,
        and a compilation of spectroscopic redshifts as parquet.
    size : int
        Side of an image (pixel), centred on its field. Sources at its edge have partial cutouts.

    Returns
    -------
    dict
        The ``sources`` of a configuration, with paths below `folder`; without surveys that no
        field has.
    """
    folder = Path(folder)
    fields = {name: MeasuredField(sky, name) for name in sky.fields}
    tables = {name: measured.table() for name, measured in fields.items()}
    for name, table in tables.items():
        _catalogue(table, "splus_dr4", folder / f"splus/{name}.csv", name)
        _vista(table, folder / f"vista/{name}.fits")
        _images(fields[name], table, folder / "images", name, size)
        _desi(table, folder / "desi", name)
    _gaia(tables, folder / "gaia")
    _xp(tables, folder / "xp/XpContinuousMeanSpectrum.csv")
    _redshifts(tables, folder / "specz.parquet")
    written = {name: each["files"].format(field="*", band="*") for name, each in _SOURCES.items()}
    sources = raw_sources(folder)
    return {name: sources[name] for name, files in written.items() if any(folder.glob(files))}


def raw_sources(folder: str | Path) -> dict[str, Any]:
    """Return the ``sources`` of a configuration for all files that `write_raw_survey` writes."""
    return {
        name: {**source, "files": f"{folder}/{source['files']}"}
        for name, source in _SOURCES.items()
    }


def _catalogue(table: pa.Table, preset: str, path: Path, field: str | None = None) -> None:
    """Write the rows of a cube under the raw names of a preset, as CSV, FITS or parquet.

    Missing numbers become the preset's first sentinel where it has one.
    """
    chosen = load_preset(preset)
    raw: dict[str, Any] = {}
    if chosen.id is not None and "id" in table.column_names:
        raw[chosen.id[0]] = table.column("id").cast(pa.string())
    raw |= {chosen.ra[0]: table.column("ra"), chosen.dec[0]: table.column("dec")}
    for named in chosen.field:
        if named.pattern is None:
            raw[named.column] = pa.array([field] * len(table))
    for name, rule in chosen.columns.items():
        if name in table.column_names and rule.names[0] not in raw:
            patterns = [v for pattern, v in chosen.sentinels.items() if fnmatchcase(name, pattern)]
            missing = next(chain(rule.sentinels, *patterns), None)
            raw[rule.names[0]] = _filled(table.column(name), missing)
    _write(pa.table(raw), path)


def _filled(column: pa.ChunkedArray, missing: float | None) -> pa.ChunkedArray:
    """Return a column whose missing numbers are a sentinel; other columns as they are."""
    if missing is None or not pa.types.is_floating(column.type):
        return column
    values = pc.fill_null(column, np.nan).to_numpy()
    return pa.chunked_array([np.where(np.isnan(values), missing, values).astype(values.dtype)])


def _write(table: pa.Table, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        if path.suffix == ".csv":
            pyarrow.csv.write_csv(table, temporary, _PLAIN)
        elif path.suffix == ".fits":
            Table(table.to_pydict()).write(temporary, format="fits", overwrite=True)
        else:
            pq.write_table(table, temporary)


def _vista(table: pa.Table, path: Path) -> None:
    names = [name for name in table.column_names if name.startswith("vista_")]
    measured = np.zeros(len(table), dtype=bool)
    for name in names:
        measured |= np.isfinite(_floats(table, name))
    if names:
        _catalogue(table.filter(pa.array(measured)).drop_columns("id"), "vista", path)


def _floats(table: pa.Table, name: str) -> np.ndarray:
    """Return a column of numbers, float64 (n,); NaN where missing."""
    return pc.fill_null(table.column(name).cast(pa.float64()), np.nan).to_numpy()


def _owners(table: pa.Table) -> pa.Table:
    """Return one row per Gaia source; its first row in the catalogue is its own."""
    if "gaia_designation" not in table.column_names:
        return table.slice(0, 0)
    names = table.column("gaia_designation").to_pylist()
    first = {name: row for row, name in reversed(list(enumerate(names))) if name is not None}
    return table.take(pa.array(sorted(first.values()), pa.int64()))


def _source_ids(table: pa.Table) -> pa.Array:
    names = table.column("gaia_designation").to_pylist()
    return pa.array([int(name.rsplit(" ", 1)[1]) for name in names], pa.int64())


def _gaia(tables: dict[str, pa.Table], folder: Path) -> None:
    """Write a HATS catalogue of all Gaia sources, at their positions of 2016.0."""
    owners = [_owners(table) for table in tables.values()]
    table = pa.concat_tables([t for t in owners if len(t)], promote_options="default")
    there = Positions(table.column("ra").to_numpy(), table.column("dec").to_numpy())
    pmra, pmdec = (_floats(table, f"gaia_{name}") for name in ("pmra", "pmdec"))
    before = there.moved(pmra, pmdec, np.full(len(table), GAIA_EPOCH - EPOCH))
    preset = load_preset("gaia_dr3")
    raw: dict[str, Any] = {
        "source_id": _source_ids(table),
        "ra": before.ra,
        "dec": before.dec,
        "ref_epoch": np.full(len(table), GAIA_EPOCH),
    }
    for name, rule in preset.columns.items():
        if name in table.column_names and rule.names[0] not in raw:
            raw[rule.names[0]] = table.column(name)
    raw["_healpix_29"] = healpix_cells(before.ra, before.dec, 2**29)
    cells = raw["_healpix_29"] >> 2 * (29 - _ORDER)
    written = pa.table(raw)
    for cell in np.unique(cells).tolist():
        leaf = folder / f"dataset/Norder={_ORDER}/Dir=0/Npix={cell}.parquet"
        _write(written.filter(pa.array(cells == cell)).sort_by("_healpix_29"), leaf)
    _hats_metadata(folder, len(table), np.unique(cells))


def _hats_metadata(folder: Path, n_rows: int, cells: np.ndarray) -> None:
    """Write schema, partitions and properties of a HATS catalogue."""
    write_parquet_metadata(folder, create_metadata=False)
    pixels = [HealpixPixel(_ORDER, cell) for cell in cells.tolist()]
    PartitionInfo(pixels).write_to_file(paths.get_partition_info_pointer(folder))
    properties = {
        "obs_collection": "simulated_gaia", "dataproduct_type": "object", "hats_nrows": n_rows,
        "hats_col_ra": "ra", "hats_col_dec": "dec", "hats_order": _ORDER, "hats_version": "v1.0",
    }  # fmt: skip
    TableProperties.model_validate(properties).to_properties_file(folder)


def _xp(tables: dict[str, pa.Table], path: Path) -> None:
    """Write the XP spectra of all Gaia sources as the archive does, with arrays as ``(a, b)``."""
    rows = []
    for table in tables.values():
        if "gaiaxp_rp_coefficients" in table.column_names:
            owners = _owners(table)
            has = pc.is_valid(owners.column("gaiaxp_rp_coefficients"))
            rows.append(owners.filter(has))
    table = pa.concat_tables(rows, promote_options="default")
    raw: dict[str, Any] = {"source_id": _source_ids(table)}
    for name in table.column_names:
        if name.startswith("gaiaxp_"):
            column = table.column(name)
            if pa.types.is_string(column.type):
                column = pc.replace_substring_regex(column, r'^"?\[', "(")
                column = pc.replace_substring_regex(column, r'\]"?$', ")")
            raw[name.removeprefix("gaiaxp_")] = column
    _write(pa.table(raw), path)


def _redshifts(tables: dict[str, pa.Table], path: Path) -> None:
    measured = []
    for table in tables.values():
        if "specz_z" in table.column_names:
            columns = ["ra", "dec", *(n for n in table.column_names if n.startswith("specz_"))]
            known = pc.fill_null(pc.is_finite(table.column("specz_z")), False)
            measured.append(table.select(columns).filter(known))
    _catalogue(pa.concat_tables(measured), "specz_compilation", path)


def _desi(table: pa.Table, folder: Path, field: str) -> None:
    """Write coadds of at most `_FIBRES` targets with a sky fibre, and their redshifts.

    A further coadd repeats the first target with half of its flux in a tenth of the time.
    """
    if "desi_TARGETID" not in table.column_names:
        return
    fibres = table.filter(pc.is_valid(table.column("desi_TARGETID")))
    for number, start in enumerate(range(0, len(fibres), _FIBRES)):
        _coadd(fibres.slice(start, _FIBRES), folder, f"{field.lower()}-{number}.fits")
    _coadd(fibres.slice(0, 1), folder, f"{field.lower()}-repeat.fits", 0.5, 100.0)


def _coadd(
    part: pa.Table, folder: Path, name: str, kept: float = 1.0, time: float = 1000.0
) -> None:
    """Write a coadd and its redshifts, which are in another order.

    Parameters
    ----------
    part : Table
        The targets.
    folder : path
        Folder of the two files.
    name : str
        Name of the files, behind ``coadd-`` and ``redrock-``.
    kept : float
        Share of the flux that is kept.
    time : float
        Exposure time (s).
    """
    n = len(part) + 1
    source = np.append(np.arange(n - 1), 0)  # the sky fibre stands last
    target = part.column("desi_TARGETID").to_numpy().astype(np.int64)[source]
    target[-1] = -1
    fibermap = Table(
        {
            "TARGETID": target,
            "COADD_FIBERSTATUS": np.zeros(n, dtype=np.int32),
            "TARGET_RA": part.column("ra").to_numpy()[source],
            "TARGET_DEC": part.column("dec").to_numpy()[source],
            "PMRA": np.zeros(n, dtype=np.float32),
            "PMDEC": np.zeros(n, dtype=np.float32),
            "REF_EPOCH": np.zeros(n, dtype=np.float32),
            "OBJTYPE": ["TGT"] * (n - 1) + ["SKY"],
            "COADD_EXPTIME": np.full(n, time, dtype=np.float32),
        }
    )
    hdus = [fits.PrimaryHDU(), fits.BinTableHDU(fibermap, name="FIBERMAP")]
    for arm in "BRZ":
        hdus += _arm(part, arm, source, kept)
    _write_hdus(hdus, folder / f"coadd-{name}")
    redshifts = Table(
        {
            "TARGETID": np.sort(target),
            "Z": np.zeros(n),
            "ZERR": np.full(n, 1e-4),
            "ZWARN": np.full(n, 4, dtype=np.int64),
            "SPECTYPE": ["STAR"] * n,
        }
    )
    tables = [fits.PrimaryHDU(), fits.BinTableHDU(redshifts, name="REDSHIFTS")]
    _write_hdus(tables, folder / f"redrock-{name}")


def _arm(part: pa.Table, arm: str, source: np.ndarray, kept: float) -> list[Any]:
    """Return wavelength, flux, inverse variance and mask of an arm."""
    grid = GRIDS[f"desi_{arm.lower()}"].points()
    flux, ivar = (
        np.stack(part.column(f"desi_{what}_{arm.lower()}").to_pylist()).astype(np.float32)[source]
        for what in ("flux", "ivar")
    )
    flux *= np.float32(kept)
    return [
        fits.ImageHDU(grid, name=f"{arm}_WAVELENGTH"),
        fits.ImageHDU(flux, name=f"{arm}_FLUX"),
        fits.ImageHDU(ivar, name=f"{arm}_IVAR"),
        fits.ImageHDU(np.zeros(flux.shape, dtype=np.int32), name=f"{arm}_MASK"),
    ]


def _images(measured: MeasuredField, table: pa.Table, folder: Path, field: str, size: int) -> None:
    """Write one image a band, of noise in which the cutouts stand at their sources' pixels."""
    if not measured.cutout_schema():
        return
    ra, dec = (table.column(name).to_numpy() for name in ("ra", "dec"))
    angle = np.radians(ra)
    centre = np.degrees(np.arctan2(np.sin(angle).mean(), np.cos(angle).mean())) % 360.0
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval = ["RA---TAN", "DEC--TAN"], [centre, dec.mean()]
    wcs.wcs.crpix, wcs.wcs.cdelt = [size / 2 + 0.5] * 2, [-_PIXEL, _PIXEL]
    corners = np.ceil(np.array(wcs.world_to_pixel_values(ra, dec)) - SIZE / 2).astype(np.int64)
    cutouts = [c.combine_chunks() for c in cutout_columns(measured, 0, len(measured))]
    header = wcs.to_header()
    for number, (band, column) in enumerate(zip(BANDS, cutouts, strict=True)):
        if column.null_count == len(column):
            continue
        # Seeded by the band alone: the sky around the cutouts is no part of any simulated cube.
        image = 0.01 * np.random.default_rng(number).standard_normal((size, size), np.float32)
        for row in np.flatnonzero(pc.is_valid(column).to_numpy(zero_copy_only=False)):
            _paste(image, column[row].values.to_numpy(), *corners[:, row])
        _write_hdus([fits.PrimaryHDU(image, header)], folder / f"{field}_{band}.fits")


def _paste(image: np.ndarray, pixels: np.ndarray, left: int, low: int) -> None:
    """Put a cutout into an image, where `astropy.nddata.Cutout2D` cuts it: from a corner on."""
    whole = np.full(SIZE**2, np.nan, dtype=np.float32)
    whole[: len(pixels)] = pixels
    columns = slice(max(left, 0), min(left + SIZE, len(image)))
    rows = slice(max(low, 0), min(low + SIZE, len(image)))
    if columns.start < columns.stop and rows.start < rows.stop:
        inside = whole.reshape(SIZE, SIZE)[
            rows.start - low : rows.stop - low, columns.start - left : columns.stop - left
        ]
        np.copyto(image[rows, columns], inside, where=np.isfinite(inside))


def _write_hdus(hdus: list[Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        fits.HDUList(hdus).writeto(temporary, overwrite=True)


if __name__ == "__main__":
    chosen = Path(sys.argv[1])
    sources = write_raw_survey(load_config("config/config.yaml").simulate, chosen)
    write_text(chosen / "config.yaml", yaml.safe_dump({"sources": sources}, sort_keys=False))
