import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from astromodal.config.schema import SelectionSettings, SplitSettings
from astromodal.data.cube import Cube
from astromodal.data.splits import (
    NO_CELL,
    TEST,
    TRAIN,
    VALIDATION,
    assign,
    count_cut,
    healpix_cells,
    load_split,
    select,
    split_field,
)
from astromodal.errors import DataError


def cells_of(count):
    return np.arange(count), np.array([f"s{i}" for i in range(count)])


def test_the_fractions_are_those_of_the_config():
    """Over many cells, 10 % validate and 10 % test, within the error of 20,000 draws."""
    split = assign(*cells_of(20_000), SplitSettings())
    fractions = np.bincount(split, minlength=3) / 20_000
    assert np.allclose(fractions, [0.8, 0.1, 0.1], atol=0.01)


def test_a_cell_is_never_divided():
    """All objects of a cell share its split: no leak between neighbours."""
    cells = np.repeat(np.arange(500), 4)
    ids = np.array([str(i) for i in range(2000)])
    assert (np.ptp(assign(cells, ids, SplitSettings()).reshape(500, 4), axis=1) == 0).all()


def test_a_new_field_changes_no_other_split():
    """A cell's split does not depend on which cells it is drawn with."""
    cells, ids = cells_of(100)
    whole = assign(cells, ids, SplitSettings())
    assert (assign(cells[40:], ids[40:], SplitSettings()) == whole[40:]).all()


def test_the_seed_draws_another_split():
    """Another seed, another split."""
    draws = [assign(*cells_of(1000), SplitSettings(seed=seed)) for seed in (1, 2)]
    assert (draws[0] != draws[1]).any()


def test_rows_without_a_position_are_drawn_by_id():
    """Without a cell, objects are drawn one by one, and the draw follows the id."""
    ids = np.array([f"s{i}" for i in range(1000)])
    split = assign(np.full(1000, NO_CELL), ids, SplitSettings())
    assert set(split.tolist()) == {TRAIN, VALIDATION, TEST}
    order = np.random.default_rng(0).permutation(1000)
    assert (assign(np.full(1000, NO_CELL), ids[order], SplitSettings()) == split[order]).all()


def test_cells_wrap_through_zero():
    """RA 360 is RA 0, and -1 is 359."""
    cells = healpix_cells(np.array([0.0, 360.0, -1.0, 359.0]), np.zeros(4), 128)
    assert cells[0] == cells[1]
    assert cells[2] == cells[3]


def test_no_position_no_cell():
    """NaN, or a declination beyond the pole, has no cell."""
    cells = healpix_cells(np.array([np.nan, 1.0, 1.0]), np.array([0.0, np.nan, 91.0]), 128)
    assert cells.tolist() == [NO_CELL] * 3


@given(st.permutations(range(12)))
def test_shuffled_rows_get_the_same_split(order):
    """The split belongs to the object, not to its row."""
    cells, ids = cells_of(12)
    assert (
        assign(cells[order], ids[order], SplitSettings())
        == assign(cells, ids, SplitSettings())[order]
    ).all()


def test_a_field_s_split_comes_back_from_disk(write_cube, tmp_path):
    """ids, cells, splits and selection survive the file."""
    path = write_cube(
        {"id": ["a", "b"], "ra": [10.0, None], "dec": [0.0, 0.0], "mag_pstotal_r": [18.0, 30.0]}
    )
    split = split_field(Cube(path, "F1"), SplitSettings(), SelectionSettings())
    split.save(tmp_path / "s.npz")
    again = load_split(tmp_path / "s.npz")
    for name, array in vars(split).items():
        assert np.array_equal(getattr(again, name), array)
    assert again.healpix[1] == NO_CELL
    assert again.selected.tolist() == [True, False]


def test_only_selected_training_rows_are_fitted_on():
    """fit_rows is the selection within the training split."""
    from astromodal.data.splits import Split

    split = Split(
        np.array(["a", "b", "c"]), np.arange(3), np.array([TRAIN, TRAIN, TEST], np.uint8),
        np.array([True, False, True]),
    )  # fmt: skip
    assert split.fit_rows().tolist() == [True, False, False]


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
