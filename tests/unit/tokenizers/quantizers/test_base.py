"""The interface of quantizers, with one that the package does not have."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from astromodal.core.vocab import MISSING_CODE
from astromodal.errors import ConfigError, FormatError
from astromodal.sequences.tokenizers import Tokenizers
from astromodal.tokenizers.images.tokenizer import ImageCodebook, ImageTokenizer
from astromodal.tokenizers.images.train import TrainingLatents, train_image_codebook
from astromodal.tokenizers.quantizers.base import QUANTIZERS, usage
from astromodal.tokenizers.quantizers.kmeans import KMeans, fit_quantizer
from astromodal.tokenizers.quantizers.nearest import NearestCentroid, unpack_quantizer
from astromodal.tokenizers.scalars.tokenizer import ScalarTokenizer
from astromodal.tokenizers.spectra.codebook import GroupSamples, SpectrumCodebook, train_codebook
from astromodal.tokenizers.spectra.tokenizer import SpectrumTokenizer
from helpers.cutouts import SETTINGS as IMAGE
from helpers.cutouts import cutouts, untrained_autoencoder
from helpers.model import CONFIG, toy_tokenizers
from helpers.quantizers import Grid, grid
from helpers.spectra import samples_of, spectra

__all__ = ["grid"]

POINTS = np.random.default_rng(0).normal(size=(500, 2))
SPECTRUM = CONFIG.tokenizers.spectrum.model_copy(update={"quantizer": "grid"})


def fit(name, size=16):
    return fit_quantizer(name, "tokenizers.image.quantizer", POINTS, size, 2, 0)


def image_tokenizer(tmp_path) -> ImageTokenizer:
    """An image tokenizer with a lattice, by way of its file."""
    autoencoder = untrained_autoencoder()
    points, none = POINTS.astype(np.float32), np.empty((0, 6), np.float32)
    latents = TrainingLatents(points, np.ones(500, bool), none, autoencoder.hash)
    settings = IMAGE.model_copy(update={"quantizer": "grid"})
    train_image_codebook(latents, settings, CONFIG.tokenizers.scalar.n_bins).save(
        tmp_path / "codebook.npz"
    )
    return ImageTokenizer(autoencoder, ImageCodebook.load(tmp_path / "codebook.npz"))


def spectrum_tokenizer(tmp_path) -> SpectrumTokenizer:
    """A spectrum tokenizer with lattices, by way of its files."""
    for group, samples in {"desi_r": samples_of(*spectra(30)),
                           "gaiaxp_bp": GroupSamples.merge([])}.items():  # fmt: skip
        train_codebook(samples, group, SPECTRUM).save(tmp_path / f"{group}.npz")
    books = [SpectrumCodebook.load(tmp_path / f"{group}.npz", group) for group in SPECTRUM.groups]
    SpectrumTokenizer.assemble(books, SPECTRUM, 6).save(tmp_path / "tokenizer.npz")
    return SpectrumTokenizer.load(tmp_path / "tokenizer.npz")


def test_k_means_is_the_quantizer_that_ships():
    """A setting finds k-means by its name, and it is registered."""
    assert isinstance(fit("kmeans"), KMeans)
    assert QUANTIZERS.get("kmeans", "x") is KMeans


def test_a_name_that_is_not_registered_is_refused():
    """The error names the setting and the nearest quantizer."""
    with pytest.raises(ConfigError, match=r"tokenizers\.image\.quantizer must be a registered"):
        fit("kmean")


@pytest.mark.parametrize("centroids", [
    np.zeros((17, 2), np.float32), np.zeros((4, 3), np.float32), np.zeros((4, 2)),
    np.full((4, 2), np.nan, np.float32),
])  # fmt: skip
def test_what_is_fitted_is_checked(grid, monkeypatch, centroids):
    """Centroids that no vocabulary or loss can use stop the fit."""
    monkeypatch.setattr(grid, "centroids", centroids)
    with pytest.raises(ConfigError, match=r"centroids of quantizer 'grid' must be finite float32"):
        fit("grid")


def test_usage_is_measured_where_the_fit_did_not(grid):
    """Points of each code and their mean squared distance from what it decodes to."""
    fitted = fit("grid")
    counts, inertia = usage(fitted, POINTS)
    codes = fitted.encode(POINTS)
    np.testing.assert_array_equal(counts, np.bincount(codes, minlength=16))
    away = POINTS - fitted.centroids[codes]
    assert inertia == pytest.approx((away**2).sum(axis=1).mean())
    clustered = fit("kmeans")
    assert usage(clustered, POINTS) == (clustered.counts, clustered.inertia)


def test_usage_of_nothing(grid):
    """Without points no code is used."""
    empty = Grid.fit(np.empty((0, 2)), 16, 1, 0)
    counts, inertia = usage(empty, np.empty((0, 2)))
    assert (counts.shape, inertia) == ((0,), 0.0)


def test_packed_arrays_name_their_quantizer(grid):
    """Those of k-means are the centroids alone; others carry a name, and are found by it."""
    assert list(fit("kmeans").packed()) == ["centroids"]
    packed = fit("grid").packed()
    assert str(packed["quantizer"]) == "grid"
    again = unpack_quantizer(packed, "a file")
    assert isinstance(again, Grid)
    np.testing.assert_array_equal(again.centroids, fit("grid").centroids)
    assert isinstance(unpack_quantizer(fit("kmeans").packed(), "a file"), NearestCentroid)


def test_a_file_of_an_unknown_quantizer_is_refused(grid, tmp_path, monkeypatch):
    """Without the user's extension the file cannot be read, and the error says what to add."""
    image_tokenizer(tmp_path)
    monkeypatch.setattr(QUANTIZERS, "_items", {"kmeans": KMeans})
    with pytest.raises(ConfigError, match=r"codebook.npz: quantizer .* got grid; add the Python"):
        ImageCodebook.load(tmp_path / "codebook.npz")


def test_images_with_another_quantizer(grid, tmp_path):
    """Latents get the lattice's codes, and codes decode to the middles of its cells."""
    tokenizer = image_tokenizer(tmp_path)
    pixels = cutouts(3).astype(np.float32)
    codes, latents = tokenizer.encode(pixels, np.isfinite(pixels))
    points = latents.transpose(0, 2, 3, 1).reshape(-1, 2)
    wanted = tokenizer.codebook.quantizer.encode(points)
    np.testing.assert_array_equal(codes.ravel(), wanted)
    assert codes.dtype == np.uint16
    bright = tokenizer.brightness(pixels, np.isfinite(pixels))
    assert np.isfinite(tokenizer.decode(codes, bright)).all()
    same = replace(tokenizer.codebook, quantizer=NearestCentroid(tokenizer.centroids))
    assert ImageTokenizer(tokenizer.autoencoder, same).hash != tokenizer.hash


def test_spectra_with_another_quantizer(grid, tmp_path):
    """A group's bins get the lattice's codes; a group without data still has none."""
    tokenizer = spectrum_tokenizer(tmp_path)
    assert isinstance(tokenizer["desi_r"].quantizer, Grid)
    flux, ivar = spectra(8, seed=5)
    codes, scale = tokenizer.encode("desi_r", flux, ivar)
    assert codes.dtype == np.uint16
    assert (codes[codes != MISSING_CODE] < 16).all()
    decoded, _ = tokenizer.decode("desi_r", codes, scale)
    np.testing.assert_array_equal(np.isfinite(decoded[:, ::2]), codes[:, :-12] != MISSING_CODE)
    with pytest.raises(FormatError, match="codes of group desi_r must be below 16"):
        tokenizer["desi_r"].decode(np.full((1, 16), 16, np.uint16), np.ones(1))
    assert not len(tokenizer["gaiaxp_bp"].centroids)


def test_training_gets_the_centroids_of_another_quantizer(grid, tmp_path):
    """The tables that the loss compares hold its centroids, and are of the vocabulary's size."""
    scalar: ScalarTokenizer = toy_tokenizers().scalar
    spectrum, image = spectrum_tokenizer(tmp_path), image_tokenizer(tmp_path)
    tables = Tokenizers(scalar, spectrum, image).tables()
    np.testing.assert_array_equal(tables.image[: tables.n_image], image.centroids)
    assert tables.image.shape == (32, 2)
    assert tables.n_image == 25
    assert tables.n_spectrum == {"desi_r": 16, "gaiaxp_bp": 0}
