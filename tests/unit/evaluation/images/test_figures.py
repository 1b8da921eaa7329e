"""Figures and tables of the losses, at their edges."""

import numpy as np

from astromodal.evaluation.images.figures import (
    limit_table,
    missing_table,
    plot_limits,
    plot_missing,
)
from astromodal.evaluation.images.measures import measure_limits, measure_missing

BANDS = ("R", "Z")
THREE = ("G", "R", "Z")


def test_nothing_detected_is_plotted(image_sample):
    """Without a detected cutout fractions are NaN, and the figure is plotted all the same."""
    limits = measure_limits(image_sample(measured={"flux": np.zeros((20, 2))}), 0)
    plot_limits(limits, BANDS).draw_without_rendering()
    assert len(limit_table(limits, BANDS).rows) == 6


def test_missing_bands_have_a_row_per_number_and_per_band(hidden_bands):
    """Two numbers of missing bands and three bands."""
    missing = measure_missing(hidden_bands, THREE, np.ones(3), 0)
    assert [row[0] for row in missing_table(missing, THREE).rows] == [
        "1 band", "2 bands", "G", "R", "Z",
    ]  # fmt: skip
    plot_missing(missing, THREE).draw_without_rendering()
