import numpy as np
import pytest

from astromodal.data.columns import group_columns
from astromodal.data.cube import Cube
from astromodal.data.spectra import count_spectra, read_spectra
from astromodal.errors import DataError
from helpers.spectra import SETTINGS, desi_columns, spectra

L = 2326


@pytest.fixture
def cube_of(write_cube):
    def make(columns: dict, **options) -> Cube:
        n = len(next(iter(columns.values())))
        return Cube(write_cube({"id": [f"o{i}" for i in range(n)], **columns}, **options), "F1")

    return make


@pytest.fixture
def three_rows(cube_of):
    """A spectrum, none, and a dead fibre."""
    flux, ivar = spectra(2)
    ivar[1] = 0
    return cube_of(desi_columns([flux[0], None, flux[1]], [ivar[0], None, ivar[1]]))


def test_rows_with_a_spectrum_are_read(three_rows):
    """Rows without a list are skipped; a dead fibre is yielded, and is not live."""
    flux, ivar = spectra(2)
    (batch,) = read_spectra(three_rows, "desi_r")
    assert (batch.row.tolist(), batch.row.dtype) == ([0, 2], np.int32)
    np.testing.assert_array_equal(batch.flux, flux)
    np.testing.assert_array_equal(batch.ivar[0], ivar[0])
    assert batch.live().tolist() == [True, False]


def test_counts_tell_dead_fibres(three_rows):
    """All spectra, and those with a good pixel; a group without columns has none."""
    counts = count_spectra(three_rows, SETTINGS.groups)
    assert counts["desi_r"] == {"n_spectra": 2, "n_live": 1}
    assert counts["desi_b"] == counts["gaiaxp_bp"] == {"n_spectra": 0, "n_live": 0}


def test_row_groups_without_rows_of_interest_are_not_read(cube_of):
    """Other rows of the row groups that are read come too."""
    flux, ivar = spectra(8)
    cube = cube_of(desi_columns(list(flux), list(ivar)), row_group_size=2)
    keep = np.arange(8) == 5
    read = [row for batch in read_spectra(cube, "desi_r", keep=keep) for row in batch.row.tolist()]
    assert read == [4, 5]


@pytest.mark.parametrize("rows", [1, 3, 7, 100])
def test_slices_change_nothing(cube_of, rows):
    """However many rows are read at a time, in whatever row groups, the spectra are the same."""
    flux, ivar = spectra(8)
    missing = {1, 2, 3, 6}
    columns = desi_columns(
        *([None if i in missing else a for i, a in enumerate(x)] for x in (flux, ivar))
    )
    cube = cube_of(columns, row_group_size=3)
    batches = list(read_spectra(cube, "desi_r", rows=rows))
    assert np.concatenate([b.row for b in batches]).tolist() == [0, 4, 5, 7]
    np.testing.assert_array_equal(np.concatenate([b.flux for b in batches]), flux[[0, 4, 5, 7]])


def test_a_survey_without_columns_has_no_spectra(cube_of):
    """A field that matched no fibre has no columns at all."""
    assert list(read_spectra(cube_of({"x": [1.0]}), "desi_b")) == []


def test_a_column_of_nulls_holds_no_spectra(cube_of):
    """Columns that exist but hold nothing are no error."""
    cube = cube_of({name: [None, None] for name in group_columns("desi_r")})
    assert list(read_spectra(cube, "desi_r")) == []


def test_a_missing_column_is_named(cube_of):
    """Flux without ivar cannot be used."""
    columns = desi_columns([np.ones(L)], [np.ones(L)])
    del columns["desi_ivar_r"]
    with pytest.raises(DataError, match="field F1: column 'desi_ivar_r' is missing"):
        list(read_spectra(cube_of(columns), "desi_r"))


def test_lists_of_unequal_length_are_named(cube_of):
    """Field, column, lengths and row are in the message."""
    columns = desi_columns([None, np.ones(L)], [None, np.ones(L - 1)])
    message = (
        "field F1: column 'desi_ivar_r' of datacube_F1.parquet must be a list of 2326 values "
        "where the fibre has a spectrum, got lengths desi_flux_r 2326, desi_ivar_r 2325, "
        "desi_wave_r 2326 in row 1"
    )
    with pytest.raises(DataError, match=message):
        list(read_spectra(cube_of(columns), "desi_r"))


def test_a_null_beside_a_list_is_unequal(cube_of):
    """A flux without its ivar is no spectrum, and no missing one either."""
    columns = desi_columns([np.ones(L), np.ones(L)], [np.ones(L), None])
    with pytest.raises(DataError, match=r"desi_ivar_r 0.* in row 1"):
        list(read_spectra(cube_of(columns), "desi_r"))


def test_another_grid_is_refused(cube_of):
    """Right lengths at wrong wavelengths would put lines in wrong bins."""
    columns = desi_columns([None, np.ones(L)], [None, np.ones(L)])
    columns["desi_wave_r"][1] = np.linspace(3600, 5800, L)
    with pytest.raises(DataError, match=r"5760 to 7620 Angstrom.*got 3600 to 5800 in row 1"):
        list(read_spectra(cube_of(columns), "desi_r"))


def test_numbers_instead_of_lists_are_refused(cube_of):
    """A column of single numbers is no spectrum."""
    columns = desi_columns([np.ones(L)], [np.ones(L)]) | {"desi_flux_r": [1.0]}
    with pytest.raises(DataError, match="'desi_flux_r' .* a column of lists of numbers"):
        list(read_spectra(cube_of(columns), "desi_r"))
