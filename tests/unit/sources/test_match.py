"""Cross-match by position and by ids, compared with tables made by hand and with brute force."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import angular_separation
from hypothesis import given
from hypothesis import strategies as st

from astromodal.sources.match import Pairs, Positions, match_ids, match_positions

ARCSEC = 1 / 3600


def positions(*pairs: tuple[float, float]) -> Positions:
    ra, dec = np.array(pairs, dtype=float).reshape(-1, 2).T
    return Positions(ra, dec)


def listed(pairs: Pairs) -> list[tuple[int, int]]:
    return list(zip(pairs.row.tolist(), pairs.object.tolist(), strict=True))


def test_the_nearest_object_within_the_radius_is_matched():
    """Of two objects within the radius the nearer one counts, and its separation is returned."""
    rows = positions((10, 0), (20, 0))
    objects = positions((10, 0.8 * ARCSEC), (10 + 0.5 * ARCSEC, 0), (20, 1.2 * ARCSEC))
    pairs = match_positions(rows, objects, 1.0)
    assert listed(pairs) == [(0, 1)]
    assert pairs.separation == pytest.approx([0.5])


def test_the_radius_itself_is_inside():
    """An object at a separation just below the radius matches, one just above does not."""
    rows = positions((50, -30))
    assert len(match_positions(rows, positions((50, -30 + 0.999999 * ARCSEC)), 1.0).row) == 1
    assert len(match_positions(rows, positions((50, -30 + 1.000001 * ARCSEC)), 1.0).row) == 0


@pytest.mark.parametrize(
    ("row", "object"),
    [((359.9999, 0), (0.0001, 0)), ((10, 89.9999), (190, 89.9999)), ((0, -90), (123, -90))],
    ids=["wrap", "north pole", "south pole"],
)
def test_right_ascension_wraps_and_poles_are_no_border(row, object):
    """Positions that are near each other on the sphere match across RA 0 and the poles."""
    assert listed(match_positions(positions(row), positions(object), 1.0)) == [(0, 0)]


def test_one_object_belongs_to_one_row():
    """One to one, a contested object goes to the nearest row, and the other takes what is left."""
    rows = positions((10, 0), (10, 1.0 * ARCSEC))
    objects = positions((10, 0.4 * ARCSEC), (10, 1.5 * ARCSEC))
    assert listed(match_positions(rows, objects, 1.0)) == [(0, 0), (1, 1)]


def test_a_row_without_a_free_object_stays_alone():
    """One to one, the farther of two rows gets nothing where there is one object."""
    rows = positions((10, 0.5 * ARCSEC), (10, 0.2 * ARCSEC))
    pairs = match_positions(rows, positions((10, 0)), 1.0)
    assert listed(pairs) == [(1, 0)]
    assert pairs.contested == 1


def test_one_object_can_belong_to_several_rows():
    """If the match is not one to one, every row gets its nearest object."""
    rows = positions((10, 0.5 * ARCSEC), (10, 0.2 * ARCSEC))
    pairs = match_positions(rows, positions((10, 0)), 1.0, one_to_one=False)
    assert listed(pairs) == [(0, 0), (1, 0)]
    assert pairs.contested == 1


@pytest.mark.parametrize("one_to_one", [True, False])
def test_equal_separations_are_ordered(one_to_one):
    """Of two objects at the same place, the first is matched."""
    rows, objects = positions((10, 0)), positions((10, 0.3 * ARCSEC), (10, 0.3 * ARCSEC))
    assert listed(match_positions(rows, objects, 1.0, one_to_one)) == [(0, 0)]


@pytest.mark.parametrize("n", [(0, 2), (2, 0), (0, 0)])
def test_nothing_matches_nothing(n):
    """Without rows or objects there are no pairs."""
    rows, objects = (positions(*[(10.0, 0.0)] * k) for k in n)
    pairs = match_positions(rows, objects, 1.0)
    assert (len(pairs.row), len(pairs.object), len(pairs.separation), pairs.contested) == (0,) * 4


near = st.lists(
    st.tuples(st.floats(-3, 3), st.floats(-3, 3)).map(
        lambda p: (p[0] * ARCSEC % 360, p[1] * ARCSEC)
    ),
    min_size=1,
    max_size=12,
)


@given(near, near, st.floats(0.1, 3))
def test_pairs_are_those_of_brute_force(rows, objects, radius):
    """Each row's nearest object is that of all separations computed one by one."""
    rows, objects = positions(*rows), positions(*objects)
    angles = np.radians([rows.ra[:, None], rows.dec[:, None]])
    others = np.radians([objects.ra[None], objects.dec[None]])
    separation = np.degrees(angular_separation(*angles, *others)) * 3600
    pairs = match_positions(rows, objects, radius, one_to_one=False)
    inside = separation.min(axis=1) <= radius
    clear = np.abs(separation.min(axis=1) - radius) > 1e-6
    assert (
        set(np.flatnonzero(inside & clear))
        <= set(pairs.row)
        <= set(np.flatnonzero(inside | ~clear))
    )
    best = separation[pairs.row].min(axis=1)
    assert pairs.separation == pytest.approx(best, abs=1e-6)


@given(near, near, st.floats(0.1, 3))
def test_one_to_one_pairs_are_stable(rows, objects, radius):
    """No row and object that are free of each other are nearer than both of their partners."""
    rows, objects = positions(*rows), positions(*objects)
    pairs = match_positions(rows, objects, radius)
    assert len(set(pairs.object.tolist())) == len(pairs.object)
    angles = np.radians([rows.ra[:, None], rows.dec[:, None]])
    others = np.radians([objects.ra[None], objects.dec[None]])
    separation = np.degrees(angular_separation(*angles, *others)) * 3600
    row_has = np.full(len(rows), radius)
    row_has[pairs.row] = pairs.separation
    object_has = np.full(len(objects), radius)
    object_has[pairs.object] = pairs.separation
    assert not ((separation < row_has[:, None] - 1e-6) & (separation < object_has - 1e-6)).any()


def test_proper_motion_moves_a_position():
    """In 2.5 years, 1,000 mas/yr to the east at 60 degrees is 2.5 arcsec / cos 60 of RA."""
    moved = positions((10, 60)).moved(np.array([1000.0]), np.array([-400.0]), np.array([2.5]))
    assert (moved.ra - 10) * 3600 == pytest.approx([5.0], rel=1e-4)
    assert (moved.dec - 60) * 3600 == pytest.approx([-1.0], rel=1e-4)


def test_proper_motion_goes_back_in_time_and_across_zero():
    """A negative time moves a position back, and RA stays in [0, 360)."""
    moved = positions((0, 0)).moved(np.array([1000.0]), np.zeros(1), np.array([-3.6]))
    assert moved.ra == pytest.approx([360 - 0.001])


@pytest.mark.parametrize("missing", range(3))
def test_a_position_without_motion_stays(missing):
    """Where motion or time is not known, the position stays to the bit."""
    values = [np.array([500.0]), np.array([500.0]), np.array([3.0])]
    values[missing] = np.array([np.nan])
    start = positions((123.456, -7.89))
    moved = start.moved(*values)
    assert (moved.ra[0], moved.dec[0]) == (start.ra[0], start.dec[0])


def test_proper_motion_is_as_long_as_it_says():
    """Near a pole too, the distance travelled is the proper motion times the time."""
    start = positions((40, 89.999))
    moved = start.moved(np.array([30000.0]), np.array([40000.0]), np.array([2.0]))
    apart = start.sky()[0].separation(moved.sky()[0])
    assert apart.to_value(u.arcsec) == pytest.approx(100.0, rel=1e-6)


def test_ids_are_joined_exactly():
    """Ids that differ in the last of 19 digits, which float64 rounds, are different."""
    rows = np.array([2449704931658296064, 2449704931658296065, 7])
    objects = np.array([7, 2449704931658296065])
    assert listed(match_ids(rows, objects)) == [(1, 1), (2, 0)]


def test_an_id_can_stand_on_several_rows():
    """Each row with an object's id gets it, and such objects are counted as contested."""
    pairs = match_ids(np.array(["b", "a", "b"]), np.array(["b"]))
    assert listed(pairs) == [(0, 0), (2, 0)]
    assert pairs.contested == 1
    assert np.isnan(pairs.separation).all()


@given(st.lists(st.integers(0, 20)), st.lists(st.integers(0, 20), unique=True))
def test_joined_ids_are_those_of_a_dictionary(rows, objects):
    """The join of any ids is that of a dictionary of the objects."""
    where = {key: k for k, key in enumerate(objects)}
    pairs = match_ids(np.array(rows, dtype=np.int64), np.array(objects, dtype=np.int64))
    assert listed(pairs) == [(k, where[key]) for k, key in enumerate(rows) if key in where]
