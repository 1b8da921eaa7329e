"""Where fields lie on the sky, and what their sources gave."""

import numpy as np
import pytest

from astromodal.data.provenance import BandCounts
from astromodal.evaluation.coverage.figures import (
    around,
    plot_cutouts,
    plot_sky,
    plot_sources,
    separation,
)
from astromodal.evaluation.coverage.measures import SourceTotal


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


@pytest.fixture
def total():
    """What the source ``gaia`` gave, with changes."""

    def make(**changes):
        values = {"objects": 40, "dropped": {}, "matched": 30, "percent": 60.0, "contested": 0}
        values |= {"files": 1, "left_out": 0, "separation": 0.1}
        return SourceTotal(**{"name": "gaia", "kind": "catalogue", **values, **changes})

    return make


def test_bars_are_percentages_of_rows(total):
    """The first source stands at the top; its bar is its percentage and says its number."""
    figure = plot_sources([total(), total(name="desi", percent=5.0, matched=12_345)])
    axis = figure.axes[0]
    assert [bar.get_width() for bar in axis.patches] == [60.0, 5.0]
    assert [text.get_text() for text in axis.texts] == ["30", "12,345"]
    top, below = (bar.get_y() for bar in axis.patches)
    assert top > below


def test_reasons_stand_beside_the_bars(total):
    """The number of objects that are not used, of all, and the reasons; or that there are none."""
    dropped = {"sky fibre": 6, "no flux": 4}
    figure = plot_sources([total(dropped=dropped), total()])
    beside = [text.get_text().replace("\N{NO-BREAK SPACE}", " ") for text in figure.axes[1].texts]
    assert beside == ["10 of 40: sky fibre 6, no flux 4", "none of 40"]


def test_many_reasons_end_after_two_lines(total):
    """However many reasons there are, the text stays beside its bar, and no reason is broken."""
    dropped = {f"reason number {k}": 1 for k in range(9)}
    text = plot_sources([total(dropped=dropped)]).axes[1].texts[0].get_text()
    lines = text.split("\n")
    assert len(lines) == 2
    assert max(map(len, lines)) <= 56
    assert lines[0].endswith(
        "reason\N{NO-BREAK SPACE}number\N{NO-BREAK SPACE}1\N{NO-BREAK SPACE}1,"
    )
    assert text.endswith("…")


def test_bars_of_cutouts_add_up():
    """Whole cutouts, those cut off and rows outside stand end to end: 7, 3 and 5 of 15 rows."""
    axis = plot_cutouts({("stamps", "R"): BandCounts(1, 10, 3, 5)}).axes[0]
    bars = [(bar.get_x(), bar.get_width()) for bar in axis.patches]
    assert bars == [(0, 7), (7, 3), (10, 5)]
