import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from astromodal.config.inputs import ColumnSettings
from astromodal.data.columns import group_columns
from astromodal.data.cube import Cube
from astromodal.data.spectra import read_light_curves
from astromodal.errors import DataError
from astromodal.surveys.light_curves import LightCurveBatch, gather
from astromodal.surveys.registry import light_curve_group

NUMBER = st.none() | st.sampled_from([-1.0, 0.0, 0.1, 19.5, 58000.25, np.nan, np.inf])
CURVE = st.none() | st.lists(st.tuples(NUMBER, NUMBER, NUMBER), max_size=6)


def columns_of(rows):
    """Columns of rows of (mag, error, time) epochs, or None."""
    parts = {
        name: [None if row is None else [epoch[k] for epoch in row] for row in rows]
        for k, name in enumerate(group_columns("ztf_r"))
    }
    return {
        "id": [str(i) for i in range(len(rows))],
        **{name: pa.array(values, pa.list_(pa.float64())) for name, values in parts.items()},
    }


def read(path, rows=2048):
    return LightCurveBatch.join(list(read_light_curves(Cube(path, "F1"), "ztf_r", rows)))


def test_columns_of_a_group():
    """Magnitude, error and time of its band."""
    assert group_columns("ztf_i") == ["ztf_mag_i", "ztf_magerr_i", "ztf_hmjd_i"]


def test_epochs_are_sorted_and_bad_ones_left_out(write_cube):
    """Bad: no magnitude, no time, an error that is not positive; equal times keep their order."""
    good = [(18.0, 0.1, 3.0), (19.0, 0.2, 1.0), (17.0, 0.3, 3.0)]
    bad = [(np.nan, 0.1, 2.0), (18.0, 0.0, 2.0), (18.0, -1.0, 2.0), (18.0, 0.1, None)]
    found = read(write_cube(columns_of([None, [*good, *bad], [], [bad[0]]])))
    assert found.row.tolist() == [1, 3]
    assert found.lengths().tolist() == [3, 0]
    assert found.live().tolist() == [True, False]
    assert found.time.tolist() == [1.0, 3.0, 3.0]
    assert found.mag.tolist() == [19.0, 18.0, 17.0]
    assert found.error.tolist() == [0.2, 0.1, 0.3]


def test_times_keep_float64(write_cube):
    """A second at MJD 58,000 survives a column of doubles."""
    time = 58_000.0 + np.array([0.0, 1 / 86_400])
    found = read(write_cube(columns_of([[(18.0, 0.1, t) for t in time]])))
    assert found.time.tolist() == time.tolist()


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(CURVE, min_size=1, max_size=8), st.integers(1, 9))
def test_what_is_read_is_a_loop_s_result_whatever_the_slice(write_cube, rows, size):
    """Row by row, the good epochs sorted by time."""
    found = read(write_cube(columns_of(rows)), size)
    expected = {
        i: sorted(
            (e for e in row if None not in e and np.isfinite(e).all() and e[1] > 0),
            key=lambda epoch: epoch[2],
        )
        for i, row in enumerate(rows)
        if row
    }
    assert found.row.tolist() == list(expected)
    assert found.lengths().tolist() == [len(epochs) for epochs in expected.values()]
    flat = [epoch for epochs in expected.values() for epoch in epochs]
    assert list(zip(found.mag, found.error, found.time, strict=True)) == flat


def test_take_gives_the_curves_in_the_order_asked_for(write_cube):
    """By number, with all parts."""
    rows = [[(1.0, 0.1, 1.0), (2.0, 0.1, 2.0)], [(3.0, 0.1, 1.0)], [(4.0, 0.1, 1.0)]]
    found = read(write_cube(columns_of(rows))).take(np.array([2, 0]))
    assert (found.row.tolist(), found.mag.tolist()) == ([2, 0], [4.0, 1.0, 2.0])
    assert found.indptr.tolist() == [0, 1, 3]


def test_lists_of_unequal_length_are_named(write_cube):
    """Field, column, file and row, also where one of the lists is null."""
    columns = columns_of([None, [(18.0, 0.1, 1.0)] * 3])
    columns["ztf_magerr_r"] = pa.array([None, [0.1, 0.1]], pa.list_(pa.float64()))
    message = (
        r"field F1: column 'ztf_magerr_r' of datacube_F1.parquet must be a list as long as that of "
        r"'ztf_mag_r', 3, got 2 in row 1"
    )
    with pytest.raises(DataError, match=message):
        read(write_cube(columns))
    columns["ztf_magerr_r"] = pa.nulls(2, pa.list_(pa.float64()))
    with pytest.raises(DataError, match="'ztf_magerr_r' .* got 0 in row 1"):
        read(write_cube(columns))


def test_what_holds_no_lists_is_refused(write_cube):
    """A column of numbers is no column of light curves."""
    columns = {**columns_of([None]), "ztf_hmjd_r": [58000.0]}
    with pytest.raises(DataError, match="'ztf_hmjd_r' .* must be a column of lists .* got double"):
        read(write_cube(columns))


def test_a_cube_without_a_column_has_no_light_curves(write_cube):
    """None of the group, one lacking, or all of nulls without a type."""
    columns = columns_of([[(18.0, 0.1, 1.0)]])
    nulls = {name: pa.nulls(1) for name in group_columns("ztf_r")}
    lacking = {name: values for name, values in columns.items() if name != "ztf_magerr_r"}
    for given_ in ({"id": ["a"]}, {"id": ["a"], **nulls}, lacking):
        assert not len(read(write_cube(given_)).row)
    group = light_curve_group("ztf_r")
    assert group.lacking(lacking) == ["ztf_magerr_r"]
    assert group.lacking(["id"]) == group.lacking(columns) == []


def test_epochs_of_a_sentinel_are_none(write_cube):
    """Where the settings name one, in magnitudes or in errors."""
    columns = {
        "ztf_mag_r": [[18.0, 99.0, 19.0]],
        "ztf_magerr_r": [[0.1, 0.1, -99.0]],
        "ztf_hmjd_r": [[1.0, 2.0, 3.0]],
    }
    settings = ColumnSettings(sentinels={"ztf_mag*": (99, -99)})
    cube = Cube(write_cube({"id": ["a"], **columns}), "F1", settings)
    (batch,) = read_light_curves(cube, "ztf_r")
    assert batch.mag.tolist() == [18.0]


@given(st.lists(st.integers(0, 4), min_size=1), st.data())
def test_gather_finds_the_values_of_the_lists_chosen(sizes, data):
    """As joining the slices of the chosen lists does."""
    indptr = np.concatenate([[0], np.cumsum(sizes)])
    chosen = data.draw(st.lists(st.integers(0, len(sizes) - 1)))
    places, ends = gather(indptr, np.array(chosen, dtype=np.int64))
    expected = [list(range(indptr[i], indptr[i + 1])) for i in chosen]
    assert places.tolist() == [place for own in expected for place in own]
    assert np.diff(ends).tolist() == [len(own) for own in expected]
