"""Spectra and cutouts, before and after the prediction."""

import numpy as np

from astromodal.evaluation.images.apertures import DecodedSums, MaskSums
from astromodal.evaluation.reconstruction.fluxes import (
    MEAN,
    METHODS,
    MODEL_SCALED,
    PredictedImages,
    fit_scale,
    sample_images,
    sample_spectra,
)
from astromodal.evaluation.reconstruction.sample import MODEL, TOKENIZER


def test_the_tokenizer_keeps_the_observed_spectrum(inputs):
    """Rows of observed and decoded flux are of the same object: their S/N is high."""
    sample = sample_spectra(inputs, inputs.with_block("desi_r"), "desi_r")
    good = sample.ivar > 0
    away = np.abs(sample.estimates[TOKENIZER] - sample.flux)[good]
    assert np.median(away) < 0.5 * np.median(np.abs(sample.flux[good]))


def test_scaling_keeps_the_shape(inputs):
    """The prediction is multiplied by one factor per spectrum."""
    sample = sample_spectra(inputs, inputs.with_block("desi_r"), "desi_r")
    np.testing.assert_allclose(
        sample.estimates[MODEL_SCALED], sample.factor[MODEL][:, None] * sample.estimates[MODEL]
    )


def test_cutouts_are_read_in_the_order_of_the_objects(inputs):
    """Sums over the measured pixels are of the same object as these: decoded ones follow them."""
    sample = sample_images(inputs, inputs.with_block("image"))
    inside = sample.mask[:, None] & np.isfinite(sample.pixels)
    flux = np.where(inside, sample.pixels, 0).sum((2, 3), dtype=float)
    np.testing.assert_allclose(sample.measured.flux, flux)
    decoded = np.where(inside, sample.estimates[TOKENIZER], 0).sum((2, 3), dtype=float)
    np.testing.assert_allclose(sample.sums[TOKENIZER].flux, decoded)


def test_magnitudes_need_a_detection():
    """A tenth of the light is 2.5 mag fainter; below 5 sigmas nothing is compared."""
    flux, ones = np.array([[1000.0], [4.0]]), np.ones((2, 1))
    measured = MaskSums(n_pixels=ones, flux=flux, total=ones, noise=ones)
    sums = {method: DecodedSums(0.1 * flux, ones) for method in METHODS}
    sample = PredictedImages(np.array(["a", "b"]), ("R",), ones, ones, {}, measured, sums)
    change = sample.magnitude_changes()
    assert set(change) == {TOKENIZER, MODEL, MEAN}
    np.testing.assert_allclose(change[MODEL], [[2.5], [np.nan]])


def test_a_shape_is_fitted_where_it_counts():
    """The factor is that of least squares; a value without weight does not count."""
    values = np.array([[2.0, 4.0, 100.0], [np.nan, 1.0, 1.0]])
    weight = np.array([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    fitted, factor = fit_scale(np.array([1.0, 2.0, 3.0]), values, weight)
    np.testing.assert_allclose(factor, [2.0, 0.0])
    np.testing.assert_allclose(fitted[0], [2.0, 4.0, 6.0])
