import numpy as np
import pytest
import torch

from astromodal.tokenizers.image_autoencoder import build_model, shape_settings
from astromodal.training.cutout_store import CutoutStore
from astromodal.training.image_latents import (
    INSIDE_SHARE,
    TrainingLatents,
    sample_latents,
    train_image_codebook,
)
from helpers.cutouts import SETTINGS, SKY, cutouts

CPU = torch.device("cpu")


@pytest.fixture
def store():
    x = np.arcsinh(cutouts(10) / (8 * SKY[:, None, None])).astype(np.float16)
    return CutoutStore(x, np.tile([1.5, 1.5, 0.0], (10, 1)))


@pytest.fixture
def model():
    return build_model(shape_settings(SETTINGS), 1)


def test_statistics_standardise_the_training_latents(store, model):
    """Over all patches of the training cutouts, latents get mean 0 and standard deviation 1."""
    sample_latents(model, store, 0, CPU)
    x, valid, _ = store.window(np.arange(10))
    with torch.no_grad():
        latents = model.encode(torch.from_numpy(x), torch.from_numpy(valid))
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
    x, valid, _ = store.window(np.arange(10))
    with torch.no_grad():
        latents = model.encode(torch.from_numpy(x), torch.from_numpy(valid))
    all_points = latents.permute(0, 2, 3, 1).reshape(-1, 2).numpy()
    distance = np.abs(points[::7, None] - all_points).sum(-1).min(1)
    assert distance.max() < 1e-4


def test_cutouts_that_are_all_mask(store, model):
    """Where a mask covers the whole cutout, all points lie inside."""
    whole = CutoutStore(store.x, np.tile([90.0, 90.0, 0.0], (10, 1)))
    assert sample_latents(model, whole, 0, CPU)[1].all()


def test_no_cutouts(store, model):
    """Without training cutouts there are no points, and a codebook without centroids."""
    points, inside = sample_latents(model, CutoutStore(store.x[:0], store.shapes[:0]), 0, CPU)
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
