"""Training of the autoencoder, and the sample of latents."""

import numpy as np
import pytest
import torch

from astromodal.data.cube import Cube
from astromodal.tokenizers.images import autoencoder
from astromodal.tokenizers.images.autoencoder import build_model, shape_settings
from astromodal.tokenizers.images.shards import CutoutStore
from astromodal.tokenizers.images.train import (
    BRIGHT_POWER,
    INSIDE_SHARE,
    OUTSIDE_WEIGHT,
    TrainingLatents,
    reconstruction_error,
    sample_latents,
    train_autoencoder,
    train_image_codebook,
)
from helpers.cutouts import NORMALISER, SETTINGS, cutout_columns, cutouts, shard_of, store_of

CPU = torch.device("cpu")
B, C, S = 1, 1, 2


def error(squared, valid, inside):
    """The error where decoded and measured pixels differ by the roots of `squared` (4,)."""
    decoded = torch.tensor(squared).sqrt().view(B, C, S, S)
    shape = torch.tensor(valid).view(B, C, S, S), torch.tensor(inside).view(B, S, S)
    return reconstruction_error(decoded, torch.zeros(B, C, S, S), *shape).item()


@pytest.fixture
def train(write_cube, tmp_path):
    def run(n=12, pixels=None, report=lambda epoch: None, **changes):
        cube = Cube(write_cube(cutout_columns(cutouts(n) if pixels is None else pixels)), "F1")
        settings = SETTINGS.model_copy(update=changes)
        store = store_of(shard_of(tmp_path, cube))
        return train_autoencoder(store, NORMALISER, settings, CPU, report=report)

    return run


def test_error_by_hand():
    """Pixels inside weigh 1, those outside a tenth: (4 + 0.1 * 9) / 1.1."""
    valid, inside = [True, False, True, False], [True, True, False, False]
    expected = (4 + OUTSIDE_WEIGHT * 9) / (1 + OUTSIDE_WEIGHT)
    assert error([4.0, 100.0, 9.0, 100.0], valid, inside) == pytest.approx(expected)


def test_bright_pixels_weigh_more():
    """The same error counts exp(0.25 × 4) times at a normalised flux of 4."""
    x, decoded = torch.full((1, 1, 1, 2), 4.0), torch.full((1, 1, 1, 2), 4.5)
    everywhere = torch.ones_like(x, dtype=torch.bool)
    found = reconstruction_error(decoded, x, everywhere, everywhere[:, 0]).item()
    assert found == pytest.approx(0.25 * np.exp(BRIGHT_POWER * 4))


def test_invalid_pixels_have_no_error():
    """Where nothing was measured there is no error, whatever is decoded."""
    assert error([4.0] * 4, [False] * 4, [True] * 4) == 0


def test_training_lowers_the_error(train):
    """The loss falls from epoch to epoch, well below where it started."""
    losses = [epoch["loss"] for epoch in train(24, epochs=10, learning_rate=1e-2)[0].history]
    assert len(losses) == 10
    assert losses[-1] < 0.5 * losses[0]


def test_same_seed_same_autoencoder(train):
    """Trained twice from one seed, weights and latents are the same to the bit."""
    (one, latents), (two, again) = train(), train()
    assert one.hash == two.hash == latents.autoencoder_hash
    np.testing.assert_array_equal(latents.points, again.points)


def test_another_seed_is_another_autoencoder(train):
    """The seed decides on weights and batches."""
    assert train(seed=3)[0].hash != train(seed=4)[0].hash


def test_fewer_cutouts_than_a_batch(train):
    """Nine cutouts, as a real cube may have, train in batches of 32."""
    trained, latents = train(9, batch_size=32)
    assert trained.n_train == 9
    assert np.isfinite(latents.points).all()


def test_all_bands_hidden(train):
    """Even an encoder that never sees a band trains without a NaN."""
    assert np.isfinite([epoch["loss"] for epoch in train(band_dropout=1.0)[0].history]).all()


def test_extreme_pixels_do_no_harm(train):
    """A saturated star and a band of one constant leave all weights finite."""
    pixels = cutouts(12)
    pixels[0] = 1e30
    pixels[:, 2] = 1.0
    trained, latents = train(pixels=pixels)
    assert all(torch.isfinite(t).all() for t in trained.model.state_dict().values())
    assert np.isfinite(latents.points).all()


def test_no_training_cutouts():
    """A survey without images gets a valid, untrained autoencoder and no latents."""
    trained, latents = train_autoencoder(store_of(), NORMALISER, SETTINGS, CPU)
    assert (trained.n_train, trained.history, len(latents.points)) == (0, (), 0)


def test_every_epoch_is_reported(train):
    """Number, loss and speed of each epoch are reported, and the losses kept."""
    reported = []
    trained, _ = train(report=reported.append)
    assert [epoch.number for epoch in reported] == list(range(SETTINGS.epochs))
    assert [epoch.loss for epoch in reported] == [epoch["loss"] for epoch in trained.history]
    ratio = 3 * trained.model.flops(24)  # windows of 24 pixels, forward and backward
    assert reported[0].flops_per_second == pytest.approx(ratio * reported[0].windows_per_second)


def test_torchs_seed_is_left_alone(train):
    """Training uses its own random generators."""
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    train()
    assert torch.equal(torch.rand(1), expected)


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
    monkeypatch.setattr(autoencoder, "_BRIGHT", np.inf)
    return store_like()


def latents_of(model, store):
    """Standardised latents of all cutouts."""
    (batch,) = autoencoder.whole_cutouts(store, 10, np.random.default_rng(0))
    with torch.no_grad():
        return model.encode(batch.x, batch.valid)


@pytest.fixture
def model():
    return build_model(shape_settings(SETTINGS), 1)


def test_statistics_standardise_the_training_latents(store, model):
    """Over all patches of the training cutouts, latents get mean 0 and standard deviation 1."""
    sample_latents(model, store, NORMALISER, 0, CPU)
    latents = latents_of(model, store)
    np.testing.assert_allclose(latents.mean((0, 2, 3)), 0, atol=1e-3)
    np.testing.assert_allclose(latents.std((0, 2, 3)), 1, atol=1e-2)


def test_most_points_lie_on_sources(store, model):
    """Sources cover a tenth of these patches, and get most of the sample."""
    points, inside, _ = sample_latents(model, store, NORMALISER, 0, CPU)
    assert (points.shape, points.dtype) == ((10 * 64, 2), np.float32)
    assert inside.mean() == INSIDE_SHARE
    assert np.abs(points[inside]).mean() > np.abs(points[~inside]).mean()


def test_points_are_latents(store, model):
    """Every point of the sample is the standardised latent of some patch."""
    points, *_ = sample_latents(model, store, NORMALISER, 0, CPU)
    latents = latents_of(model, store)
    all_points = latents.permute(0, 2, 3, 1).reshape(-1, 2).numpy()
    distance = np.abs(points[::7, None] - all_points).sum(-1).min(1)
    assert distance.max() < 1e-4


def test_codes_reach_beyond_the_brightest(store_like, model):
    """The sample spreads over more of the latents' plane than the training cutouts do."""
    store = store_like()
    points, *_ = sample_latents(model, store, NORMALISER, 0, CPU)
    assert np.abs(points).max() > latents_of(model, store).abs().max()


def test_cutouts_that_are_all_mask(store_like, model):
    """Where a mask covers the whole cutout, all points lie inside."""
    assert sample_latents(model, store_like(90.0), NORMALISER, 0, CPU)[1].all()


def test_no_cutouts(model):
    """Without training cutouts there are no points, and a codebook without centroids."""
    sample = sample_latents(model, CutoutStore((), NORMALISER, 32), NORMALISER, 0, CPU)
    assert [each.shape for each in sample] == [(0, 2), (0,), (0, 11)]
    codebook = train_image_codebook(TrainingLatents(*sample, "h"), SETTINGS, 8)
    assert not codebook.bins.n_codes.any()
    assert (codebook.centroids.shape, codebook.size) == ((0, 2), 32)


def test_codebook_follows_the_settings(tmp_path, store, model):
    """As many centroids as codes, of the autoencoder that gave the latents; also from a file."""
    latents = TrainingLatents(*sample_latents(model, store, NORMALISER, 0, CPU), "abc")
    latents.save(tmp_path / "latents.npz")
    codebook = train_image_codebook(TrainingLatents.load(tmp_path / "latents.npz"), SETTINGS, 8)
    assert codebook.centroids.shape == (32, 2)
    assert codebook.autoencoder_hash == "abc"
    assert codebook.bins.n_codes.tolist() == [8] * 11
    np.testing.assert_array_equal(
        codebook.centroids, train_image_codebook(latents, SETTINGS, 8).centroids
    )
