"""What is judged of values in memory, on numbers by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from astromodal.data.problems import (
    is_error,
    judge_gaia_ids,
    judge_large_ids,
    judge_numbers,
    judge_pile_up,
    judge_positions,
    judge_unit,
)

ROUNDED, EXACT = 2449704931658296320, 2449704931658296064
"""A source id of a real cube as float64 holds it, and as it is."""


@pytest.mark.parametrize(
    ("name", "yes"),
    [
        ("err_mag_pstotal_u", True), ("gaia_parallax_error", True), ("vista_japermag6err", True),
        ("specz_e_z", True), ("ztf_magerr_g", True), ("gaia_pmra", False), ("mag_pstotal_r", False),
        ("a_pixel_det", False), ("gaia_teff_gspphot", False),
    ],
)  # fmt: skip
def test_errors_are_known_by_their_names(name, yes):
    """Those of every default column of errors, and no other."""
    assert is_error(name) is yes


@pytest.mark.parametrize(
    ("number", "exact", "found"),
    [
        (EXACT, EXACT, None),
        (float(2**61), 2**61, None),
        (None, EXACT, None),
        (EXACT, None, None),
        (ROUNDED, EXACT, "was rounded"),
        (float(EXACT), EXACT, "was rounded"),
        (EXACT + 1024, EXACT, "is another source"),
        (float(EXACT + 1024), EXACT, "is another source"),
        (7, EXACT, "is another source"),
    ],
)
def test_ids_beside_designations(number, exact, found):
    """Equal, missing, rounded to a multiple of 512 at this size, or of another source."""
    problems = list(judge_gaia_ids("gaiaxp_source_id", [number], [exact], "gaia_designation"))
    assert [p.what.startswith(found) for p in problems] == ([True] if found else [])


@given(st.integers(2**53, 2**63 - 1))
def test_a_rounded_id_is_never_another_source(exact):
    """What float64 makes of an id is equal to it, or was rounded."""
    (found,) = list(judge_gaia_ids("x", [float(exact)], [exact], "y")) or [None]
    assert (found is None) == (int(float(exact)) == exact)
    assert found is None or found.what == "was rounded through float64"


def test_ids_that_float64_holds_are_no_problem():
    """2^53 is the last number up to which it holds all."""
    assert list(judge_large_ids("id", [2.0**53, 5.0, None])) == []
    (problem,) = judge_large_ids("id", [None, 2.0**53 + 2])
    assert (problem.n_rows, problem.first_row) == (1, 1)


@given(st.floats(0.2, 359.0), st.floats(-80, 80), st.floats(0.2, 3.0), st.integers(0, 2**16))
def test_square_fields_in_degree_are_no_problem(ra, dec, side, seed):
    """Of any place and of 12 arcmin to 3 degree, across right ascension 0 too."""
    rng = np.random.default_rng(seed)
    width = side / np.cos(np.deg2rad(dec))
    places = (ra + rng.uniform(0, width, 200)) % 360, dec + rng.uniform(0, side, 200)
    assert list(judge_positions(("ra", "dec"), *places)) == []


@given(st.floats(0.0, 360.0), st.floats(-80, 80), st.floats(0.5, 3.0), st.integers(0, 2**16))
def test_square_fields_in_radian_are_a_problem(ra, dec, side, seed):
    """Wherever they lie."""
    rng = np.random.default_rng(seed)
    width = side / np.cos(np.deg2rad(dec))
    places = (
        np.deg2rad(ra + rng.uniform(-width, 0, 200)),
        np.deg2rad(dec + rng.uniform(0, side, 200)),
    )
    assert any("radian" in p.what for p in judge_positions(("ra", "dec"), *places))


@given(st.floats(0.2, 23.5), st.floats(-60, 60), st.floats(0.5, 3.0), st.integers(0, 2**16))
def test_square_fields_in_hours_are_a_problem(hours, dec, side, seed):
    """Across 24 h too."""
    rng = np.random.default_rng(seed)
    width = side / np.cos(np.deg2rad(dec)) / 15
    places = (hours + rng.uniform(0, width, 200)) % 24, dec + rng.uniform(0, side, 200)
    assert any("hours" in p.what for p in judge_positions(("ra", "dec"), *places))


def test_few_positions_are_not_judged():
    """19 rows near (0, 0) say nothing of a unit."""
    place = np.linspace(0.001, 0.02, 19)
    assert list(judge_positions(("ra", "dec"), place, place)) == []


@pytest.mark.parametrize("name", ["gaia_parallax", "another_column"])
def test_four_values_are_not_judged(name):
    """Too few for a median."""
    assert list(judge_unit(name, np.full(4, 1e-6))) == []


def test_a_column_without_a_rule_is_not_judged():
    """Nothing is known of what it may hold."""
    assert list(judge_unit("my_column", np.full(100, 1e30))) == []


@pytest.mark.parametrize(
    ("value", "found"), [(-999.0, True), (99.0, True), (-3.5, False), (3.0, False)]
)
def test_one_row_with_a_suspect_suffices(value, found):
    """Among values from 0 to 5, -999 and 99 stand out; -3.5 is no number that stands for none."""
    values = np.append(np.linspace(0, 5, 50), value)
    assert bool(list(judge_pile_up("x", values))) is found


def test_a_suspect_among_like_values_is_a_value():
    """99 km/s among 0 to 200 is a measurement."""
    assert list(judge_pile_up("x", np.append(np.linspace(0, 200, 50), 99.0))) == []


def test_missing_values_are_not_judged():
    """What is NaN in the second array was a sentinel, or is unreliable."""
    raw = np.append(np.linspace(15, 20, 50), -99.0)
    values = np.append(raw[:-1], np.nan)
    assert list(judge_numbers("err_mag_x", raw - 14.9, values - 14.9)) == []
