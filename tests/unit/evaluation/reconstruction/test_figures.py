"""Which examples are plotted."""

import numpy as np

from astromodal.evaluation.reconstruction.figures import choose_evenly


def test_examples_have_evenly_spaced_ranks():
    """Best first, from the best to the worst; NaN is never chosen."""
    quality = np.array([0.1, np.nan, 0.9, 0.5, 0.3, 0.7])
    assert choose_evenly(quality, 3) == [2, 3, 0]
    assert choose_evenly(quality, 9) == [2, 5, 3, 4, 0]
    assert choose_evenly(np.full(2, np.nan), 3) == []
