"""Samples of cutouts for the tests of their evaluation."""

import numpy as np
import pytest

from astromodal.evaluation.images.sample import ImageSample


@pytest.fixture
def image_sample():
    """A sample of n cutouts in which nothing is lost; fields may be replaced."""

    def make(n=20, n_bands=2, **changes):
        ones = np.ones((n, n_bands))
        circles = np.stack([1000 * ones, 2000 * ones], axis=-1)
        values = {
            "ids": np.array([f"s{i}" for i in range(n)]),
            "residual_codes": 4 * ones, "residual_latents": 4 * ones, "total": 100 * ones,
            "n_pixels": 4 * ones, "flux": 1000 * ones, "flux_codes": 1000 * ones,
            "flux_latents": 1000 * ones, "noise": ones, "circle": circles,
            "circle_codes": circles, "circle_latents": circles, "fwhm": 1.5 * ones,
            "fwhm_codes": 1.5 * ones, "fwhm_latents": 1.5 * ones, "star": np.ones(n, bool),
            "hidden": None, "counts": np.ones(4, int), "n_whole": n, "n_uncoded": 0,
            "n_outside": 0, "n_short": 0,
        }  # fmt: skip
        return ImageSample(**{**values, **changes})

    return make
