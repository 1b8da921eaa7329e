"""Cubes with one problem each: what is found, where, and that nothing else is."""

import json
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from astromodal.config import load_config
from astromodal.data.check import cube_errors
from astromodal.data.inspect import check_cube, field_of
from astromodal.data.parquet import Footer
from astromodal.simulate.field import simulate_field
from helpers.spectra import desi_columns, xp_columns_of, xp_spectrum

N, SIDE = 40, 8
CONFIG = load_config(
    {
        "tokenizers": {
            "scalar": {
                "columns": [
                    "mag_pstotal_r", "err_mag_pstotal_r", "gaia_parallax", "gaia_parallax_error",
                    "gaia_pmra", "gaia_phot_g_mean_flux", "gaia_teff_gspphot", "theta_det",
                    "a_pixel_det", "vista_japermag6", "specz_z",
                ],
            },
            "spectrum": {"groups": ["desi_r", "gaiaxp_bp", "ztf_r"]},
            "image": {"bands": ["R", "G"], "size": SIDE},
        }
    }
)  # fmt: skip
SOURCE = 2449704931658296064
"""A real source id of Gaia: float64 rounds it to …296320, and the ids 512 apart are exact."""


def some(values: dict[int, object]) -> list:
    """A column with values in a few rows."""
    return [values.get(row) for row in range(N)]


def good() -> dict[str, object]:
    """Columns of a cube in which nothing is wrong."""
    steps = np.arange(N)
    flux = np.random.default_rng(0).normal(2.0, 0.5, (3, 2326)).astype(np.float32)
    spectra = [some(dict(enumerate(part))) for part in (flux, np.ones_like(flux))]
    pixels = np.random.default_rng(1).normal(0.1, 0.05, (N, SIDE**2)).astype(np.float32)
    ids = SOURCE // 1024 * 1024 + 1024 * steps
    return {
        "id": [f"source {row}" for row in range(N)],
        "ra": np.linspace(10.0, 11.0, N),
        "dec": np.linspace(-31.0, -30.0, N)[steps * 7 % N],
        "mag_pstotal_r": np.linspace(15.0, 21.0, N),
        "err_mag_pstotal_r": np.linspace(0.01, 0.2, N).astype(np.float32),
        "gaia_parallax": np.linspace(-0.3, 4.0, N),
        "gaia_parallax_error": np.linspace(0.05, 0.6, N),
        "gaia_pmra": np.linspace(-20.0, 15.0, N),
        "gaia_phot_g_mean_flux": np.geomspace(200.0, 2e5, N),
        "gaia_teff_gspphot": np.linspace(3800.0, 7000.0, N),
        "theta_det": np.linspace(-80.0, 85.0, N),
        "a_pixel_det": np.linspace(1.0, 4.0, N),
        "vista_japermag6": np.linspace(14.0, 20.0, N),
        "specz_z": some({row: 0.05 * row for row in range(12)}),
        "gaia_designation": [f"Gaia DR3 {number}" for number in ids],
        "gaia_source_id": ids,
        "gaiaxp_source_id": some({3: int(ids[3]), 4: int(ids[4])}),
        **desi_columns(*spectra),
        **xp_columns_of(some({row: xp_spectrum(row) for row in (3, 4)})),
        "ztf_mag_r": some({5: [18.1, 18.2], 6: [17.0]}),
        "ztf_magerr_r": some({5: [0.02, 0.03], 6: [0.01]}),
        "ztf_hmjd_r": some({5: [58200.5, 58201.5], 6: [58300.5]}),
        "splus_cut_R": pa.array(some(dict(enumerate(pixels[:10]))), pa.list_(pa.float32())),
        "splus_cut_G": pa.array(some(dict(enumerate(pixels[10:20]))), pa.list_(pa.float32())),
    }


@pytest.fixture
def found(write_cube) -> Callable:
    """Find the problems of the good cube after a change; None drops a column."""

    def problems(config=CONFIG, **changes):
        columns = good()
        for name, value in changes.items():
            columns[name] = value(columns[name]) if callable(value) else value
        present = {name: value for name, value in columns.items() if value is not None}
        return check_cube(write_cube(present, row_group_size=16), config)

    return problems


def test_nothing_is_found_in_a_good_cube(found):
    """Spectra, light curves, cutouts and ids included."""
    assert found() == []


def put(**values: object) -> Callable:
    """Set the values of a few rows, by ``row_{number}``."""
    rows = {int(name.removeprefix("row_")): value for name, value in values.items()}

    def change(column: object) -> list:
        listed = column.to_pylist() if isinstance(column, pa.Array) else list(column)
        return [rows.get(row, value) for row, value in enumerate(listed)]

    return change


def times(factor: float) -> Callable:
    """Multiply numbers, or the lists of a column."""

    def change(column: object) -> list:
        listed = column.to_pylist() if isinstance(column, pa.Array) else list(column)
        return [None if v is None else (np.asarray(v, float) * factor).tolist() for v in listed]

    return change


def cut(length: int) -> Callable:
    """Cut the list of row 2 short."""
    return lambda column: put(row_2=list(column[2])[:length])(column)


XP, ERRORS = "gaiaxp_bp_coefficients", "gaiaxp_bp_coefficient_errors"
PLANTED = {
    # What is changed: severity, column, rows, first row, and words of what is found.
    "magnitudes as text": (
        {"mag_pstotal_r": ["15"] * N},
        ("error", "mag_pstotal_r", None, None, "must be a column of numbers, got text"),
    ),
    "an id is null": ({"id": put(row_7=None)}, ("error", "id", 1, 7, "present in every row")),
    "no ids": ({"id": None}, ("error", "id", None, None, "column 'id' is missing")),
    "a spectrum without its errors": (
        {"desi_ivar_r": None},
        ("error", "desi_ivar_r", None, None, "is missing from datacube_F1.parquet"),
    ),
    "a spectrum that was cut off": (
        {"desi_flux_r": lambda c: put(row_1=list(c[1])[:100])(c)},
        ("error", "desi_flux_r", 1, 1, "must be a list of 2326 values"),
    ),
    "wavelengths in nanometres": (
        {"desi_wave_r": times(0.1)},
        ("error", "desi_wave_r", 3, 0, "must be 5760 to 7620 Angstrom"),
    ),
    "a text of XP that is cut off": (
        {XP: put(row_4="[1.0, 2.0")},
        ("error", XP, 1, 4, "must be a list or a text '[a,b,…]' of 55 numbers"),
    ),
    "correlations that are cut off": (
        {"gaiaxp_bp_coefficient_correlations": put(row_3="[0.5]", row_4="[0.5]")},
        ("error", "gaiaxp_bp_coefficient_correlations", 2, 3, "of 1485 numbers"),
    ),
    "an epoch without its time": (
        {"ztf_hmjd_r": put(row_5=[58200.5])},
        ("error", "ztf_hmjd_r", 1, 5, "must be a list as long as that of 'ztf_mag_r', 2"),
    ),
    "a light curve without times": (
        {"ztf_hmjd_r": None},
        ("warning", "ztf_mag_r", None, None, "the cube lacks ztf_hmjd_r of the group ztf_r"),
    ),
    "a sentinel that is not declared": (
        {"gaia_parallax": put(row_9=-999.0, row_11=-999.0)},
        ("warning", "gaia_parallax", 2, 9, "is -999, far outside of its other values"),
    ),
    "a value that many rows share": (
        {"gaia_teff_gspphot": put(**{f"row_{row}": 123456.0 for row in range(5, 11)})},
        ("warning", "gaia_teff_gspphot", 6, 5, "is 123456, far outside of its other values"),
    ),
    "an infinite value": (
        {"gaia_parallax": put(row_0=np.inf)},
        ("warning", "gaia_parallax", 1, 0, "is infinite"),
    ),
    "a column without values": (
        {"vista_japermag6": pa.nulls(N, pa.float64())},
        ("warning", "vista_japermag6", N, 0, "has no value in any row"),
    ),
    "magnitudes that are fluxes": (
        {"vista_japermag6": np.geomspace(100, 1e5, N)},
        ("warning", "vista_japermag6", N, None, "is it a flux"),
    ),
    "parallaxes in arcsec": (
        {"gaia_parallax": times(1e-3)},
        ("warning", "gaia_parallax", N, None, "is it arcsec?"),
    ),
    "errors of parallaxes in arcsec": (
        {"gaia_parallax_error": times(1e-3)},
        ("warning", "gaia_parallax_error", N, None, "is it arcsec?"),
    ),
    "proper motions in arcsec": (
        {"gaia_pmra": times(1e-3)},
        ("warning", "gaia_pmra", N, None, "is it arcsec / yr?"),
    ),
    "fluxes that are magnitudes": (
        {"gaia_phot_g_mean_flux": np.linspace(14, 20, N)},
        ("warning", "gaia_phot_g_mean_flux", N, None, "is it a magnitude?"),
    ),
    "temperatures as logarithms": (
        {"gaia_teff_gspphot": np.linspace(3.5, 3.9, N)},
        ("warning", "gaia_teff_gspphot", N, None, "is it its logarithm"),
    ),
    "velocities in place of redshifts": (
        {"specz_z": times(3e5)},
        ("warning", "specz_z", 12, None, "is it a velocity"),
    ),
    "angles in radian": (
        {"theta_det": times(np.pi / 180)},
        ("warning", "theta_det", N, None, "is it radian?"),
    ),
    "negative errors": (
        {"err_mag_pstotal_r": put(row_3=-0.1, row_4=-0.2)},
        ("warning", "err_mag_pstotal_r", 2, 3, "is a negative error"),
    ),
    "fluxes of DESI in erg": (
        {"desi_flux_r": times(1e-17)},
        ("warning", "desi_flux_r", 3, None, "far below its unit, 1e-17 erg"),
    ),
    "a negative inverse variance": (
        {"desi_ivar_r": lambda c: put(row_1=[-1.0, *np.ones(2325)])(c)},
        ("warning", "desi_ivar_r", 1, 1, "is negative"),
    ),
    "fibres that are all dead": (
        {"desi_ivar_r": times(0.0)},
        ("warning", "desi_ivar_r", 3, 0, "has no good value in these rows"),
    ),
    "fluxes that are mostly NaN": (
        {"desi_flux_r": lambda c: [v if v is None else [2.0] + [np.nan] * 2325 for v in c]},
        ("warning", "desi_flux_r", None, None, "has 100% of values that are no measurement"),
    ),
    "an XP spectrum with a negative error": (
        {ERRORS: put(row_4=str([-1.0, *[1.0] * 54]))},
        ("warning", ERRORS, 1, 4, "has no good value in these rows"),
    ),
    "negative errors of a light curve": (
        {"ztf_magerr_r": put(row_5=[0.02, -0.03])},
        ("warning", "ztf_magerr_r", 1, 5, "has negative errors"),
    ),
    "times as Julian dates": (
        {"ztf_hmjd_r": put(row_5=[2458201.0, 2458202.0], row_6=[2458301.0])},
        ("warning", "ztf_hmjd_r", 2, None, "where MJD is between"),
    ),
    "ids that repeat": (
        {"id": put(row_8="source 2", row_9="source 2")},
        ("warning", "id", 2, 8, "is that of an earlier row too"),
    ),
    "rows that share a Gaia source": (
        {
            "gaia_designation": lambda c: put(row_6=c[5])(c),
            "gaia_source_id": lambda c: put(row_6=c[5])(c),
        },
        ("warning", "gaia_designation", 1, 6, "is that of an earlier row too"),
    ),
    "a text that is no designation": (
        {"gaia_designation": put(row_6="2449704931658296064")},
        ("warning", "gaia_designation", 1, 6, "is no 'Gaia DR3"),
    ),
    "an XP spectrum of another source": (
        {"gaiaxp_source_id": put(row_4=SOURCE + 10**12)},
        ("warning", "gaiaxp_source_id", 1, 4, "is another source than gaia_designation"),
    ),
    "ids of XP that were rounded": (
        {"gaiaxp_source_id": some({3: float(SOURCE)}),
         "gaia_designation": put(row_3=f"Gaia DR3 {SOURCE}"),
         "gaia_source_id": put(row_3=SOURCE)},
        ("warning", "gaiaxp_source_id", 1, 3, "was rounded through float64"),
    ),
    "ids of DESI as real numbers": (
        {"desi_TARGETID": some({2: 39633559463397280.0, 3: 5.0})},
        ("warning", "desi_TARGETID", 1, 2, "stored as real numbers"),
    ),
    "rows without a position": (
        {"ra": put(row_3=None), "dec": put(row_5=91.0)},
        ("warning", "ra", 2, 3, "the row has no position"),
    ),
    "no right ascension": (
        {"ra": None},
        ("warning", "ra", None, None, "no row has a position"),
    ),
    "right ascension beyond the circle": (
        {"ra": lambda c: c + 349.2},
        ("warning", "ra", 8, 32, "is outside of -180 to 360 degree"),
    ),
    "positions in radian": (
        {"ra": lambda c: c * np.pi / 180, "dec": lambda c: c * np.pi / 180},
        ("warning", "ra", N, None, "are they radian?"),
    ),
    "right ascension in hours": (
        {"ra": lambda c: c / 15},
        ("warning", "ra", N, None, "is ra in hours?"),
    ),
    "positions in float32": (
        {"ra": lambda c: c.astype(np.float32)},
        ("warning", "ra", None, None, "is float, which rounds positions"),
    ),
    "a cutout at the edge": (
        {"splus_cut_G": put(row_2=[0.1] * 40)},
        ("warning", "splus_cut_G", 1, 2, "is no list of 8 x 8 values"),
    ),
    "cutouts without a valid pixel": (
        {"splus_cut_R": put(row_2=[0.0] * 64), "splus_cut_G": put(row_2=[np.nan] * 64)},
        ("warning", "splus_cut_R", 1, 2, "0 or not finite, in every band"),
    ),
    "cutouts in another unit": (
        {"splus_cut_R": times(1e-12)},
        ("warning", "splus_cut_R", None, None, "far below its unit, ct / s"),
    ),
    "a list by another name": (
        {"splus_cut_R": None, "splus_cut_r": some({0: [0.1] * 64})},
        ("warning", "splus_cut_r", None, None, "not read; nearest: 'splus_cut_R'"),
    ),
    "a column by almost the same name": (
        {"gaia_parallax": None, "Gaia_parallax": np.ones(N)},
        ("warning", "Gaia_parallax", None, None, "'gaia_parallax', which would be, is missing"),
    ),
    "a magnitude that most rows lack": (
        {"mag_pstotal_r": some({row: 15.0 + row / 10 for row in range(19)})},
        ("warning", "mag_pstotal_r", 21, None, "is missing in most rows"),
    ),
    "a magnitude that selects nothing": (
        {"mag_pstotal_r": lambda c: c + 10},
        ("warning", "mag_pstotal_r", N, 0, "selects no row (40 fainter)"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_problem_is_found_alone(found, name):
    """With severity, column, number of rows and the first row, and no other problem."""
    changes, (severity, column, n_rows, first, words) = PLANTED[name]
    (problem,) = found(**changes)
    assert (problem.severity, problem.column) == (severity, column)
    assert (problem.n_rows, problem.first_row) == (n_rows, first)
    assert words in problem.what
    assert problem.do


def test_all_problems_come_at_once_errors_first(found):
    """Eleven kinds of them, in one cube."""
    names = [
        "magnitudes as text", "a spectrum that was cut off", "a text of XP that is cut off",
        "an epoch without its time", "an infinite value", "errors of parallaxes in arcsec",
        "negative errors", "ids that repeat", "rows without a position", "a cutout at the edge",
        "ids of DESI as real numbers",
    ]  # fmt: skip
    changes = {key: value for name in names for key, value in PLANTED[name][0].items()}
    problems = found(**changes)
    assert {p.column for p in problems} == {PLANTED[name][1][1] for name in names}
    assert len(problems) == len(names)
    severities = [problem.severity for problem in problems]
    assert severities == ["error"] * 4 + ["warning"] * 7


def test_a_declared_sentinel_is_no_problem(found):
    """The same number, once the configuration names it."""
    settings = CONFIG.model_dump(mode="json")
    settings["columns"]["sentinels"] = {"gaia_parallax": [-999.0]}
    changed = PLANTED["a sentinel that is not declared"][0]
    assert found(load_config(settings), **changed) == []


def test_dead_fibres_among_others_are_no_problem(found):
    """Inverse variance 0 in one of three spectra."""
    assert found(desi_ivar_r=lambda c: put(row_1=[0.0] * 2326)(c)) == []


def test_every_row_that_a_reader_refuses_is_counted(found):
    """In several slices of rows, with good rows between."""
    lengths = dict.fromkeys((0, 2), [1.0] * 5)
    (problem,) = found(desi_flux_r=put(**{f"row_{k}": v for k, v in lengths.items()}))
    assert (problem.n_rows, problem.first_row) == (2, 0)


def test_a_cube_with_two_columns_of_one_name_has_one_error(tmp_path):
    """It cannot be said which one would be read: nothing more is looked at."""
    path = tmp_path / "datacube_F1.parquet"
    ids = pa.array(["a"])
    pq.write_table(pa.Table.from_arrays([ids, ids], ["id", "id"]), path)
    (problem,) = check_cube(path, CONFIG)
    assert (problem.severity, problem.column) == ("error", "")
    assert "must be unique, got ['id'] twice" in problem.what


@pytest.mark.parametrize("content", [b"", b"PAR1 and no more", None])
def test_a_file_that_is_no_cube_has_one_error(tmp_path, content):
    """Empty, cut off, or not there."""
    path = tmp_path / "datacube_F1.parquet"
    if content is not None:
        path.write_bytes(content)
    (problem,) = check_cube(path, CONFIG)
    assert (problem.severity, problem.column) == ("error", "")
    assert problem.do


def test_a_damaged_page_is_an_error_of_its_column(tmp_path):
    """Other columns are checked all the same."""
    path = tmp_path / "datacube_F1.parquet"
    table = pa.table({"id": [f"{i}" for i in range(N)], "mag_pstotal_r": np.linspace(15, 21, N),
                      "gaia_parallax": [np.inf, *np.ones(N - 1)]})  # fmt: skip
    options = {"compression": "NONE", "use_dictionary": False, "write_page_checksum": True}
    pq.write_table(table, path, **options)
    data = path.read_bytes()
    place = data.index(np.linspace(15, 21, N).tobytes()[:64])
    path.write_bytes(data[:place] + bytes(64) + data[place + 64 :])
    problems = {p.column: p for p in check_cube(path, CONFIG) if p.column not in ("ra", "dec")}
    assert problems.keys() == {"mag_pstotal_r", "gaia_parallax"}
    assert problems["mag_pstotal_r"].severity == "error"
    assert "readable in columns ['mag_pstotal_r']" in problems["mag_pstotal_r"].what


def test_a_cube_without_rows_is_said(write_cube):
    """Its columns are right, and there is nothing in it."""
    empty = {"id": pa.array([], pa.string()), "mag_pstotal_r": pa.array([], pa.float64())}
    (problem,) = check_cube(write_cube(empty), CONFIG)
    assert (problem.severity, problem.what) == ("warning", "has no row")


def test_the_errors_of_a_plan_are_among_the_problems(write_cube):
    """Line for line, so that both say the same of a cube."""
    columns = {**good(), "ra": ["x"] * N, "specz_z": ["y"] * N, "desi_wave_r": None}
    path = write_cube({name: value for name, value in columns.items() if value is not None})
    lines = cube_errors("F1", path.name, Footer(path, "F1").kinds(), CONFIG)
    whats = [f"field F1: {problem.what}" for problem in check_cube(path, CONFIG)]
    assert len(lines) == 3
    assert all(any(line.startswith(what) for what in whats) for line in lines)


@pytest.mark.parametrize(
    ("template", "file", "field"),
    [
        (None, "datacube_STRIPE82-0001.parquet", "STRIPE82-0001"),
        ("cubes/{field}_v2.pq", "A1_v2.pq", "A1"),
        ("cubes/{field}_v2.pq", "datacube_B.parquet", "B"),
        ("cubes/{field}/cube.parquet", "cube.parquet", "cube"),
    ],
)
def test_the_field_is_named_by_the_file(tmp_path, template, file, field):
    """As the configuration's template says, or as usual; else the name without its ending."""
    config = load_config({"paths": {"datacube_template": template}})
    assert field_of(tmp_path / file, config) == field


def test_a_name_that_is_no_field_is_an_error(tmp_path):
    """Snakemake would not take it."""
    path = tmp_path / "datacube_my field.parquet"
    pq.write_table(
        pa.table({"id": ["a"], "mag_pstotal_r": [15.0], "ra": [1.0], "dec": [2.0]}), path
    )
    problem = check_cube(path, CONFIG)[0]
    assert problem.severity == "error"
    assert "must be a name of letters, digits" in problem.what


def test_stages_are_said(write_cube):
    """With the groups of spectra."""
    said: list[str] = []
    check_cube(write_cube(good()), CONFIG, said.append)
    assert said == ["identifiers", "positions", "numbers", "texts", "spectra", "desi_r",
                    "gaiaxp_bp", "ztf_r", "cutouts"]  # fmt: skip


def test_a_simulated_sky_has_only_the_flaws_of_real_ones(tmp_path):
    """Rounded ids, sources that stand twice, and cutouts at the edge: nothing of units."""
    config = load_config({"simulate": {"n_sources": 150, "fields": {"SIM": {}}}})
    path = tmp_path / "datacube_SIM.parquet"
    simulate_field(config.simulate, "SIM", str(path))
    problems = {p.column for p in check_cube(path, config)}
    flaws = {"gaia_designation", "gaia_source_id", "desi_TARGETID", "splus_cut_U"}
    assert {"gaia_source_id", "desi_TARGETID"} <= problems <= flaws


REAL = {
    "HYDRA-REAL": set(),
    "STRIPE82-REAL": {
        ("gaia_source_id", "was rounded through float64", 1, 0),
        ("desi_TARGETID", "is stored as real numbers, which round whole numbers of this size", 9,
         560),
        ("ra", "is missing, or dec is beyond the poles: the row has no position", 1, 571),
        ("splus_cut_U", "is no list of 96 x 96 values: the cutout is missing, and no job stops", 7,
         1),
        *((f"vista_{band}apermag6{end}", "has no value in any row", 572, 0)
          for band in ("y", "j", "h", "ks") for end in ("", "err")),
    },
    "GAIAXP-REAL": {
        ("gaiaxp_source_id", "was rounded through float64", 6, 0),
        ("ra", "is missing, or dec is beyond the poles: the row has no position", 7, 0),
        ("mag_pstotal_r",
         "is missing in most rows: these are not selected, and get no scalar codes", 51, None),
    },
}  # fmt: skip
"""Warnings on real cubes; counts by hand.

STRIPE82-REAL has 7 cutouts at the edge (and 4 dead fibres, which are no problem), one row with
Gaia and one without a position, and 9 fibres with a TARGETID above 2^53. Of the 7 source ids of XP
in GAIAXP-REAL one is a multiple of 512, which float64 holds. HYDRA-REAL lacks Gaia, images and
spectra, and nothing is wrong.
"""


@pytest.mark.parametrize("field", REAL)
def test_problems_of_a_real_cube(real_cubes, field):
    """Exactly these warnings, and no error."""
    problems = check_cube(real_cubes / f"datacube_{field}.parquet", load_config())
    found = {(p.column, p.what, p.n_rows, p.first_row) for p in problems}
    assert found == REAL[field]
    assert {problem.severity for problem in problems} <= {"warning"}


def test_problems_are_plain_json(found):
    """Numbers of numpy would not be."""
    changes = PLANTED["a sentinel that is not declared"][0]
    (problem,) = found(**changes)
    assert json.loads(json.dumps(vars(problem))) == vars(problem)
