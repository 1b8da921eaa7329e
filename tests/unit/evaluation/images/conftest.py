"""A sample of cutouts with chosen sums."""

import numpy as np
import pytest

from astromodal.evaluation.images.apertures import DecodedPhotometry, Photometry
from astromodal.evaluation.images.sample import HiddenBands, ImageSample


@pytest.fixture
def image_sample():
    """Make a sample of 20 cutouts in two bands that codes and latents keep, with changes."""

    def make(codes=None, latents=None, measured=None, **changes):
        ones = np.ones((20, 2))
        circle = np.stack([1000 * ones, 700 * ones, 2000 * ones], axis=-1)
        light = {"flux": 1000 * ones, "circle": circle, "peak": 200 * ones, "fwhm": 1.5 * ones}
        decoded = {**light, "residual": 4 * ones}
        values = {
            "codes": DecodedPhotometry(**{**decoded, **(codes or {})}),
            "latents": DecodedPhotometry(**{**decoded, **(latents or {})}),
            "measured": Photometry(**{**light, **(measured or {})}),
            "ids": np.array([f"s{i}" for i in range(20)]), "star": np.ones(20, bool),
            "n_pixels": 4 * ones, "total": 100 * ones, "noise": ones, "bands": ("R", "Z"),
            "size": 24, "hidden": None, "counts": np.ones(4, int),
            "head_counts": np.ones((8, 4), int), "n_whole": 20, "n_short": 0, "n_uncoded": 0,
            "n_outside": 0,
        }  # fmt: skip
        return ImageSample(**{**values, **changes})

    return make


@pytest.fixture
def hidden_bands():
    """Two cutouts of three bands, each band of variance 10 and residual 1, passes 1 1 1 2.

    A hidden band has a residual of 5, and adds 1 to each band that is given.
    """
    single = np.eye(3, dtype=bool)
    hidden = np.broadcast_to(np.concatenate([single, [[True, True, False]]]), (2, 4, 3)).copy()
    ones = np.ones((2, 3))
    return HiddenBands(hidden, np.where(hidden, 5.0, 2.0), ones, 10 * ones, ones)
