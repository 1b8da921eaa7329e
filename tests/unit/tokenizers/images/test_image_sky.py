import numpy as np
import pytest

from astromodal.data.cube import Cube
from astromodal.errors import FormatError
from astromodal.tokenizers.images.normaliser import SOFTENING, SkySample, fit_normaliser, sample_sky
from helpers.cutouts import BANDS, SETTINGS, SKY, cutout_columns, cutouts


def test_sky_of_the_rows_to_fit_on(write_cube):
    """The sample follows the sky of the fit rows; rows held out do not move it."""
    pixels = cutouts(12)
    pixels[6:] *= 100
    cube = Cube(write_cube(cutout_columns(pixels)), "F1")
    sample = sample_sky(cube, np.arange(12) < 6, SETTINGS)
    assert sample.sigma.shape == (6, 3)
    np.testing.assert_allclose(np.median(sample.sigma, axis=0), SKY, rtol=0.15)


def test_a_field_gives_its_first_64(write_cube):
    """More cutouts than 64 a field are not looked at."""
    cube = Cube(write_cube(cutout_columns(cutouts(70))), "F1")
    assert len(sample_sky(cube, np.ones(70, bool), SETTINGS).sigma) == 64


def test_normaliser_of_all_fields():
    """Each band's softening is 8 times the median over the fields' samples."""
    samples = [SkySample(("U", "R"), np.array([[s, 2 * s]])) for s in (1.0, 1.2, 9.0)]
    fitted = fit_normaliser(samples, ("U", "R"))
    np.testing.assert_allclose(fitted.softening, [1.2 * SOFTENING, 2.4 * SOFTENING])
    assert fitted.bands == ("U", "R")


def test_many_fields_give_fewer_cutouts_each():
    """Of 2000 fields one cutout each counts."""
    samples = [SkySample(("U",), np.array([[1.0], [5.0], [5.0]]))] * 2000
    np.testing.assert_allclose(fit_normaliser(samples, ("U",)).softening, [SOFTENING])


def test_no_cutouts(write_cube):
    """A field without images gives an empty sample, and all of them a softening of 8."""
    sample = sample_sky(Cube(write_cube({"id": ["a"]}), "F1"), np.ones(1, bool), SETTINGS)
    assert sample.sigma.shape == (0, 3)
    np.testing.assert_allclose(fit_normaliser([sample], BANDS).softening, [SOFTENING] * 3)


def test_files_round_trip(tmp_path):
    """A saved sample loads to the same."""
    sample = SkySample(("U", "R"), np.array([[1.0, np.nan]]))
    sample.save(tmp_path / "sky.npz")
    again = SkySample.load(tmp_path / "sky.npz")
    assert again.bands == sample.bands
    np.testing.assert_array_equal(again.sigma, sample.sigma)


def test_sample_of_other_bands():
    """A sample of other bands than the config's is refused."""
    sample = SkySample(("U", "R"), np.ones((1, 2)))
    with pytest.raises(FormatError, match="sky sample must be of bands R U, got '?U R"):
        fit_normaliser([sample], ("R", "U"))
