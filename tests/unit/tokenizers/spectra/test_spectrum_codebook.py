import numpy as np
import pytest

from astromodal.errors import FormatError
from astromodal.tokenizers.spectra.codebook import SpectrumCodebook, read_samples, train_codebook
from astromodal.tokenizers.spectra.samples import GroupSamples, SpectrumSamples
from helpers.spectra import SETTINGS, samples_of, spectra


@pytest.fixture
def codebook():
    return train_codebook(samples_of(*spectra(20)), "desi_r", SETTINGS)


def test_features_are_standardised_with_the_training_data(codebook):
    """Centroids, weighted by their counts, have mean 0 and nearly the weights' deviations."""
    weights = codebook.counts / codebook.counts.sum()
    centred = codebook.centroids - weights @ codebook.centroids
    np.testing.assert_allclose(weights @ codebook.centroids, 0, atol=0.02)
    np.testing.assert_allclose(np.sqrt(weights @ centred**2), [1, 0.25], rtol=0.05)


def test_numbers_say_what_was_fitted(codebook):
    """Samples, objects and counts of the training fields."""
    assert codebook.numbers["n_objects"] == codebook.numbers["n_live"] == 20
    assert codebook.numbers["n_samples"] == codebook.counts.sum()
    assert codebook.scale.total == 20


def test_no_samples_make_an_empty_codebook():
    """A group that no training field has; its file can still be written."""
    codebook = train_codebook(GroupSamples.merge([]), "desi_b", SETTINGS)
    assert codebook.centroids.shape == (0, 2)
    assert codebook.scale.total == 0
    assert np.isfinite(codebook.mean).all()
    assert (codebook.std == 1).all()


def test_equal_samples_make_one_centroid():
    """A feature without spread is not divided by 0."""
    samples = GroupSamples(np.full((5, 2), 0.5, np.float32), np.ones(1), 1, 1)
    codebook = train_codebook(samples, "desi_b", SETTINGS)
    assert codebook.centroids.tolist() == [[0, 0]]


def test_codebooks_come_back_from_disk(codebook, tmp_path):
    """All arrays, the scale's cells and the numbers."""
    codebook.save(tmp_path / "c.npz")
    found = SpectrumCodebook.load(tmp_path / "c.npz", "desi_r")
    for name in ("centroids", "counts", "mean", "std"):
        np.testing.assert_array_equal(getattr(found, name), getattr(codebook, name))
    np.testing.assert_array_equal(found.scale.mean, codebook.scale.mean)
    assert found.numbers == codebook.numbers


def test_another_groups_codebook_is_refused(codebook, tmp_path):
    """A file in the wrong place is not taken for what its name says."""
    codebook.save(tmp_path / "c.npz")
    with pytest.raises(FormatError, match="must be of group desi_b, got desi_r"):
        SpectrumCodebook.load(tmp_path / "c.npz", "desi_b")


def test_fields_share_the_limit(tmp_path):
    """Each field gives at most its share of bins, and all its scales."""
    paths = []
    for i in range(2):
        paths.append(tmp_path / f"{i}.npz")
        SpectrumSamples({"desi_r": samples_of(*spectra(3, seed=i))}).save(paths[-1])
    whole = read_samples(paths, "desi_r")
    thinned = read_samples(paths, "desi_r", limit=100)
    assert len(whole.features) > len(thinned.features) == 100
    assert thinned.n_objects == whole.n_objects == 6
