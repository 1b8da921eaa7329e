"""The finished report in a real browser, from a file, without a network."""

import pytest

from astromodal.core.paths import Layout
from helpers.browser import CHROMIUM, Browser

pytestmark = pytest.mark.workflow

SIZES = """[...document.querySelectorAll("figure")].map(figure => {
  const drawn = figure.querySelector("svg, img"), box = drawn.getBoundingClientRect();
  const whole = drawn.tagName != "IMG" || drawn.naturalWidth > 0;
  return [figure.id, whole ? box.width : 0, whole ? box.height : 0];
})"""
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
LUMINANCE = """["backgroundColor", "color"].map(name =>
  getComputedStyle(document.body)[name].match(/[0-9]+/g).slice(0, 3).reduce((a, b) => a + +b, 0))"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if CHROMIUM is None:
        pytest.skip("no chromium: apt-get install chromium")
    with Browser(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@pytest.fixture(
    scope="module", params=[(w, s) for w in (390, 1920) for s in ("light", "dark")], ids=str
)
def page(request, browser, finished):
    """The report of the tiny sky on a phone and on a projector, light and dark; and the scheme."""
    report = finished.folder / Layout("results").report
    browser.show(report.as_uri(), *request.param)
    return browser, request.param[1]


def test_nothing_goes_wrong(page):
    """The browser has nothing to complain of."""
    assert page[0].complaints() == []


def test_every_figure_is_seen(page):
    """Each has a size, and there is one of every section at least."""
    figures = page[0].run(SIZES)
    assert len(figures) > 20
    assert [figure for figure in figures if min(figure[1:]) < 50] == []
    sections = page[0].run('[...document.querySelectorAll("section")].map(section => section.id)')
    drawn = {
        section for section in sections if any(f[0].startswith(f"{section}-") for f in figures)
    }
    assert drawn == set(sections) - {"provenance"}


def test_the_page_is_as_wide_as_the_window(page):
    """Wide tables and figures scroll by themselves, the page does not sideways."""
    assert page[0].run(OVERFLOW) <= 0


def test_nothing_else_is_loaded(page):
    """The page requests no other file."""
    asked = page[0].requests()
    assert [url for url in asked if not url.startswith("data:")] == asked[:1]
    assert asked[0].startswith("file:///")


def test_the_page_is_as_light_as_asked(page):
    """Dark on light, or light on dark."""
    background, ink = page[0].run(LUMINANCE)
    assert (background > ink) == (page[1] == "light")


def test_snakemakes_own_report_needs_no_network(finished, monkeypatch):
    """It is made with captions and categories where no address can be reached."""
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    finished.run("--report", "snakemake.html")
    text = (finished.folder / "snakemake.html").read_text(encoding="utf-8")
    for piece in ("the whole report", "Datacubes of survey fields became tokens", "slots_scalar"):
        assert piece in text
    assert "A figure of the section <em>embeddings</em>" in text
