"""One simulated field, measured by every survey and written as a datacube."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from threadpoolctl import threadpool_limits

from astromodal.config.inputs import BANDS, SimulateSettings
from astromodal.data.parquet import cube_writer
from astromodal.errors import ConfigError, must_be, suggestion
from astromodal.simulate import cutouts, gaia, light_curves, spectroscopy
from astromodal.simulate.cutouts import shape_columns
from astromodal.simulate.light import (
    SPLUS,
    Light,
    integrate_light,
    spectra,
    splus_columns,
    to_magnitude,
    vista_columns,
)
from astromodal.simulate.sources import CLASSES, Sources, sample_sources, stream
from astromodal.storage.tempfiles import atomic_path
from astromodal.surveys.desi import GRIDS

LEFT_NAN = 0.01
"""Share of missing numbers that are NaN instead of null, as some tools write them."""


def nullable(values: np.ndarray, rng: np.random.Generator) -> pa.Array:
    """Return a column of `values` (n,); missing ones are null, a few of them NaN."""
    missing = np.isnan(values)
    return pa.array(values, mask=missing & (rng.uniform(size=len(values)) >= LEFT_NAN))


def exact(values: np.ndarray) -> pa.Array:
    """Return a column of `values` (n,) whose missing ones are all null."""
    return pa.array(values, mask=np.isnan(values))


def places(rows: np.ndarray, n: int) -> np.ndarray:
    """Return the position in `rows` of each of `n` rows, int64 (n,); -1 where absent."""
    place = np.full(n, -1)
    place[rows] = np.arange(len(rows))
    return place


def spread(values: Sequence[object], place: np.ndarray, kind: pa.DataType) -> pa.Array:
    """Return a column of ``values[place]``, null where `place` is negative."""
    listed = list(values)
    return pa.array([listed[k] if k >= 0 else None for k in place.tolist()], kind)


def ragged(values: np.ndarray, place: np.ndarray) -> pa.Array:
    """A float32 list column of the rows ``values[place]``, null where `place` is negative."""
    present = place >= 0
    flat = np.ascontiguousarray(values[place[present]], dtype=np.float32).ravel()
    return lists(flat, np.where(present, values.shape[1], 0), present)


def lists(flat: np.ndarray, length: np.ndarray, present: np.ndarray) -> pa.Array:
    """Return a float32 list column of `length` (n,) values each, consecutive in `flat`."""
    offsets = np.concatenate([[0], np.cumsum(length)]).astype(np.int32)
    return pa.ListArray.from_arrays(
        pa.array(offsets), pa.array(flat, pa.float32()), mask=pa.array(~present)
    )


Columns = dict[str, pa.Array]

_TRUTH = {
    "redshift": "redshift", "teff": "teff", "logg": "logg", "mh": "metallicity",
    "distance_pc": "distance", "r_mag": "r_mag", "pmra": "pmra", "pmdec": "pmdec",
}  # fmt: skip
"""Truth columns, without ``sim_``, and the attributes of `Sources` that they hold."""


class MeasuredField:
    """A field's sources and their simulated measurements.

    Parameters
    ----------
    settings : SimulateSettings
        The sky.
    field : str
        One of its fields.
    """

    def __init__(self, settings: SimulateSettings, field: str) -> None:
        self._settings, self._field = settings, field
        self._own = settings.fields[field]
        self._absent = set(self._own.absent)
        if "gaia" in self._absent:  # XP spectra and cutouts need a Gaia match
            self._absent |= {"gaiaxp", "images"}
        sources = sample_sources(settings, field)
        self._light: Light = integrate_light(sources)
        at_least = max(settings.cutout_fraction, settings.xp_fraction)
        self._owner = gaia.match(sources, self._light, at_least, self._stream("match"))
        self.sources: Sources = self._together(sources)
        self._optics = cutouts.telescope(settings, field)
        self._imager = cutouts.Imager(self.sources, self._light, self._optics)
        self._cutout_length = self._choose_cutouts()

    def __len__(self) -> int:
        return len(self.sources)

    def _stream(self, part: str, *numbers: int) -> np.random.Generator:
        return stream(self._settings.seed, self._field, part, *numbers)

    def _together(self, sources: Sources) -> Sources:
        """Move rows of one Gaia source to within the radius of survey matches."""
        rng, owner = self._stream("offsets"), self._owner
        twice = np.flatnonzero((owner >= 0) & (owner != np.arange(len(owner))))
        ra, dec = sources.ra.copy(), sources.dec.copy()
        ra[twice] = ra[owner[twice]] + rng.uniform(-0.8, 0.8, len(twice)) / 3600
        dec[twice] = dec[owner[twice]] + rng.uniform(-0.8, 0.8, len(twice)) / 3600
        return replace(sources, ra=ra % 360.0, dec=dec)

    def _choose_cutouts(self) -> np.ndarray:
        """Choose the number of pixels of each row's cutouts, int64 (n,); 0 for no cutout."""
        rng = self._stream("which cutouts")
        rows = cutouts.choose(self._owner >= 0, self._settings.cutout_fraction, rng)
        length = np.zeros(len(self), dtype=np.int64)
        length[rows] = cutouts.lengths(len(rows), rng)
        return length

    def table(self) -> pa.Table:
        """Return every column except the cutouts; absent surveys have no columns."""
        n, rng = len(self), self._stream("nulls")
        columns: Columns = {
            "id": pa.array([f"i06{self._field}_{k:07d}".encode() for k in range(n)], pa.binary()),
            "field": pa.array([self._field.encode()] * n, pa.binary()),
            "ra": pa.array(self.sources.ra),
            "dec": pa.array(self.sources.dec),
        }
        shapes = shape_columns(self.sources, self._optics, self._stream("shapes"))
        magnitudes = splus_columns(self._light, self._stream("photometry"))
        columns |= {name: nullable(v, rng) for name, v in (shapes | magnitudes).items()}
        for part in (self._gaia, self._xp, self._desi, self._redshifts, self._vista, self._ztf):
            columns |= part(rng)
        return pa.table(columns | self._truth())

    def _gaia(self, rng: np.random.Generator) -> Columns:
        if "gaia" in self._absent:
            return {}
        matched, owner = self._owner >= 0, self._owner
        ids = gaia.identifiers(self.sources.ra, self.sources.dec, self._stream("gaia ids"))
        names = [f"Gaia DR3 {number}" for number in ids.tolist()]
        rounded = ids.astype(np.float64).astype(np.int64)  # as in real cubes: digits are lost
        columns = {
            "gaia_designation": spread(names, owner, pa.string()),
            "gaia_source_id": pa.array(rounded[owner], mask=~matched),
        }
        measured = gaia.gaia_columns(self.sources, self._light, self._stream("gaia"))
        for name, values in measured.items():
            columns[name] = nullable(np.where(matched, values[owner], np.nan), rng)
        return columns

    def _xp(self, _: np.random.Generator) -> Columns:
        if "gaiaxp" in self._absent:
            return {}
        n, rng = len(self), self._stream("xp")
        own = self._owner == np.arange(n)
        rows = gaia.choose_xp(gaia.g_magnitude(self._light), own, self._settings.xp_fraction, rng)
        columns: Columns = {}
        quoted = rng.uniform(size=len(rows)) < 0.2
        for band in gaia.XP_MODELS:
            wave = gaia.instrument(band).wave * 10.0
            flux = spectra(self.sources, self._light, rows, wave)
            flux *= gaia.window(self.sources)[rows, None]
            values = gaia.xp_columns(band, gaia.measure_xp(band, flux, rng), quoted, rng)
            place = places(rows, n)
            if band == "bp":
                place[rows[gaia.without_bp(len(rows), rng)]] = -1
            place = np.where(self._owner >= 0, place[self._owner], -1)
            for name, column in values.items():
                kind = pa.string() if "coefficient" in name else pa.float64()
                columns[name] = spread(column, place, kind)
        return columns

    def _desi(self, _: np.random.Generator) -> Columns:
        if "desi" in self._absent:
            return {}
        rng = self._stream("desi")
        rows = self._desi_rows()
        place = places(rows, len(self))
        # Real target ids are 64-bit integers near 3.96e16, stored as floats.
        target = rng.integers(39_627_000_000_000_000, 39_640_000_000_000_000, len(rows))
        columns = {"desi_TARGETID": spread(target.astype(np.float64).tolist(), place, pa.float64())}
        coadds = spectroscopy.observe(self.sources, self._light, rows, rng)
        for arm in spectroscopy.ARMS:
            grid = GRIDS[f"desi_{arm}"].points().astype(np.float32)
            flux, ivar = coadds.flux[arm], coadds.ivar[arm]
            columns[f"desi_wave_{arm}"] = ragged(np.broadcast_to(grid, flux.shape), place)
            columns[f"desi_flux_{arm}"] = ragged(flux, place)
            columns[f"desi_ivar_{arm}"] = ragged(ivar, place)
        return columns

    def _desi_rows(self) -> np.ndarray:
        if "desi" in self._absent:
            return np.zeros(0, dtype=np.int64)
        rng = self._stream("which fibres")
        return spectroscopy.choose(self.sources, self._settings.desi_fraction, rng)

    def _redshifts(self, nulls: np.random.Generator) -> Columns:
        if "specz" in self._absent:
            return {}
        rng, share = self._stream("specz"), self._settings.specz_fraction
        rows = spectroscopy.choose_redshifts(self.sources, share, self._desi_rows(), rng)
        place = places(rows, len(self))
        columns = {
            name: nullable(np.append(values, np.nan)[place], nulls)  # place -1 is the NaN
            for name, values in spectroscopy.redshift_columns(self.sources, rows, rng).items()
        }
        names = [CLASSES[kind] for kind in self.sources.kind[rows].tolist()]
        return columns | {"specz_class_spec": spread(names, place, pa.string())}

    def _vista(self, nulls: np.random.Generator) -> Columns:
        if "vista" in self._absent:
            return {}
        measured = vista_columns(self._light, self._stream("vista"))
        return {name: nullable(values, nulls) for name, values in measured.items()}

    def _ztf(self, _: np.random.Generator) -> Columns:
        fraction = self._settings.light_curve_fraction
        if "ztf" in self._absent or not fraction:
            return {}
        rng, n = self._stream("ztf"), len(self)
        rows = light_curves.choose(n, fraction, rng)
        # A circular mean, which is correct for fields around RA 0.
        angle = np.radians(self.sources.ra)
        ra = np.degrees(np.arctan2(np.sin(angle).sum(), np.cos(angle).sum())) % 360.0
        exposures = light_curves.expose(float(ra), rng)
        varied = light_curves.variation(self.sources, rows, exposures, rng)
        bands = [list(SPLUS).index(band) for band in light_curves.BANDS]
        mean = to_magnitude(self._light.flux[rows[:, None], bands])
        columns: Columns = {}
        for band, curves in light_curves.measure(mean, varied, exposures, rng).items():
            length = np.zeros(n, dtype=np.int64)
            length[rows] = curves.pop("length")
            for part, values in curves.items():
                columns[f"ztf_{part}_{band}"] = lists(values, length, length > 0)
        return columns

    def _truth(self) -> Columns:
        sources = self.sources
        values = {name: getattr(sources, attribute) for name, attribute in _TRUTH.items()}
        values["ebv"] = np.full(len(self), sources.reddening)
        values |= {
            "radius_arcsec": sources.shape["radius"],
            "axis_ratio": sources.shape["axis_ratio"],
            "theta": sources.shape["angle"],
            "bulge_fraction": sources.shape["bulge"],
        }
        magnitudes = to_magnitude(self._light.flux[:, : len(SPLUS)])
        values |= {f"mag_{band}": magnitudes[:, k] for k, band in enumerate(SPLUS)}
        names = pa.array([CLASSES[kind] for kind in sources.kind.tolist()], pa.string())
        return {"sim_class": names} | {f"sim_{name}": exact(v) for name, v in values.items()}

    def cutout_schema(self) -> list[pa.Field]:
        """Return the schema of the cutout columns; empty where the field has no images."""
        if "images" in self._absent:
            return []
        return [pa.field(f"splus_cut_{band}", pa.list_(pa.float32())) for band in BANDS]

    def cutouts(self, start: int, n: int) -> Iterator[pa.Array]:
        """Yield cutout columns of `n` rows from row `start`, in the order of `cutout_schema`."""
        if "images" in self._absent:
            return
        length = self._cutout_length[start : start + n]
        rows = start + np.flatnonzero(length)
        images = self._imager.expose(rows, self._stream("cutouts", start))
        pixels = images.reshape(len(rows), len(SPLUS), cutouts.SIZE**2)
        names = list(SPLUS)
        for band in BANDS:
            if band in self._own.absent_bands:
                yield pa.nulls(n, pa.list_(pa.float32()))
                continue
            order = names.index(cutouts.CATALOGUE_BANDS[band])
            kept = np.arange(cutouts.SIZE**2) < length[length > 0, None]
            yield lists(pixels[:, order][kept], length, length > 0)


ROW_GROUP = 1024
"""Rows of a row group; as many cutouts (0.44 MB each) are held in memory at most."""
_EXPOSED = 64
"""Rows whose cutouts are drawn together, from random numbers of their own."""


def simulate_field(settings: SimulateSettings, field: str, path: str | Path) -> None:
    """Simulate a field and write its datacube.

    Parameters
    ----------
    settings : SimulateSettings
        The sky; `field` must be one of its fields.
    field : str
        The field's name; with the seed, it determines all random numbers.
    path : path
        The parquet file, written atomically. The same settings give the same bytes with any
        number of threads.

    Raises
    ------
    ConfigError
        If the settings have no such field.
    """
    _check(settings, field)
    # The order of sums in BLAS depends on its number of threads: one thread gives the same bits.
    with threadpool_limits(1):
        measured = MeasuredField(settings, field)
        with atomic_path(path) as temporary:
            _write(measured, temporary)


def _check(settings: SimulateSettings, field: str) -> None:
    if field not in settings.fields:
        message = must_be("field", f"one of simulate.fields ({', '.join(settings.fields)})", field)
        raise ConfigError(message + suggestion(field, settings.fields))


def _write(measured: MeasuredField, path: Path) -> None:
    scalars = measured.table()
    schema = pa.schema([*scalars.schema, *measured.cutout_schema()])
    with cube_writer(path, schema) as writer:
        for start in range(0, scalars.num_rows, ROW_GROUP):
            part = scalars.slice(start, ROW_GROUP)
            images = cutout_columns(measured, start, part.num_rows)
            writer.write_table(pa.table([*part.columns, *images], schema=schema), ROW_GROUP)


def cutout_columns(measured: MeasuredField, start: int, n: int) -> list[pa.ChunkedArray]:
    """Return the cutout columns of `n` rows from row `start`."""
    pieces = [
        list(measured.cutouts(first, min(_EXPOSED, start + n - first)))
        for first in range(start, start + n, _EXPOSED)
    ]
    return [pa.chunked_array(band) for band in zip(*pieces, strict=True)]
