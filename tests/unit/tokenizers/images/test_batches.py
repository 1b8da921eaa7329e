import numpy as np
import pytest
import torch

from astromodal.data.cube import Cube
from astromodal.tokenizers.images import batches as cutout_batches
from astromodal.tokenizers.images.batches import brighten, whole_cutouts, window_side, windows
from helpers.cutouts import cutout_columns, cutouts, shard_of, store_of


@pytest.fixture
def store(write_cube, tmp_path):
    pixels = cutouts(10)
    pixels[3, 1, 15, 15] = 0  # not valid
    pixels[:, 0, 15, 15] = 100.0 + np.arange(10)  # identifies the cutout
    cube = Cube(write_cube(cutout_columns(pixels)), "F1")
    return store_of(shard_of(tmp_path, cube))


def numbers(seed=0):
    return np.random.default_rng(seed)


@pytest.fixture
def plain(monkeypatch):
    """No source is brightened."""
    monkeypatch.setattr(cutout_batches, "BRIGHTENED", 0.0)


@pytest.mark.parametrize(("size", "side"), [(96, 32), (32, 24), (8, 8)])
def test_side_of_a_window(size, side):
    """A third of the cutout, but at least 24 pixels, or the whole cutout."""
    assert window_side(size) == side


def test_an_epoch_has_every_cutout_once(store, plain):
    """Two passes in batches of four: each cutout stands in each pass, once."""
    batches = list(windows(store, 2, 4, numbers()))
    assert [len(batch.x) for batch in batches] == [4, 4, 2] * 2
    known = sorted(float(store.cutout(i)[0][0, 15, 15]) for i in range(10))
    for part in (batches[:3], batches[3:]):
        peaks = torch.cat([batch.x[:, 0] for batch in part]).amax((1, 2))
        assert sorted(peaks.tolist()) == known


def test_what_is_invalid_is_zero(store, plain):
    """Pixels that were not measured are 0 and marked."""
    for batch in windows(store, 3, 10, numbers()):
        assert (batch.x.dtype, batch.valid.dtype, batch.inside.dtype) == (
            torch.float32,
            torch.bool,
            torch.bool,
        )
        assert (batch.x[~batch.valid] == 0).all()
        assert (~batch.valid).sum() == 1


def test_windows_are_turned_with_their_masks(write_cube, tmp_path, plain):
    """A source whose light fills its slanted mask still fills it in every window."""
    columns = cutout_columns(np.ones((4, 3, 32, 32), np.float32))
    columns |= {"a_pixel_det": [5.0] * 4, "b_pixel_det": [1.0] * 4, "theta_det": [30.0] * 4}
    cube = Cube(write_cube(columns), "F1")
    mask = store_of(shard_of(tmp_path, cube)).cutout(0)[1]
    for band in "URZ":
        columns[f"splus_cut_{band}"] = [np.where(mask, 5.0, 1.0).ravel()] * 4
    store = store_of(shard_of(tmp_path, Cube(write_cube(columns), "F1")))
    masks = set()
    for batch in windows(store, 8, 4, numbers()):
        bright = batch.x[:, 0] > batch.x[:, 0].amin()
        assert torch.equal(bright, batch.inside)
        masks |= {window.numpy().tobytes() for window in batch.inside}
    assert len(masks) > 8


def test_same_generator_same_batches(store):
    """Batches follow from the generator."""
    one, two = (list(windows(store, 2, 4, numbers(7))) for _ in range(2))
    assert all(torch.equal(a.x, b.x) for a, b in zip(one, two, strict=True))


def test_whole_cutouts_in_order(store, plain):
    """All cutouts, whole, with their masks."""
    batches = list(whole_cutouts(store, 4, numbers()))
    assert [tuple(batch.x.shape) for batch in batches] == [(4, 3, 32, 32)] * 2 + [(2, 3, 32, 32)]
    x, inside = store.cutout(9)
    np.testing.assert_array_equal(batches[2].x[1], x.astype(np.float32))
    np.testing.assert_array_equal(batches[2].inside[1], inside)


def test_brightening_multiplies_counts():
    """The counts of a bright source grow by one factor, at most 4; missing pixels stay missing."""
    before = np.full((3, 4, 4), 3.5, np.float32)
    before[1, 0, 0] = np.nan
    factors = []
    for seed in range(40):
        x = before.copy()
        brighten(x, np.ones((4, 4), bool), numbers(seed))
        ratio = np.sinh(x.astype(np.float64)) / np.sinh(before.astype(np.float64))
        assert np.isnan(ratio[1, 0, 0])
        factors.append(np.nanmean(ratio))
        np.testing.assert_allclose(ratio[np.isfinite(ratio)], factors[-1], rtol=1e-5)
    changed = np.array(factors)[np.array(factors) > 1.001]
    assert 4 < len(changed) < 25
    assert changed.max() <= 4


def test_faint_sources_are_not_brightened():
    """A source near the sky's noise stays as it is, or its noise would grow too."""
    x = np.full((1, 4, 4), 2.0, np.float32)
    x[0, 0] = 9.0  # a neighbour outside the mask
    inside = np.zeros((4, 4), bool)
    inside[2:] = True
    before = x.copy()
    for seed in range(20):
        brighten(x, inside, numbers(seed))
    np.testing.assert_array_equal(x, before)
