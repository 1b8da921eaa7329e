"""Shards of training cutouts, and the store of all of them."""

import numpy as np
import pytest

from astromodal.data.cube import Cube
from astromodal.data.cutouts import elliptical_mask
from astromodal.errors import FormatError
from astromodal.tokenizers.images.normaliser import ImageNormaliser
from astromodal.tokenizers.images.shards import CutoutShard, CutoutStore, write_shard
from helpers.cutouts import (
    BANDS,
    NORMALISER,
    SETTINGS,
    SKY,
    cutout_columns,
    cutouts,
    shard_of,
    store_of,
)
from helpers.limits import few_files


@pytest.fixture
def cube_of(write_cube):
    def make(n, seed=0, name="F1", **columns):
        return Cube(write_cube(cutout_columns(cutouts(n, seed)) | columns, field=name), name)

    return make


def test_every_fit_row_is_drawn(cube_of, tmp_path):
    """Below the share all whole cutouts of the rows to fit on are taken, and no others."""
    shard = shard_of(tmp_path, cube_of(5), np.array([1, 0, 1, 1, 0], bool))
    assert shard.row.tolist() == [0, 2, 3]
    assert shard.ids.tolist() == ["o0", "o2", "o3"]


def test_pixels_are_normalised_once(cube_of, tmp_path):
    """A shard holds what the normaliser makes of the cutouts, in half precision."""
    shard = shard_of(tmp_path, cube_of(5))
    pixels = cutouts(5)
    expected = NORMALISER.forward(pixels, np.ones(pixels.shape, bool)).astype(np.float16)
    np.testing.assert_array_equal(shard.x, expected)
    assert (shard.x.dtype, shard.normaliser_hash) == (np.float16, NORMALISER.hash)


def test_invalid_pixels_are_nan(write_cube, tmp_path):
    """A pixel that is exactly 0, and a band that a source lacks, are NaN."""
    pixels = cutouts(2)
    pixels[0, 1, 3, 4] = 0
    columns = cutout_columns(pixels)
    columns["splus_cut_Z"][1] = None
    x = shard_of(tmp_path, Cube(write_cube(columns), "F1")).x
    assert np.isnan(x[0, 1, 3, 4])
    assert np.isnan(x[1, 2]).all()
    assert np.isnan(x).sum() == 1 + 32 * 32


def test_draw_is_uniform(cube_of, tmp_path):
    """Over many seeds, early and late rows are sampled equally often."""
    cube, counts = cube_of(30), np.zeros(30)
    for seed in range(60):
        counts[shard_of(tmp_path, cube, share=6, seed=seed).row] += 1
    assert counts.sum() == 360
    assert np.abs(counts.reshape(3, 10).sum(1) - 120).max() < 40  # 4 sigma


def test_drawn_pixels_belong_to_their_rows(cube_of, tmp_path):
    """Where a cutout replaced another in the sample, pixels, id, row and shape are its own."""
    shard = shard_of(tmp_path, cube_of(30, a_pixel_det=[float(i) for i in range(30)]), share=6)
    pixels = cutouts(30)[shard.row]
    expected = NORMALISER.forward(pixels, np.ones(pixels.shape, bool)).astype(np.float16)
    np.testing.assert_array_equal(shard.x, expected)
    assert shard.shapes[:, 0].tolist() == shard.row.tolist()
    assert shard.ids.tolist() == [f"o{row}" for row in shard.row]


def test_same_seed_same_bytes(cube_of, tmp_path):
    """The files follow from the cube and the seed."""
    cube, files = cube_of(30), []
    for _ in range(2):
        shard_of(tmp_path, cube, share=6)
        files.append([(tmp_path / f"F1.{end}").read_bytes() for end in ("npy", "npz")])
    assert files[0] == files[1]


def test_masks_are_those_of_the_shapes(cube_of, tmp_path):
    """The packed mask is the elliptical mask of the source's shape."""
    shard = shard_of(tmp_path, cube_of(3, b_pixel_det=[1.0, 2.0, float("nan")]))
    mask = np.unpackbits(shard.inside, axis=1, count=32 * 32).reshape(3, 32, 32)
    np.testing.assert_array_equal(mask, elliptical_mask(*shard.shapes.T, size=32))


def test_numpy_reads_the_pixels(cube_of, tmp_path):
    """The pixels are a plain .npy."""
    shard = shard_of(tmp_path, cube_of(4))
    np.testing.assert_array_equal(np.load(tmp_path / "F1.npy", allow_pickle=False), shard.x)


def test_the_map_cannot_be_written(cube_of, tmp_path):
    """A mapped cutout is read-only."""
    with pytest.raises(ValueError, match="read-only"):
        shard_of(tmp_path, cube_of(2)).x[0] = 0


def test_no_cutouts(write_cube, tmp_path):
    """A field without images gives an empty, valid shard."""
    shard = shard_of(tmp_path, Cube(write_cube({"id": ["a", "b"]}), "F1"))
    assert (len(shard), shard.x.shape) == (0, (0, 3, 32, 32))


def test_files_that_do_not_belong_together(cube_of, tmp_path):
    """Pixels of another number of cutouts than the sources are refused by name."""
    shard_of(tmp_path, cube_of(3))
    shard_of(tmp_path, cube_of(2, name="F2"))
    with pytest.raises(FormatError, match=r"F2.npy must be of 3 cutouts, as .*F1.npz, got 2"):
        CutoutShard.open(tmp_path / "F2.npy", tmp_path / "F1.npz")


def test_damaged_pixels(cube_of, tmp_path):
    """Pixels that are cut short, of another type, or no .npy at all are refused by name."""
    shard_of(tmp_path, cube_of(3))
    path = tmp_path / "F1.npy"
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    with pytest.raises(FormatError, match=r"F1.npy must be a whole .npy of float16, got an array"):
        CutoutShard.open(path, tmp_path / "F1.npz")
    path.write_bytes(b"nothing" + whole)
    with pytest.raises(FormatError, match=r"F1.npy must be a whole .npy of float16, got"):
        CutoutShard.open(path, tmp_path / "F1.npz")


def test_an_error_leaves_no_file(write_cube, tmp_path):
    """Where a cube cannot be read, no shard appears."""
    columns = cutout_columns(cutouts(2)) | {"splus_cut_R": ["a", "b"]}
    files = tmp_path / "out.npy", tmp_path / "out.npz"
    with pytest.raises(ValueError, match="must be a column of lists"):
        write_shard(
            *files, Cube(write_cube(columns), "F1"), np.ones(2, bool), 5, NORMALISER, SETTINGS
        )
    assert not any(path.exists() for path in files)


def test_changed_pixels_are_noticed(cube_of, tmp_path):
    """A flipped bit of a training cutout."""
    shard_of(tmp_path, cube_of(3))
    whole = bytearray((tmp_path / "F1.npy").read_bytes())
    whole[-5] ^= 1
    (tmp_path / "F1.npy").write_bytes(whole)
    with pytest.raises(FormatError, match=r"F1\.npy must be of hash .*run prepare_cutouts again"):
        CutoutShard.open(tmp_path / "F1.npy", tmp_path / "F1.npz")


@pytest.fixture
def shards(write_cube, tmp_path):
    """Three fields, of 2, 0 and 3 cutouts."""
    made = []
    for seed, n in enumerate((2, 0, 3)):
        name = f"F{seed}"
        columns = cutout_columns(cutouts(n, seed)) if n else {"id": ["a"]}
        made.append(shard_of(tmp_path, Cube(write_cube(columns, field=name), name)))
    return made


def test_cutouts_of_all_fields_in_order(shards):
    """Numbers run on from field to field; a field without cutouts takes none."""
    store = store_of(*shards)
    assert len(store) == 5
    for number, (place, at) in enumerate([(0, 0), (0, 1), (2, 0), (2, 1), (2, 2)]):
        x, _ = store.cutout(number)
        np.testing.assert_array_equal(x, shards[place].x[at])


def test_window_cuts_pixels_and_mask_alike(shards):
    """Pixels and mask are of the same window."""
    x, inside = store_of(*shards).cutout(3, 8, 4, 12)
    np.testing.assert_array_equal(x, shards[2].x[1, :, 8:20, 4:16])
    mask = elliptical_mask(*shards[2].shapes[1:2].T, size=32)
    np.testing.assert_array_equal(inside, mask[0, 8:20, 4:16])


def test_empty_store():
    """Without shards there are no cutouts."""
    assert len(store_of()) == 0


def test_shard_of_another_normaliser(shards):
    """Cutouts that went through another normaliser are refused, naming both hashes."""
    other = ImageNormaliser(BANDS, 9 * SKY)
    made_by = shards[0].normaliser_hash
    match = f"training cutouts 0 must be of normaliser {other.hash}, got '?{made_by}"
    with pytest.raises(FormatError, match=match):
        CutoutStore(shards, other, 32)


def test_more_shards_than_files_may_be_open(shards, tmp_path):
    """Each is two files, which are closed once they are mapped and read."""
    with few_files(10):
        files = tmp_path / "F0.npy", tmp_path / "F0.npz"
        store = store_of(*(CutoutShard.open(*files) for _ in range(30)))
    np.testing.assert_array_equal(store.cutout(59)[0], shards[0].x[1])
