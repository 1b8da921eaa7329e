"""Which spectra are shown."""

import numpy as np

from astromodal.evaluation.spectra.figures import choose_examples
from astromodal.evaluation.spectra.sample import Fluxes, GroupSample


def _sample(flux):
    n = len(flux)
    ids, ones = np.array([f"o{i}" for i in range(n)]), np.ones(n)
    fluxes = Fluxes(np.arange(float(flux.shape[1])), flux, np.ones(flux.shape), flux)
    return GroupSample(ids, fluxes, fluxes, ones, ones, np.ones(n, int), np.ones(4, int), 0)


def test_examples_span_the_signal_to_noise():
    """Examples are evenly spaced in rank: the best and the worst object are among them."""
    flux = np.arange(1.0, 11)[:, None] * np.ones((10, 8))
    chosen = choose_examples({"desi_b": _sample(flux)}, 3)
    assert [name for name, _ in chosen] == ["o9", "o5", "o0"]
