import numpy as np
import pytest

from astromodal.data.cube import Cube
from astromodal.errors import FormatError
from astromodal.surveys.registry import grid_group
from astromodal.tokenizers.spectra.codebook import (
    GroupSamples,
    SpectrumCodebook,
    SpectrumSamples,
    feature_space,
    read_samples,
    sample_features,
    train_codebook,
)
from helpers.spectra import SETTINGS, desi_columns, samples_of, spectra

SLOTS = grid_group("desi_r").n_slots(SETTINGS)


@pytest.fixture
def cube(write_cube):
    """Six spectra, the third a dead fibre, and a row without one."""
    flux, ivar = spectra(6)
    ivar[2] = 0
    columns = desi_columns([*flux, None], [*ivar, None])
    return Cube(write_cube({"id": [f"o{i}" for i in range(7)], **columns}, row_group_size=2), "F1")


def test_all_live_spectra_to_fit_on_are_sampled(cube):
    """Features of every code and the scale of every live spectrum, of the chosen rows only."""
    chosen = np.array([True, True, True, False, False, True, True])
    found = sample_features(cube, SETTINGS, chosen, 0)["desi_r"]
    expected = samples_of(*(x[[0, 1, 5]] for x in spectra(6)))
    np.testing.assert_array_equal(found.features, expected.features)
    np.testing.assert_array_equal(found.scale, expected.scale)
    assert (found.n_spectra, found.n_live, found.n_objects) == (6, 5, 3)


def test_groups_without_spectra_are_empty(cube):
    """A group that the cube lacks is there, with nothing in it."""
    found = sample_features(cube, SETTINGS, np.ones(7, bool), 0)["desi_b"]
    assert (found.features.shape, found.n_objects, found.n_spectra) == ((0, 3), 0, 0)


def test_large_fields_are_thinned_to_the_limit(cube):
    """As many codes as the setting says, in row order, from all over the field; all the scales."""
    settings = SETTINGS.model_copy(update={"samples_per_field": 150})
    every = sample_features(cube, SETTINGS, np.ones(7, bool), 0)["desi_r"]
    found = sample_features(cube, settings, np.ones(7, bool), 0)["desi_r"]
    place = [
        int(np.flatnonzero((every.features[:, :2] == f[:2]).all(axis=1))[0]) for f in found.features
    ]
    assert len(place) == 150
    assert place == sorted(set(place))
    assert {p // SLOTS for p in place} == set(range(5))
    np.testing.assert_array_equal(found.scale, every.scale)


def test_thinning_follows_the_seed_and_not_the_slices(cube, write_cube, monkeypatch):
    """The same seed draws the same bins however the cube is read; another seed draws others."""
    settings = SETTINGS.model_copy(update={"samples_per_field": 100})
    rows = np.ones(7, bool)
    first = sample_features(cube, settings, rows, 0)["desi_r"].features
    other = sample_features(cube, settings, rows, 1)["desi_r"].features
    import astromodal.tokenizers.spectra.codebook as module

    read = module.read_group
    monkeypatch.setattr(module, "read_group", lambda *a: read(*a, rows=1))
    again = sample_features(cube, settings, rows, 0)["desi_r"].features
    np.testing.assert_array_equal(first, again)
    assert (first[:, 0] != other[:, 0]).any()


def test_noise_follows_the_first_spectra_and_not_the_slices(write_cube, monkeypatch):
    """It is measured among a number of objects, which are read once, to the same bits."""
    import astromodal.tokenizers.spectra.codebook as module

    columns = desi_columns(*(list(part) for part in spectra(40)))
    cube = Cube(write_cube({"id": [f"o{i}" for i in range(40)], **columns}), "F1")
    monkeypatch.setattr(module, "NOISE_OBJECTS", 20)
    read, calls, found = module.read_group, [], []
    for rows in (1, 7, 1024):

        def once(cube, group, *given, rows=rows):
            calls.append((rows, group))
            return read(cube, group, *given, rows=rows)

        monkeypatch.setattr(module, "read_group", once)
        found.append(sample_features(cube, SETTINGS, np.arange(40) != 3, 0)["desi_r"])
    assert len(calls) == len(set(calls)) == 3 * len(SETTINGS.groups)
    assert found[0].noise.count.max() == 19
    for other in found[1:]:
        np.testing.assert_array_equal(found[0].noise.total, other.noise.total)
        np.testing.assert_array_equal(found[0].features, other.features)


def test_samples_come_back_from_disk(cube, tmp_path):
    """Every group, with its counts."""
    made = sample_features(cube, SETTINGS, np.ones(7, bool), 0)
    made.save(tmp_path / "s.npz")
    found = SpectrumSamples.load(tmp_path / "s.npz")
    assert list(found.groups) == list(SETTINGS.groups)
    for group, samples in made.groups.items():
        np.testing.assert_array_equal(found[group].features, samples.features)
        np.testing.assert_array_equal(found[group].scale, samples.scale)
        assert (found[group].n_spectra, found[group].n_live) == (samples.n_spectra, samples.n_live)


def test_merging_joins_fields():
    """Features and scales follow each other, counts add up."""
    one, two = samples_of(*spectra(2)), samples_of(*spectra(3, seed=1))
    merged = SpectrumSamples.merge([SpectrumSamples({"g": one}), SpectrumSamples({"g": two})])["g"]
    np.testing.assert_array_equal(merged.features, np.concatenate([one.features, two.features]))
    assert (merged.n_objects, merged.n_spectra, merged.n_live) == (5, 5, 5)


def test_fields_of_other_groups_are_refused():
    """Samples made under another list of groups do not fit."""
    parts = [SpectrumSamples({name: GroupSamples.merge([])}) for name in ("a", "b")]
    with pytest.raises(FormatError, match="spectrum samples must be of the same groups"):
        SpectrumSamples.merge(parts)


@pytest.fixture
def codebook():
    return train_codebook(samples_of(*spectra(20)), "desi_r", SETTINGS)


def test_features_are_standardised_with_the_training_data(codebook):
    """Means of bins have deviation 1, contrasts the same divisor; noise and lines do not count."""
    features = samples_of(*spectra(20)).features
    bins = features[np.isfinite(features[:, 2])]
    points = feature_space("desi_r").standardise(bins, codebook.mean, codebook.std)
    assert points[:, 0].mean() == pytest.approx(0, abs=1e-5)
    assert points[:, 0].std() == pytest.approx(1)
    np.testing.assert_allclose(points[:, 1] * codebook.std[0], bins[:, 1], rtol=1e-6)


def test_numbers_say_what_was_fitted(codebook):
    """Samples, objects and counts of the training fields; codes of artificial lines have none."""
    features = samples_of(*spectra(20)).features
    assert codebook.numbers["n_objects"] == codebook.numbers["n_live"] == 20
    assert codebook.numbers["n_samples"] == codebook.counts.sum() == len(features)
    fluxes = codebook.centroids[:, 0] * codebook.std[0] + codebook.mean[0]
    assert not codebook.counts[fluxes > features[:, 0].max() + 1].any()
    assert codebook.scale.total == 20


def test_no_samples_make_an_empty_codebook():
    """A group that no training field has; its file can still be written."""
    codebook = train_codebook(GroupSamples.merge([]), "desi_b", SETTINGS)
    assert codebook.centroids.shape == (0, 2)
    assert codebook.scale.total == 0
    assert np.isfinite(codebook.mean).all()
    assert (codebook.std == 1).all()


def test_equal_samples_are_a_centroid():
    """A feature without spread is not divided by 0; all other codes are of artificial lines."""
    features = np.tile(np.array([0.5, 0.0, 1.0], np.float32), (5, 1))
    codebook = train_codebook(GroupSamples(features, np.ones(1), 1, 1), "desi_b", SETTINGS)
    assert np.isfinite(codebook.centroids).all()
    np.testing.assert_allclose(codebook.centroids[codebook.counts > 0], [[0, 0]], atol=1e-3)


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
