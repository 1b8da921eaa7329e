import numpy as np
import pytest
import torch

from astromodal.data.cube import Cube
from astromodal.tokenizers.images import batches as cutout_batches
from astromodal.tokenizers.images.autoencoder import build_model, shape_settings
from astromodal.tokenizers.images.shards import CutoutStore
from astromodal.tokenizers.images.train import (
    INSIDE_SHARE,
    TrainingLatents,
    sample_latents,
    train_image_codebook,
)
from helpers.cutouts import NORMALISER, SETTINGS, cutout_columns, cutouts, shard_of, store_of

CPU = torch.device("cpu")


@pytest.fixture
def store_like(write_cube, tmp_path):
    def make(semi_axis=1.5):
        columns = cutout_columns(cutouts(10))
        columns |= {"a_pixel_det": [semi_axis] * 10, "b_pixel_det": [semi_axis] * 10}
        return store_of(shard_of(tmp_path, Cube(write_cube(columns), "F1")))

    return make


@pytest.fixture
def store(store_like, monkeypatch):
    """Cutouts of which none counts as bright."""
    monkeypatch.setattr(cutout_batches, "_BRIGHT", np.inf)
    return store_like()


def latents_of(model, store):
    """Standardised latents of all cutouts."""
    (batch,) = cutout_batches.whole_cutouts(store, 10, np.random.default_rng(0))
    with torch.no_grad():
        return model.encode(batch.x, batch.valid)


@pytest.fixture
def model():
    return build_model(shape_settings(SETTINGS), 1)


def test_statistics_standardise_the_training_latents(store, model):
    """Over all patches of the training cutouts, latents get mean 0 and standard deviation 1."""
    sample_latents(model, store, 0, CPU)
    latents = latents_of(model, store)
    np.testing.assert_allclose(latents.mean((0, 2, 3)), 0, atol=1e-3)
    np.testing.assert_allclose(latents.std((0, 2, 3)), 1, atol=1e-2)


def test_most_points_lie_on_sources(store, model):
    """Sources cover a tenth of these patches, and get most of the sample."""
    points, inside = sample_latents(model, store, 0, CPU)
    assert (points.shape, points.dtype) == ((10 * 64, 2), np.float32)
    assert inside.mean() == INSIDE_SHARE
    assert np.abs(points[inside]).mean() > np.abs(points[~inside]).mean()


def test_points_are_latents(store, model):
    """Every point of the sample is the standardised latent of some patch."""
    points, _ = sample_latents(model, store, 0, CPU)
    latents = latents_of(model, store)
    all_points = latents.permute(0, 2, 3, 1).reshape(-1, 2).numpy()
    distance = np.abs(points[::7, None] - all_points).sum(-1).min(1)
    assert distance.max() < 1e-4


def test_codes_reach_beyond_the_brightest(store_like, model):
    """The sample spreads over more of the latents' plane than the training cutouts do."""
    store = store_like()
    points, _ = sample_latents(model, store, 0, CPU)
    assert np.abs(points).max() > latents_of(model, store).abs().max()


def test_cutouts_that_are_all_mask(store_like, model):
    """Where a mask covers the whole cutout, all points lie inside."""
    assert sample_latents(model, store_like(90.0), 0, CPU)[1].all()


def test_no_cutouts(model):
    """Without training cutouts there are no points, and a codebook without centroids."""
    points, inside = sample_latents(model, CutoutStore((), NORMALISER, 32), 0, CPU)
    assert (points.shape, inside.shape) == ((0, 2), (0,))
    codebook = train_image_codebook(TrainingLatents(points, inside, "h"), SETTINGS)
    assert (codebook.centroids.shape, codebook.size) == ((0, 2), 32)


def test_codebook_follows_the_settings(tmp_path, store, model):
    """As many centroids as codes, of the autoencoder that gave the latents; also from a file."""
    latents = TrainingLatents(*sample_latents(model, store, 0, CPU), "abc")
    latents.save(tmp_path / "latents.npz")
    codebook = train_image_codebook(TrainingLatents.load(tmp_path / "latents.npz"), SETTINGS)
    assert codebook.centroids.shape == (32, 2)
    assert codebook.autoencoder_hash == "abc"
    np.testing.assert_array_equal(
        codebook.centroids, train_image_codebook(latents, SETTINGS).centroids
    )
