"""A made-up survey for the atlas, and a hand on the mouse of a browser that shows it."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from astromodal.atlas.page import Details, ShownSpectrum
from astromodal.atlas.survey import Survey
from astromodal.evaluation.context import EvaluatedField
from helpers.browser import Browser

HOSTILE = (
    "</script><script>window.hacked = 1</script>",
    '<img src=x onerror="hacked = 1">',
    'a,"b"',
)
"""Ids of the first objects: what would run if it were HTML, and what CSV must quote."""
_BUTTON = """(() => {
  const walk = root => { for (const each of root.querySelectorAll("*")) {
    if (each.title && each.title.startsWith(TITLE)) return each;
    const inside = each.shadowRoot && walk(each.shadowRoot);
    if (inside) return inside;
  } return null; };
  const box = walk(document).getBoundingClientRect();
  return [box.x + box.width / 2, box.y + box.height / 2];
})()"""


def synthetic(n: int, detailed: int, seed: int = 0) -> tuple[Survey, Details]:
    """A survey of n objects in clusters, and the details of the first ones."""
    rng = np.random.default_rng(seed)
    group = rng.integers(0, 8, n)
    places = 20 * rng.normal(size=(8, 2))[group] + rng.normal(size=(n, 2))
    ids = np.array([HOSTILE[i] if i < len(HOSTILE) else f"S-{i:06d}" for i in range(n)])
    value = rng.normal(0.5, 0.2, n)
    numbers = np.arange(detailed)
    survey = Survey(
        fields=[EvaluatedField(name, False) for name in ("S-1", "S-2")],
        field=np.arange(n) % 2,
        row=np.arange(n) // 2,
        ids=ids,
        places=places,
        method="t-SNE",
        near=(np.arange(n)[:, None] + np.arange(1, 11)) % n,
        categories={
            "class": np.array(["STAR", "GALAXY", "QSO", ""])[group % 4],
            "field": np.array(["S-1", "S-2"])[np.arange(n) % 2],
        },
        measured={"mag_pstotal_r": np.where(np.arange(n) % 5, rng.normal(19, 1, n), np.nan)},
        predicted={"specz_z": value[:, None] + [0.0, -0.1, 0.2]},
        detailed=numbers,
        model_hash="0123456789abcdef",
        n_objects=2 * n,
    )
    points = {"desi_r": np.linspace(5760.0, 7620.0, 60)}
    flux = np.where(np.arange(60) == 7, np.nan, np.sin(np.arange(60) / 9))
    spectra = {
        int(i): {"desi_r": ShownSpectrum(flux, np.cos(np.arange(60) / 9))} for i in numbers[::2]
    }
    cutouts = {int(i): rng.integers(0, 256, (24, 24, 3), np.uint8) for i in numbers[:-1]}
    return survey, Details(cutouts, points, spectra, ("I", "R", "G"))


def show(browser: Browser, page: Path, width: int = 1280, scheme: str = "light") -> float:
    """Load an atlas; the seconds until its map is drawn."""
    start = time.monotonic()
    browser.show(page.as_uri(), width, scheme)
    browser.call(
        "Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1,
        mobile=False,
    )  # fmt: skip
    wait(browser, "document.body.dataset.ready")
    shown = time.monotonic() - start
    _rest(browser)
    return shown


def _rest(browser: Browser) -> None:
    """Wait until the layout of the page no longer moves the map."""
    place, before = browser.run("atlas.pixelOf(0)"), None
    while place != before:
        time.sleep(0.3)
        place, before = browser.run("atlas.pixelOf(0)"), place


def wait(browser: Browser, condition: str, patience: float = 120.0) -> None:
    """Wait until a JavaScript expression is true."""
    end = time.monotonic() + patience
    while not browser.run(condition):
        if time.monotonic() > end:
            raise TimeoutError(f"{condition} was not true within {patience} s")
        time.sleep(0.05)


def settle(browser: Browser) -> None:
    """Wait until the page has drawn twice, so that what was changed is seen."""
    browser.run(
        "window.drawn = 0; requestAnimationFrame(() => requestAnimationFrame(() => drawn = 1)); 0"
    )
    wait(browser, "window.drawn")


def click(browser: Browser, x: float, y: float) -> None:
    """Click a place of the window (pixel)."""
    _mouse(browser, "mouseMoved", x, y)
    _mouse(browser, "mousePressed", x, y)
    _mouse(browser, "mouseReleased", x, y)
    settle(browser)


def drag(browser: Browser, first: tuple[float, float], last: tuple[float, float]) -> None:
    """Drag from one place of the window to another (pixel)."""
    (x, y), (u, v) = first, last
    _mouse(browser, "mouseMoved", x, y)
    _mouse(browser, "mousePressed", x, y)
    for part in (0.2, 0.6, 1.0):
        _mouse(browser, "mouseMoved", x + part * (u - x), y + part * (v - y), buttons=1)
    _mouse(browser, "mouseReleased", u, v)
    settle(browser)


def press(browser: Browser, selector: str) -> None:
    """Click the middle of an element of the page."""
    box = f"document.querySelector({selector!r}).getBoundingClientRect()"
    click(browser, *browser.run(f"(b => [b.x + b.width / 2, b.y + b.height / 2])({box})"))


def choose_tool(browser: Browser, title: str) -> None:
    """Click a tool in the toolbar of the map, by the beginning of its title."""
    click(browser, *browser.run(_BUTTON.replace("TITLE", repr(title))))


def choose_colour(browser: Browser, name: str) -> None:
    """Choose the column that colours the map."""
    browser.run(
        f"(s => {{ s.value = {name!r}; s.dispatchEvent(new Event('change')); }})"
        "(document.getElementById('colour'))"
    )
    settle(browser)


def _mouse(browser: Browser, kind: str, x: float, y: float, buttons: int = 0) -> None:
    button = "left" if kind != "mouseMoved" or buttons else "none"
    count = 0 if kind == "mouseMoved" else 1
    held = 1 if kind == "mousePressed" else buttons
    browser.call(
        "Input.dispatchMouseEvent", type=kind, x=x, y=y, button=button, buttons=held,
        clickCount=count,
    )  # fmt: skip
