import numpy as np
import pytest

from astromodal.data.cube import Cube
from astromodal.data.cutouts import elliptical_mask
from astromodal.errors import FormatError
from astromodal.tokenizers.images.normaliser import ImageNormaliser
from astromodal.tokenizers.images.shards import CutoutShard, CutoutStore
from helpers.cutouts import BANDS, SKY, cutout_columns, cutouts, shard_of, store_of
from helpers.limits import few_files


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
