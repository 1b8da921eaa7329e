import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from astromodal.config.schema import ImageSettings
from astromodal.data.cube import Cube
from astromodal.data.cutouts import (
    CutoutCounts,
    count_cutouts,
    elliptical_mask,
    read_cutouts,
)
from astromodal.errors import DataError

SETTINGS = ImageSettings(bands=("U", "R"), size=8)
ANGLES = st.floats(-360, 360)
AXES = st.floats(0.1, 20)


def listed(*rows):
    return pa.array(
        [None if row is None else np.asarray(row, np.float32).tolist() for row in rows],
        pa.list_(pa.float32()),
    )


@pytest.fixture
def cube_of(write_cube):
    def make(**columns) -> Cube:
        n = len(next(iter(columns.values())))
        columns = {f"splus_cut_{band}": column for band, column in columns.items()}
        return Cube(write_cube({"id": [f"o{i}" for i in range(n)], **columns}), "F1")

    return make


@pytest.fixture
def mixed(cube_of):
    """Whole, none, short in one band, and whole in one band only."""
    whole = np.arange(1, 65)
    return cube_of(U=listed(whole, None, whole, None), R=listed(-whole, None, whole[:40], whole))


def read_all(cube, **options):
    batches = list(read_cutouts(cube, SETTINGS, **options))
    parts = [np.concatenate([getattr(b, n) for b in batches]) for n in ("row", "pixels", "valid")]
    return tuple(parts)


def test_whole_cutouts_are_read_row_major(mixed):
    """Pixel k of a list stands at row k // S, column k % S; a lacking band is 0 and invalid."""
    row, pixels, valid = read_all(mixed)
    assert (row.tolist(), row.dtype) == ([0, 3], np.int32)
    assert (pixels[0, 0, 2, 3], pixels[0, 1, 2, 3]) == (20, -20)
    assert valid[0].all()
    assert not valid[1, 0].any()
    assert not pixels[1, 0].any()
    assert valid[1, 1].all()


def test_short_cutouts_are_counted(mixed):
    """A band of the wrong length makes the whole cutout short; rows without any are neither."""
    assert count_cutouts(mixed, SETTINGS) == {
        "n_whole": 2,
        "n_short": 1,
        "n_blank": 0,
        "bands": {"U": 1, "R": 2},
    }


def test_counting_while_reading_counts_what_is_not_kept(mixed):
    """Rows outside `keep` are counted too."""
    counts = CutoutCounts(bands={"U": 0, "R": 0})
    assert not list(read_cutouts(mixed, SETTINGS, keep=np.zeros(4, bool), counts=counts))
    assert vars(counts) == count_cutouts(mixed, SETTINGS)


def test_empty_list_is_short(cube_of):
    """A list without pixels is no whole cutout."""
    counts = count_cutouts(cube_of(U=listed([])), SETTINGS)
    assert (counts["n_whole"], counts["n_short"]) == (0, 1)


def test_zero_and_non_finite_pixels_are_invalid(cube_of):
    """Exact zeros, NaN, infinity and nulls are invalid and read as 0; negative values are real."""
    row = [-1.0] * 64
    row[:4] = [0.0, np.nan, np.inf, None]
    column = pa.array([row], pa.list_(pa.float32()))
    _, pixels, valid = read_all(cube_of(U=column))
    assert valid[0, 0].ravel().tolist() == [False] * 4 + [True] * 60
    assert pixels[0, 0].ravel().tolist() == [0.0] * 4 + [-1.0] * 60


def test_no_cutout_columns(cube_of):
    """A cube without any image column has no cutouts."""
    cube = cube_of(other=listed([1.0]))
    assert not list(read_cutouts(cube, SETTINGS))
    assert count_cutouts(cube, SETTINGS) == {
        "n_whole": 0,
        "n_short": 0,
        "n_blank": 0,
        "bands": {"U": 0, "R": 0},
    }


def test_column_of_nulls(cube_of):
    """A band that is null throughout, even of Arrow's null type, is a missing band."""
    cube = cube_of(U=pa.nulls(2), R=listed(np.ones(64), np.ones(64)))
    assert count_cutouts(cube, SETTINGS)["bands"] == {"U": 0, "R": 2}
    assert not read_all(cube)[2][:, 0].any()


@pytest.mark.parametrize("rows", [1, 3, 100])
def test_slices_do_not_change_what_is_read(cube_of, rows):
    """Any number of rows at a time gives the same cutouts; `keep` picks among them."""
    pixels = np.random.default_rng(0).normal(size=(7, 64))
    cube = cube_of(U=listed(*pixels[:3], None, *pixels[3:]))
    keep = np.array([1, 0, 1, 1, 1, 0, 1, 1], bool)
    row, read, _ = read_all(cube, rows=rows, keep=keep)
    assert row.tolist() == [0, 2, 4, 6, 7]
    np.testing.assert_array_equal(
        read[:, 0].reshape(-1, 64), pixels.astype(np.float32)[[0, 2, 3, 5, 6]]
    )


@pytest.mark.parametrize("kind", ["large", "fixed"])
def test_other_list_types(cube_of, kind):
    """Large and fixed-size lists of float64 read like lists of float32."""
    type_ = pa.large_list(pa.float64()) if kind == "large" else pa.list_(pa.float64(), 64)
    column = pa.array([list(range(1, 65)), None, list(range(2, 66))], type_)
    row, pixels, _ = read_all(cube_of(U=column))
    assert row.tolist() == [0, 2]
    assert pixels[1, 0, 0, :2].tolist() == [2, 3]


def test_column_that_holds_no_lists(cube_of):
    """A column of numbers is refused by name."""
    cube = cube_of(U=pa.array([1.0]))
    with pytest.raises(DataError, match="field F1: column 'splus_cut_U' of .* lists of numbers"):
        count_cutouts(cube, SETTINGS)


def test_mask_of_a_known_ellipse():
    """Semi-axes 6 and 4 pixel along x: from pixel 16, the mask reaches 6 pixel in x and 4 in y."""
    (mask,) = elliptical_mask(np.array([2.0]), np.array([1.0]), np.array([0.0]), 32)
    assert np.flatnonzero(mask[16]).tolist() == list(range(10, 23))
    assert np.flatnonzero(mask[:, 16]).tolist() == list(range(12, 21))


def test_mask_turns_from_x_to_y():
    """At 90 degrees the long axis lies along y (rows); at 45 it points to larger x and y."""
    axes = np.array([4.0, 4.0]), np.array([1.5, 1.5])
    upright, tilted = elliptical_mask(*axes, np.array([90.0, 45.0]), 32)
    assert upright[:, 16].sum() > upright[16].sum()
    assert tilted[22, 22]
    assert not tilted[22, 9]


def test_mask_without_a_shape():
    """A source of unknown shape gets a circle of 8 pixel."""
    nothing = np.array([np.nan, 0.0]), np.array([1.0, np.nan]), np.array([np.nan, 3.0])
    masks = elliptical_mask(*nothing, 32)
    assert masks[0].sum() == pytest.approx(np.pi * 64, rel=0.05)
    np.testing.assert_array_equal(masks[0], masks[1])


@given(AXES, AXES, ANGLES)
def test_mask_is_symmetric_and_never_small(a, b, theta):
    """Turned by 180 degrees around the middle, a mask is the same; it holds a star's core."""
    (mask,) = elliptical_mask(np.array([a]), np.array([b]), np.array([theta]), 25)
    np.testing.assert_array_equal(mask, mask[::-1, ::-1])
    assert mask[9:15, 9:15].sum() >= 32


def test_real_cutouts(real_cubes):
    """STRIPE82-REAL has 9 whole and 7 short cutouts; HYDRA-REAL has no image columns."""
    settings = ImageSettings()
    cube = Cube(real_cubes / "datacube_STRIPE82-REAL.parquet", "STRIPE82-REAL")
    counts = count_cutouts(cube, settings)
    assert (counts["n_whole"], counts["n_short"]) == (9, 7)
    assert set(counts["bands"].values()) == {9}
    (batch,) = read_cutouts(cube, settings, rows=1000)
    assert batch.pixels.shape == (9, 12, 96, 96)
    hydra = Cube(real_cubes / "datacube_HYDRA-REAL.parquet", "HYDRA-REAL")
    assert count_cutouts(hydra, settings)["n_whole"] == 0


@pytest.mark.parametrize("nothing", [0.0, np.nan, np.inf])
def test_cutouts_without_a_valid_pixel_are_missing(cube_of, nothing):
    """Nothing was measured in row 1: it is counted, and not read; one pixel in row 2 is enough."""
    seen = np.full(64, nothing)
    seen[40] = 2.0
    blank = np.full(64, nothing)
    cube = cube_of(U=listed(np.ones(64), blank, blank), R=listed(None, blank, seen))
    assert read_all(cube)[0].tolist() == [0, 2]
    counts = count_cutouts(cube, SETTINGS)
    assert (counts["n_whole"], counts["n_blank"]) == (2, 1)
    assert counts["bands"] == {"U": 2, "R": 1}
