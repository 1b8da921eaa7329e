"""Figures and tables of magnitudes, colours and stars, at their edges."""

import numpy as np

from astromodal.evaluation.images.photometry import (
    measure_aperture_colours,
    measure_apertures,
    measure_stars,
)
from astromodal.evaluation.images.photometry_figures import (
    aperture_table,
    colour_table,
    plot_bright,
    plot_changes,
    plot_colours,
    plot_stars,
    star_table,
)

BANDS = ("R", "Z")


def test_changes_beyond_the_axis_are_shown_at_its_edge(image_sample):
    """A change of five magnitudes is plotted at 0.5 mag, as a triangle."""
    sample = image_sample(codes={"circle": 0.01 * image_sample().measured.circle})
    figure = plot_changes(sample, BANDS)
    triangles = [line for line in figure.axes[0].lines if line.get_marker() == "^"]
    assert triangles[0].get_ydata().tolist() == [0.5] * 20


def test_nothing_bright_is_plotted(image_sample):
    """Without a bright source axes are empty, and nothing warns."""
    sample = image_sample(noise=np.full((20, 2), 1e9))
    apertures = measure_apertures(sample, 0, 0)
    for figure in (
        plot_changes(sample, BANDS), plot_bright(apertures, BANDS), plot_colours(sample)
    ):  # fmt: skip
        figure.draw_without_rendering()


def test_tables_have_a_row_for_each_number(image_sample):
    """Two apertures of two bands and all; one colour in five bins of S/N."""
    apertures = measure_apertures(image_sample(), 0, 0)
    table = aperture_table({"3": apertures, "6": apertures}, BANDS)
    assert len(table.rows) == 6
    colours = colour_table(measure_aperture_colours(image_sample(), 0))
    assert [row[1] for row in colours.rows] == [
        "5-10", "10-30", "30-100", "above 100", "above 30",
    ]  # fmt: skip
    assert all(len(row) == len(t.columns) for t in (table, colours) for row in t.rows)


def test_stars_are_plotted_and_tabulated(image_sample):
    """Both stages are plotted; the table has one row per band and one over all."""
    sample = image_sample()
    stars = measure_stars(sample, 0)
    plot_stars(sample, stars).draw_without_rendering()
    table = star_table(stars, BANDS)
    assert [row[0] for row in table.rows] == ["R", "Z", "all"]
    assert all(len(row) == len(table.columns) for row in table.rows)
