"""Figures and tables of magnitudes and colours, at their edges."""

import numpy as np

from astromodal.evaluation.images.photometry import aperture_numbers, colour_numbers
from astromodal.evaluation.images.photometry_figures import (
    bright_table,
    colour_table,
    plot_bright,
    plot_changes,
    plot_colours,
)

BANDS = ("R", "Z")


def test_changes_beyond_the_axis_are_shown_at_its_edge(image_sample):
    """Five magnitudes too faint is drawn at 0.5 mag, as a triangle."""
    sample = image_sample()
    sample.circle_codes = sample.circle * 0.01
    figure = plot_changes(sample, BANDS, BANDS, 24)
    triangles = [line for line in figure.axes[0].lines if line.get_marker() == "^"]
    assert triangles[0].get_ydata().tolist() == [0.5] * 20


def test_nothing_bright_is_drawn(image_sample):
    """Without a bright source axes are empty, and nothing warns."""
    sample = image_sample(noise=np.full((20, 2), 1e9))
    numbers = aperture_numbers(sample, BANDS, 24, 0, 0)
    for figure in (
        plot_changes(sample, BANDS, BANDS, 24),
        plot_bright(numbers, BANDS),
        plot_colours(sample, BANDS, 24),
    ):
        figure.draw_without_rendering()


def test_tables_have_a_row_for_each_number(image_sample):
    """Two apertures of two bands and all; one colour in five bins of S/N."""
    numbers = aperture_numbers(image_sample(), BANDS, 24, 0, 0)
    assert len(bright_table({"3": numbers, "6": numbers}, BANDS)["rows"]) == 6
    colours = colour_table(colour_numbers(image_sample(), BANDS, 24, 0))
    assert [row[1] for row in colours["rows"]] == [
        "5-10", "10-30", "30-100", "above 100", "above 30",
    ]  # fmt: skip
    assert all(len(row) == len(colours["columns"]) for row in colours["rows"])
