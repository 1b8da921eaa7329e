"""Where fields lie on the sky."""

import numpy as np
import pytest

from astromodal.evaluation.coverage.evaluate import around, plot_sky, separation


@pytest.fixture
def at(field_summary):
    """Summaries of fields at some positions (degree)."""

    def make(*places):
        return [
            field_summary(f"F{i}", position={"ra": ra, "dec": dec})
            for i, (ra, dec) in enumerate(places)
        ]

    return make


def test_separation_by_hand():
    """A right angle, the length of a degree of right ascension at 60 degrees, and poles."""
    found = separation(np.array([90.0, 1.0, 17.0]), np.array([0.0, 60.0, 90.0]), 0.0, 60.0)
    assert found == pytest.approx([90.0, 0.5, 30.0], abs=1e-3)


def test_around_wraps():
    """One degree lies two degrees after 359."""
    assert around(np.array([1.0, 359.0, 180.0]), 359.0).tolist() == [2.0, 0.0, -179.0]


def test_neighbours_across_zero_are_side_by_side(at):
    """Fields at 359.5 and 0.5 degrees are on one small map, right ascension to the left."""
    axis = plot_sky(at((359.5, -60.0), (0.5, -60.0)), ["F0"]).axes[0]
    assert axis.name == "rectilinear"
    (low,), (high,) = (line.get_xdata() for line in axis.get_lines())
    assert high - low == pytest.approx(1.0)
    left, right = axis.get_xlim()
    assert left > right
    assert axis.get_aspect() == pytest.approx(2.0)
    assert axis.xaxis.get_major_formatter()(360.5, 0) == "0.5"


def test_distant_fields_are_on_the_whole_sky(at):
    """Right ascension increases to the left there too."""
    axis = plot_sky(at((20.0, 0.0), (200.0, -40.0)), ["F0"]).axes[0]
    assert axis.name == "mollweide"
    (x,) = axis.get_lines()[0].get_xdata()
    assert x == pytest.approx(np.deg2rad(-20))


def test_a_pole_is_on_the_whole_sky(at):
    """A plane map in right ascension tears at a pole."""
    assert plot_sky(at((10.0, -89.0), (190.0, -89.0)), []).axes[0].name == "mollweide"
