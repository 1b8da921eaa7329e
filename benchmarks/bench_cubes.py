"""Building cubes: time and memory of the index and of the cube of a field of the survey's size."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.csv
import yaml
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS

from astromodal.config.inputs import BANDS
from astromodal.sources.presets import load_preset
from astromodal.surveys.desi import GRIDS
from astromodal.surveys.gaiaxp import N_COEFFICIENTS, N_CORRELATIONS
from benchmarks.harness import ROOT, Row
from benchmarks.sky import N_ROWS, desi_spectra

N_BRIGHT: Final = 19_000
"""Rows with cutouts."""
N_GAIA: Final = 100_000
N_MATCHED: Final = 40_000
"""Gaia sources at a row's position; the others stand anywhere in the field."""
N_SPECTRA: Final = 2_000
"""XP spectra, and DESI fibres."""
FIBRES: Final = 500
SIDE: Final = 9_500
LIMIT: Final = 21.0
MARK_TIME: Final = 10
MARK_MEMORY: Final = 2_000
_PIXEL: Final = 0.55 / 3600  # degree
_FIELD: Final = "B-1"
_CORES: Final = 2


def rows() -> Iterator[Row]:
    """Rows of the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_field(folder)
        index, index_peak = _job(_INDEX, folder)
        build, build_peak = _job(_BUILD, folder)
        size = (folder / "results" / f"datacube_{_FIELD}.parquet").stat().st_size
    what = f"a field: {N_ROWS} rows, {len(BANDS)} images of {SIDE} × {SIDE}, {N_BRIGHT} cutouts"
    yield Row(
        "index_source, build_cube", what, "two cores", (index + build) / 60, "min",
        mark=MARK_TIME, at_most=True,
        detail=f"index {index:.0f} s, cube {build:.0f} s; a cube of {size / 1e9:.1f} GB; "
        f"{N_GAIA} Gaia sources, {N_SPECTRA} XP spectra, {N_SPECTRA} DESI fibres",
    )  # fmt: skip
    for rule, peak in (("index_source", index_peak), ("build_cube", build_peak)):
        yield Row(
            "memory", f"{rule} of that field", "the whole process", peak, "MB",
            mark=MARK_MEMORY, at_most=True,
        )  # fmt: skip


def write_field(folder: Path) -> None:
    """Write the raw files of a field of noise, and a configuration that names them."""
    rng = np.random.default_rng(4)
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval = ["RA---TAN", "DEC--TAN"], [10.0, -30.0]
    wcs.wcs.crpix, wcs.wcs.cdelt = [SIDE / 2 + 0.5] * 2, [-_PIXEL, _PIXEL]
    ra, dec = wcs.pixel_to_world_values(*rng.uniform(-20, SIDE + 20, (2, N_ROWS)))
    _splus(folder, rng, ra, dec)
    ids = _gaia(folder, rng, wcs, ra, dec)
    _xp(folder, rng, ids)
    _desi(folder, rng, ra, dec)
    _images(folder, rng, wcs)
    sources = {
        "splus": {"kind": "catalogue", "files": "splus.csv", "preset": "splus_dr4"},
        "gaia": {
            "kind": "catalogue", "files": "gaia.csv", "preset": "gaia_dr3",
            "match": {"radius": "1.2 arcsec", "epoch": 2018.5},
        },
        "xp": {"kind": "gaia_xp", "files": "xp_*.csv.gz"},
        "desi": {"kind": "desi_coadd", "files": "coadd-*.fits"},
        "stamps": {
            "kind": "images", "files": "{field}_{band}.fits.fz", "matched": "gaia", "limit": LIMIT,
        },
    }  # fmt: skip
    for source in sources.values():
        source["files"] = f"{folder}/{source['files']}"
    config = {"paths": {"results": f"{folder}/results"}, "sources": sources}
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")


def _numbers(preset: str, n: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return values of the raw columns that a preset reads, with as many digits as archives."""
    rules = load_preset(preset).columns.values()
    whole = {rule.names[0] for rule in rules if rule.type == "int64"}
    drawn = {rule.names[0]: rng.normal(18, 2, n).round(6) for rule in rules if rule.type != "text"}
    return {name: v.astype(np.int64) if name in whole else v for name, v in drawn.items()}


def _splus(folder: Path, rng: np.random.Generator, ra: np.ndarray, dec: np.ndarray) -> None:
    bright = np.arange(N_ROWS) < N_BRIGHT
    magnitude = np.where(bright, rng.uniform(14, LIMIT, N_ROWS), rng.uniform(21.1, 24, N_ROWS))
    raw = {
        "ID_dual": [f"DR4_3_{_FIELD}_{i:07d}" for i in range(N_ROWS)],
        "RA_dual": ra, "DEC_dual": dec, "Field": [_FIELD] * N_ROWS,
        **_numbers("splus_dr4", N_ROWS, rng), "r_PStotal_dual": magnitude.round(6),
    }  # fmt: skip
    pa.csv.write_csv(pa.table(raw), folder / "splus.csv")


def _gaia(
    folder: Path, rng: np.random.Generator, wcs: WCS, ra: np.ndarray, dec: np.ndarray
) -> np.ndarray:
    """Write the Gaia catalogue; return the ids of sources at positions of bright rows."""
    there = np.stack([ra, dec])[:, :N_MATCHED] + rng.normal(0, 5e-5, (2, N_MATCHED))
    others = rng.uniform(-0.05 * SIDE, 1.05 * SIDE, (2, N_GAIA - N_MATCHED))
    every = np.concatenate([there, np.stack(wcs.pixel_to_world_values(*others))], axis=1)
    ids = rng.choice(1 << 40, N_GAIA, replace=False) + (1 << 60)
    raw = {
        **_numbers("gaia_dr3", N_GAIA, rng), "source_id": ids, "ra": every[0], "dec": every[1],
        "designation": [f"Gaia DR3 {i}" for i in ids.tolist()],
        "pmra": rng.normal(0, 5, N_GAIA), "pmdec": rng.normal(0, 5, N_GAIA),
    }  # fmt: skip
    pa.csv.write_csv(pa.table(raw), folder / "gaia.csv")
    return ids[:N_BRIGHT]


def _xp(folder: Path, rng: np.random.Generator, ids: np.ndarray) -> None:
    lengths = {
        "coefficients": N_COEFFICIENTS,
        "coefficient_errors": N_COEFFICIENTS,
        "coefficient_correlations": N_CORRELATIONS,
    }
    raw = {"source_id": rng.choice(ids, N_SPECTRA, replace=False)}
    for band in ("bp", "rp"):
        raw |= {f"{band}_n_parameters": np.full(N_SPECTRA, N_COEFFICIENTS)}
        raw |= {f"{band}_standard_deviation": rng.random(N_SPECTRA)}
        for part, length in lengths.items():
            values = rng.standard_normal((N_SPECTRA, length)).tolist()
            raw[f"{band}_{part}"] = [f"({', '.join(map(repr, each))})" for each in values]
    with gzip.open(folder / "xp_1.csv.gz", "wb", compresslevel=1) as stream:
        pa.csv.write_csv(pa.table(raw), stream)


def _desi(folder: Path, rng: np.random.Generator, ra: np.ndarray, dec: np.ndarray) -> None:
    some = rng.choice(N_BRIGHT, N_SPECTRA, replace=False)
    for number, start in enumerate(range(0, N_SPECTRA, FIBRES)):
        own = some[start : start + FIBRES]
        target = np.arange(FIBRES) + 39_627_000_000_000_000 + start
        fibermap = {
            "TARGETID": target, "TARGET_RA": ra[own], "TARGET_DEC": dec[own],
            "OBJTYPE": ["TGT"] * FIBRES, "COADD_FIBERSTATUS": np.zeros(FIBRES, np.int32),
            "COADD_EXPTIME": np.full(FIBRES, 1e3, np.float32),
        }  # fmt: skip
        hdus = [fits.PrimaryHDU(), fits.BinTableHDU(Table(fibermap), name="FIBERMAP")]
        for arm in "BRZ":
            flux, ivar = desi_spectra(FIBRES, f"desi_{arm.lower()}", number)
            mask = np.zeros(flux.shape, np.int32)
            values = {"FLUX": flux, "IVAR": ivar, "MASK": mask}
            points = GRIDS[f"desi_{arm.lower()}"].points()
            hdus.append(fits.ImageHDU(points, name=f"{arm}_WAVELENGTH"))
            hdus += [fits.ImageHDU(v, name=f"{arm}_{part}") for part, v in values.items()]
        fits.HDUList(hdus).writeto(folder / f"coadd-{number}.fits")
        redshifts = {
            "TARGETID": target, "Z": rng.random(FIBRES), "ZERR": np.full(FIBRES, 1e-4),
            "ZWARN": np.zeros(FIBRES, np.int64), "SPECTYPE": ["GALAXY"] * FIBRES,
        }  # fmt: skip
        hdus = [fits.PrimaryHDU(), fits.BinTableHDU(Table(redshifts), name="REDSHIFTS")]
        fits.HDUList(hdus).writeto(folder / f"redrock-{number}.fits")


def _images(folder: Path, rng: np.random.Generator, wcs: WCS) -> None:
    """Write images compressed as fpack does: by Rice, a row a tile, quantised to the noise."""
    pixels = rng.standard_normal((SIDE, SIDE), np.float32)
    hdu = fits.CompImageHDU(
        pixels, wcs.to_header(), compression_type="RICE_1", tile_shape=(1, SIDE), quantize_level=4
    )
    first, *others = (folder / f"{_FIELD}_{band}.fits.fz" for band in BANDS)
    hdu.writeto(first)
    for path in others:  # as much work as images of their own, which take minutes to write
        shutil.copy(first, path)


_INDEX = """
from astromodal.sources.plan import plan_cubes
os.cpu_count = lambda: CORES
plan_cubes(config, paths, {"index_source": "code", "build_cube": "code"}, print)
"""
_BUILD = """
from astromodal.sources.build import build_cube
build_cube(config, FIELD, paths, paths.results + f"/datacube_{FIELD}.parquet")
"""


def _job(work: str, folder: Path) -> tuple[float, float]:
    """Run Python source in a process of its own; return its time (s) and peak memory (MB)."""
    source = f"""
import os, re, sys, time
CORES, FIELD = {_CORES}, {_FIELD!r}
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
start = time.perf_counter()
from astromodal.config.load import load_config
from astromodal.core.paths import Layout
config = load_config(sys.argv[1])
paths = Layout(config.paths.results)
{work}
peak = re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]
print(time.perf_counter() - start, peak)
"""
    environment = {**os.environ, "OMP_NUM_THREADS": str(_CORES), "PYTHONPATH": f"{ROOT}/scripts"}
    done = subprocess.run(
        [sys.executable, "-c", source, str(folder / "config.yaml")],
        stdout=subprocess.PIPE, text=True, check=True, env=environment,
    )  # fmt: skip
    taken, peak = done.stdout.split()[-2:]
    return float(taken), int(peak) * 1024 / 1e6
