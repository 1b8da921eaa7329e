import astropy.units as u
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from astromodal.config.inputs import ColumnSettings, FlagSettings
from astromodal.data.columns import PIXELS
from astromodal.data.cube import Cube
from astromodal.data.values import (
    base_class,
    find_pile_up,
    in_unit,
    is_sentinel,
    sentinels_of,
)
from astromodal.errors import DataError
from astromodal.surveys.registry import spectrum_group

DEFAULTS = ColumnSettings()
FLUX, IVAR, _ = (column.unit for column in spectrum_group("desi_r").columns)
FLAG, Z = "specz_f_z", "specz_z"


def cube_of(write_cube, columns, settings=DEFAULTS):
    n = len(next(iter(columns.values())))
    return Cube(write_cube({"id": [f"o{i}" for i in range(n)], **columns}), "F1", settings)


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ("mag_pstotal_r", [-99, 99]),
        ("err_mag_pstotal_u", [-99, 99]),
        ("vista_japermag6", [-999999500]),
        ("gaia_parallax", []),
        ("specz_z", []),
    ],
)
def test_the_surveys_sentinels(column, expected):
    """By default those of S-PLUS and VISTA count, each in the columns of its survey."""
    assert sentinels_of(column, DEFAULTS).tolist() == expected


def test_a_user_s_sentinels_add_to_the_presets():
    """A pattern of names gives sentinels to every column that it matches."""
    settings = ColumnSettings(sentinels={"flux_*": (-999,), "mag_x": (0,)})
    assert sentinels_of("flux_g", settings).tolist() == [-999]
    assert sentinels_of("mag_x", settings).tolist() == [-99, 0, 99]


def test_without_presets_there_are_no_sentinels():
    """Whoever measures magnitudes of 99 can say so."""
    assert not len(sentinels_of("mag_pstotal_r", ColumnSettings(presets=())))


def test_sentinels_are_found_whatever_their_precision():
    """-0.9999995e9 is stored as another number in float32 than in float64."""
    stored = np.array([-0.9999995e9, np.float32(-0.9999995e9), 18.2, np.nan, 1e300])
    assert is_sentinel(stored, np.array([-999999500.0])).tolist() == [True, True, *[False] * 3]


@pytest.mark.parametrize("kind", [pa.float32(), pa.float64(), pa.int32()])
def test_a_sentinel_is_a_missing_value(write_cube, kind):
    """99 and -99 are no magnitudes, as S-PLUS releases them."""
    cube = cube_of(write_cube, {"mag_pstotal_r": pa.array([18, 99, -99, None], kind)})
    assert cube.scalar("mag_pstotal_r").tolist()[:1] == [18]
    assert np.isnan(cube.scalar("mag_pstotal_r")[1:]).all()


def test_sentinels_are_counted(write_cube):
    """By column, where there are any; what is null is none."""
    columns = {"mag_pstotal_r": [18.0, 99.0, -99.0, None], "mag_pstotal_i": [18.0] * 4}
    found = cube_of(write_cube, columns).count_missing([*columns, "absent"])
    assert found == {"sentinel": {"mag_pstotal_r": 2}, "unreliable": {}}


def test_a_99_in_another_column_is_a_value(write_cube):
    """A proper motion of 99 mas/yr is measured."""
    assert cube_of(write_cube, {"gaia_pmra": [99.0]}).scalar("gaia_pmra").tolist() == [99.0]


def test_brackets_are_no_part_of_a_class():
    """Classes of the spec-z compilation carry their source or subclass in brackets."""
    texts = np.array(["STAR(WD)", "STAR (SIMBAD)", "GALAXY(SF)", "QSO", "", "KEEP(1,2)"])
    assert base_class(texts).tolist() == ["STAR", "STAR", "GALAXY", "QSO", "", "KEEP"]


@given(st.lists(st.text(max_size=8), max_size=5))
def test_a_base_class_is_its_own(texts):
    """Taking brackets off twice is taking them off once."""
    once = base_class(np.array(texts, dtype=np.str_))
    assert base_class(once).tolist() == once.tolist()


def test_unreliable_redshifts_are_missing(write_cube):
    """A flag of REMOVE takes redshift, error and class away; a KEEP, or none, leaves them."""
    columns = {
        FLAG: ["KEEP(0.1)", "REMOVE(2)", None, b"REMOVE"],
        Z: [0.1, 0.2, 0.3, 0.4],
        "specz_class_spec": ["GALAXY", "STAR", "QSO", "QSO"],
    }
    cube = cube_of(write_cube, columns)
    assert np.isnan(cube.scalar(Z)).tolist() == [False, True, False, True]
    assert cube.text("specz_class_spec").tolist() == ["GALAXY", "", "QSO", ""]
    counts = cube.count_missing([Z, "specz_class_spec"])["unreliable"]
    assert counts == {Z: 2, "specz_class_spec": 2}


def test_a_cube_without_flags_keeps_its_redshifts(write_cube):
    """Nothing says that they are unreliable."""
    assert cube_of(write_cube, {Z: [0.1, 0.2]}).scalar(Z).tolist() == [0.1, 0.2]


@pytest.mark.parametrize("kind", [pa.int64(), pa.float64()])
def test_flags_may_be_numbers_of_which_some_are_good(write_cube, kind):
    """With a list of reliable flags, a value without a flag is missing too (ZWARN: 0 is good)."""
    flags = {"zwarn": FlagSettings(columns=("z",), reliable=("0",))}
    columns = {"zwarn": pa.array([0, 4, None], kind), "z": [0.1, 0.2, 0.3]}
    cube = cube_of(write_cube, columns, ColumnSettings(flags=flags))
    assert np.isnan(cube.scalar("z")).tolist() == [False, True, True]


def test_flags_of_another_type_are_refused(write_cube):
    """Lists say nothing of a value's reliability."""
    cube = cube_of(write_cube, {FLAG: [[1], [2]], Z: [0.1, 0.2]})
    with pytest.raises(DataError, match=f"column '{FLAG}' .* must be a column of flags, text or"):
        cube.scalar(Z)


def test_a_pile_up_far_outside_is_found():
    """Twenty rows of -999 among magnitudes are likely no magnitudes."""
    values = np.append(np.random.default_rng(0).normal(20, 1, 1000), np.full(20, -999.0))
    assert find_pile_up(values) == (-999.0, 20)


def test_pile_ups_on_both_sides_do_not_hide_each_other():
    """The one of more rows is named."""
    values = np.random.default_rng(0).normal(20, 1, 1000)
    values[:300], values[300:500] = 99.0, -99.0
    assert find_pile_up(values) == (99.0, 300)


@pytest.mark.parametrize(
    "values",
    [
        np.random.default_rng(0).normal(20, 1, 1000),  # nothing is shared
        np.append(np.random.default_rng(0).uniform(0, 60, 1000), np.full(90, 8e-8)),  # inside
        np.append(np.random.default_rng(0).normal(20, 1, 1000), 1e6),  # one row
        np.append(np.random.default_rng(0).standard_cauchy(1000), np.full(20, 99.0)),  # tails
        np.repeat([0.0, 1.0, 99.0], 50),  # all values are shared
        np.full(20, np.nan),
        np.empty(0),
    ],
)
def test_what_is_no_pile_up(values):
    """Spikes inside a column's range, single outliers, heavy tails and flags are left alone."""
    assert find_pile_up(values) is None


@given(arrays(np.float64, st.integers(0, 60), elements=st.floats(-1e3, 1e3)))
def test_a_pile_up_is_one_of_the_values(values):
    """Its count is that of the rows that hold it."""
    found = find_pile_up(values)
    assert found is None or (values == found[0]).sum() == found[1]


@pytest.mark.parametrize(
    ("given", "column", "wanted", "expected"),
    [
        (u.hourangle, "ra", "deg", [15, 30]),
        (u.arcsec / u.yr, "gaia_pmra", "mas / yr", [1000, 2000]),
        (u.percent, "specz_z", "", [0.01, 0.02]),
        (u.mag(u.nJy), "mag_pstotal_r", "mag", [32.4, 33.4]),
        (u.dex(u.m / u.s**2), "gaia_logg_gspphot", "dex", [3, 4]),
        (u.W / u.m**2 / u.nm, "desi_flux_r", FLUX, [1e19, 2e19]),
        (u.nm, "desi_wave_r", "Angstrom", [10, 20]),
    ],
)
def test_values_are_converted(given, column, wanted, expected):
    """By a factor, or from one zero point to another."""
    found = in_unit(np.array([1, 2], np.float32), given, column, wanted)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("given", "column", "wanted"),
    [
        ("mag", "mag_pstotal_r", "mag"), (u.ABmag, "mag_pstotal_r", "mag"),
        (u.one, "mag_pstotal_r", "mag"), ("magnitude", "vista_japermag6", "mag"),
        (u.ABmag, "err_mag_pstotal_r", "mag"), (u.dex, "gaia_mh_gspphot", "dex"),
        (u.dex(u.one), "gaia_mh_gspphot", "dex"), ("log(cm.s**-2)", "gaia_logg_gspphot", "dex"),
        ("'electron'.s**-1", "gaia_phot_g_mean_flux", "electron / s"),
        ("e-/s", "gaia_phot_g_mean_flux", "electron / s"), ("counts/s", "splus_cut_R", PIXELS),
        ("pixels", "a_pixel_det", "pix"), ("degrees", "ra", "deg"),
        ("10**+34 (s2 cm4 Angstrom2) / erg2", "desi_ivar_r", IVAR),
        ("10**-17 erg/(s cm2 Angstrom)", "desi_flux_r", FLUX),
    ],
)  # fmt: skip
def test_values_of_the_same_unit_stay_what_they_are(given, column, wanted):
    """To the bit, however catalogues spell it."""
    values = np.array([1.1, 2.2], np.float32)
    assert in_unit(values, given, column, wanted) is values


@pytest.mark.parametrize(
    ("given", "column", "wanted", "words"),
    [
        (u.STmag, "mag_pstotal_r", "mag", "'ST' .* and 'AB' .* are not convertible"),
        (u.ABmag, "vista_japermag6", "mag", "vista_japermag6 is relative to Vega"),
        (u.Jy, "mag_pstotal_r", "mag", "not convertible"),
        (u.one, "gaia_teff_gspphot", "K", "not convertible"),
        (u.one / u.s, "gaia_phot_g_mean_flux", "electron / s", "not convertible"),
        (u.arcsec, "a_pixel_det", "pix", "not convertible"),
        ("furlongs", "ra", "deg", "did not parse as unit"),
        (3, "ra", "deg", "3 is no unit of one column"),
    ],
)
def test_units_of_another_kind_are_no_units_of_a_column(given, column, wanted, words):
    """A zero point, a pixel scale or a spectrum would have to be known."""
    with pytest.raises(ValueError, match=words):
        in_unit(np.array([1.0, 2.0]), given, column, wanted)
