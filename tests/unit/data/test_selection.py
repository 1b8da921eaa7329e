import pytest

from astromodal.config.schema import SelectionSettings
from astromodal.data.cube import Cube
from astromodal.data.splits import count_cut, select
from astromodal.errors import DataError


def test_the_cut_keeps_its_bounds_and_drops_the_missing(write_cube):
    """14 and 22 are in, 13.9, 22.1 and a missing magnitude are out."""
    cube = Cube(
        write_cube({"id": list("abcde"), "mag_pstotal_r": [13.9, 14, 22, 22.1, None]}), "F1"
    )
    assert select(cube, SelectionSettings()).tolist() == [False, True, True, False, False]


def test_without_a_column_everything_is_kept(write_cube):
    """A null column makes no cut."""
    cube = Cube(write_cube({"id": ["a", "b"]}), "F1")
    assert select(cube, SelectionSettings(column=None)).tolist() == [True, True]


def test_a_missing_magnitude_column_is_named(write_cube):
    """The error names field, column, file and the nearest column."""
    cube = Cube(write_cube({"id": ["a"], "mag_psf_r": [15.0]}), "STRIPE82-0001")
    message = (
        "field STRIPE82-0001: column 'mag_pstotal_r' is missing from datacube_F1.parquet; "
        "nearest: 'mag_psf_r'"
    )
    with pytest.raises(DataError, match=message):
        select(cube, SelectionSettings())


def test_why_rows_are_left_out(write_cube):
    """One missing, one too bright, one too faint; nothing where there is no cut."""
    cube = Cube(
        write_cube({"id": list("abcde"), "mag_pstotal_r": [13.9, 14, 22, 22.1, None]}), "F1"
    )
    cut = count_cut(cube, SelectionSettings())
    assert cut == {"missing": 1, "brighter": 1, "fainter": 1}
    assert not any(count_cut(cube, SelectionSettings(column=None)).values())
