import numpy as np
import pytest

from astromodal.data.cube import Cube
from astromodal.errors import FormatError
from astromodal.surveys.grids import n_bins
from astromodal.tokenizers.spectra.samples import GroupSamples, SpectrumSamples, sample_features
from helpers.spectra import SETTINGS, desi_columns, samples_of, spectra

BINS = n_bins("desi_r", SETTINGS)


@pytest.fixture
def cube(write_cube):
    """Six spectra, the third a dead fibre, and a row without one."""
    flux, ivar = spectra(6)
    ivar[2] = 0
    columns = desi_columns([*flux, None], [*ivar, None])
    return Cube(write_cube({"id": [f"o{i}" for i in range(7)], **columns}, row_group_size=2), "F1")


def test_all_live_spectra_to_fit_on_are_sampled(cube):
    """Features of every good bin and the scale of every live spectrum, of the chosen rows only."""
    chosen = np.array([True, True, True, False, False, True, True])
    found = sample_features(cube, SETTINGS, chosen, 0)["desi_r"]
    expected = samples_of(*(x[[0, 1, 5]] for x in spectra(6)))
    np.testing.assert_array_equal(found.features, expected.features)
    np.testing.assert_array_equal(found.scale, expected.scale)
    assert (found.n_spectra, found.n_live, found.n_objects) == (6, 5, 3)


def test_groups_without_spectra_are_empty(cube):
    """A group that the cube lacks is there, with nothing in it."""
    found = sample_features(cube, SETTINGS, np.ones(7, bool), 0)["desi_b"]
    assert (found.features.shape, found.n_objects, found.n_spectra) == ((0, 2), 0, 0)


def test_large_fields_are_thinned_to_the_limit(cube):
    """As many bins as the setting says, in row order, from all over the field; all the scales."""
    settings = SETTINGS.model_copy(update={"samples_per_field": 150})
    every = sample_features(cube, SETTINGS, np.ones(7, bool), 0)["desi_r"]
    found = sample_features(cube, settings, np.ones(7, bool), 0)["desi_r"]
    place = [int(np.flatnonzero((every.features == f).all(axis=1))[0]) for f in found.features]
    assert len(place) == 150
    assert place == sorted(set(place))
    assert {p // BINS for p in place} == set(range(5))
    np.testing.assert_array_equal(found.scale, every.scale)


def test_thinning_follows_the_seed_and_not_the_slices(cube, write_cube, monkeypatch):
    """The same seed draws the same bins however the cube is read; another seed draws others."""
    settings = SETTINGS.model_copy(update={"samples_per_field": 100})
    rows = np.ones(7, bool)
    first = sample_features(cube, settings, rows, 0)["desi_r"].features
    other = sample_features(cube, settings, rows, 1)["desi_r"].features
    import astromodal.tokenizers.spectra.samples as module

    read = module.read_spectra
    monkeypatch.setattr(module, "read_spectra", lambda *a: read(*a, rows=1))
    again = sample_features(cube, settings, rows, 0)["desi_r"].features
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


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
