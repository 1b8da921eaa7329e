"""The atlas in a real browser, from a file, without a network."""

import csv
import json
import time

import numpy as np
import pyarrow.parquet as pq
import pytest

from astromodal.atlas.page import write_page
from astromodal.core.paths import Layout
from helpers.atlas import (
    HOSTILE,
    choose_colour,
    choose_tool,
    click,
    drag,
    press,
    show,
    synthetic,
    wait,
)
from helpers.browser import CHROMIUM, Browser

pytestmark = pytest.mark.workflow

TEXT = "document.getElementById({!r}).innerText"
MANY, PATIENCE = 100_000, 120
"""Objects of a large survey, and seconds in which it must be shown; a busy machine took 4.3."""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if CHROMIUM is None:
        pytest.skip("no chromium: apt-get install chromium")
    with Browser(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@pytest.fixture(scope="module")
def tiny(used):
    """The page of the tiny sky's finished run, and the paths of the run."""
    paths = Layout(str(used.results))
    return used.folder / Layout("results").atlas, paths


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The page of a made-up survey, some of whose ids are HTML."""
    page = tmp_path_factory.mktemp("small") / "atlas.html"
    write_page(*synthetic(300, 60), page)
    return page


def text(browser, name):
    return browser.run(TEXT.format(name))


def test_the_tiny_sky_is_shown(browser, tiny):
    """Every object of the run is on the map, without complaints or requests."""
    page, paths = tiny
    show(browser, page)
    ids = [
        i
        for f in ("T-1", "T-2", "T-3")
        for i in pq.read_table(paths.embeddings(f))["id"].to_pylist()
    ]
    assert browser.run("atlas.ids") == ids
    assert text(browser, "summary").startswith(f"{len(ids)} objects · t-SNE of embeddings")
    assert browser.complaints() == []
    asked = browser.requests()
    assert [url for url in asked if not url.startswith("data:")] == asked[:1]
    assert asked[0].startswith("file:///")


IN_THE_MIDDLE = """(() => {
  const at = atlas.ids.map((_, i) => atlas.pixelOf(i));
  const middle = k => at.map(p => p[k]).sort((a, b) => a - b)[at.length >> 1];
  const x = middle("x"), y = middle("y");
  return at.sort((a, b) => Math.hypot(a.x - x, a.y - y) - Math.hypot(b.x - x, b.y - y))[0];
})()"""
"""Place of the object in the middle of the map: controls cover some at its edges."""


def test_a_click_shows_the_object_and_its_predictions(browser, tiny):
    """Id and predicted temperature are those of the tables."""
    page, paths = tiny
    show(browser, page)
    place = browser.run(IN_THE_MIDDLE)
    click(browser, place["x"], place["y"])
    wait(browser, "atlas.current() >= 0")  # Bokeh first waits for a second click
    chosen = browser.run("atlas.ids[atlas.current()]")
    near = browser.run("atlas.pixelOf(atlas.current())")
    assert np.hypot(near["x"] - place["x"], near["y"] - place["y"]) < 10
    assert text(browser, "id") == chosen
    tables = [
        pq.read_table(paths.predictions(field)).to_pylist() for field in ("T-1", "T-2", "T-3")
    ]
    row = next(row for table in tables for row in table if row["id"] == chosen)
    numbers = [row[f"gaia_teff_gspphot_{s}"] for s in ("median", "p16", "p84")]
    value, low, high = (f"{number:.0f}" for number in numbers)
    assert f"gaia_teff_gspphot\t{value} [{low}, {high}]" in text(browser, "predictions")
    assert browser.complaints() == []


def test_some_object_of_the_tiny_sky_has_cutout_and_spectra(browser, tiny):
    """The page shows what the cube holds of it."""
    page, paths = tiny
    show(browser, page)
    cube = pq.read_table(
        paths.cube("T-1"), columns=["id", "desi_flux_r", "splus_cut_R"]
    ).to_pylist()
    whole = next(
        row for row in cube if row["desi_flux_r"] is not None and row["splus_cut_R"] is not None
    )
    named = whole["id"].decode() if isinstance(whole["id"], bytes) else whole["id"]
    find(browser, named)
    assert text(browser, "id") == named
    assert browser.run("document.querySelector('#cutout img').naturalWidth") == 96
    wait(browser, "document.querySelectorAll('#graphs .graph').length > 0")
    assert "DESI: flux" in text(browser, "graphs")


def find(browser, named):
    """Type an id into the search."""
    browser.run(
        f"(e => {{ e.value = {json.dumps(named)}; e.dispatchEvent(new Event('change')); }})"
        "(document.getElementById('find'))"
    )


def test_text_of_the_data_is_text(browser, small):
    """Ids that look like HTML are shown as they are, and nothing of them runs."""
    show(browser, small)
    for named in HOSTILE:
        find(browser, named)
        assert text(browser, "id") == named
    assert browser.run("typeof window.hacked") == "undefined"
    assert browser.complaints() == []


def test_an_unknown_id_is_said_to_be_unknown(browser, small):
    """The object that was shown stays."""
    show(browser, small)
    find(browser, "S-000010")
    find(browser, "nothing")
    assert text(browser, "message") == "No object of this map has this id."
    assert text(browser, "id") == "S-000010"


def test_neighbours_lead_on(browser, small):
    """A click on the first neighbour of object 10 shows object 11."""
    show(browser, small)
    find(browser, "S-000010")
    assert browser.run("document.querySelectorAll('#neighbours button').length") == 10
    browser.run("document.querySelector('#neighbours button').click()")
    assert text(browser, "id") == "S-000011"


def test_the_map_is_coloured_by_any_column(browser, small):
    """Names have a legend with numbers of objects, numbers a bar with ends and unit."""
    show(browser, small)
    choose_colour(browser, "category field")
    assert sorted(text(browser, "legend").split("\n")) == ["S-1 (150)", "S-2 (150)"]
    before = browser.call("Page.captureScreenshot")["data"]
    choose_colour(browser, "measured mag_pstotal_r")
    assert "mag_pstotal_r, measured (mag)" in text(browser, "legend")
    assert "missing (60)" in text(browser, "legend")
    assert browser.call("Page.captureScreenshot")["data"] != before


def test_hidden_classes_cannot_be_clicked(browser, small):
    """A click on the legend hides objects from the map and from selections."""
    show(browser, small)
    choose_colour(browser, "category field")
    browser.run("document.querySelector('#legend button').click()")
    everything(browser)
    kept = set(browser.run("atlas.selected()"))
    assert len(kept) == 150
    assert len({browser.run("atlas.ids").index(i) % 2 for i in kept}) == 1


def sides(browser):
    """Left, top, right and lower side of the map, without its toolbar (pixel)."""
    plot = "document.getElementById('plot').getBoundingClientRect()"
    left, top, right, low = browser.run(f"(b => [b.left, b.top, b.right, b.bottom])({plot})")
    return left + 4, top + 4, right - 42, low - 4


def everything(browser):
    """Select all that is shown with the box."""
    choose_tool(browser, "Box Select")
    left, top, right, low = sides(browser)
    drag(browser, (left, top), (right, low))


def test_selected_ids_are_downloaded(browser, small, tmp_path):
    """The box selects what lies in it; the file holds these ids, quoted where they must be."""
    show(browser, small)
    choose_tool(browser, "Box Select")
    first, (west, north, east, south) = browser.run("atlas.pixelOf(0)"), sides(browser)
    left, right = max(first["x"] - 60, west), min(first["x"] + 70, east)
    top, low = max(first["y"] - 50, north), min(first["y"] + 60, south)
    inside = [
        named
        for named, place in browser.run("atlas.ids.map((id, i) => [id, atlas.pixelOf(i)])")
        if left < place["x"] < right and top < place["y"] < low
    ]
    drag(browser, (left, top), (right, low))
    assert browser.run("atlas.selected()") == inside
    assert HOSTILE[0] in inside
    assert text(browser, "count") == f"{len(inside)} objects selected"
    browser.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    press(browser, "#download")
    file = tmp_path / "selected_ids.csv"
    end = time.monotonic() + 60
    while not file.exists() and time.monotonic() < end:
        time.sleep(0.1)
    with file.open(newline="") as stream:
        rows = list(csv.reader(stream))
    assert rows[0] == ["id", "field"]
    assert [row[0] for row in rows[1:]] == inside
    press(browser, "#clear")
    assert text(browser, "count") == "Nothing selected"


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1280, "dark"), (1920, "light")])
def test_the_page_is_as_wide_as_the_window(browser, small, width, scheme):
    """Nothing scrolls sideways, and the map has room."""
    show(browser, small, width, scheme)
    root = "document.documentElement"
    assert browser.run(f"{root}.scrollWidth - {root}.clientWidth") <= 0
    assert browser.run("document.getElementById('plot').clientHeight") > 250
    assert browser.complaints() == []


def test_a_large_survey_is_shown_in_time(browser, tmp_path):
    """A hundred thousand objects are drawn, moved and found."""
    page = tmp_path / "atlas.html"
    write_page(*synthetic(MANY, 50), page)
    assert show(browser, page) < PATIENCE
    start = time.monotonic()
    choose_colour(browser, "predicted specz_z")
    place = browser.run("atlas.pixelOf(70000)")
    click(browser, place["x"], place["y"])
    drag(browser, (place["x"], place["y"]), (place["x"] + 60, place["y"] + 40))
    moved = browser.run("atlas.pixelOf(70000)")
    assert time.monotonic() - start < PATIENCE
    assert browser.run("atlas.current()") >= 0
    assert moved["x"] - place["x"] == pytest.approx(60, abs=3)
    assert browser.complaints() == []
