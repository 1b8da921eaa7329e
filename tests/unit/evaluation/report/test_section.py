"""Sections of the report, and their files."""

from dataclasses import dataclass

import numpy as np
import pytest

from astromodal.evaluation.report.render import Page, render_page
from astromodal.evaluation.report.section import Headline, Section
from astromodal.evaluation.report.style import new_figure, styled
from astromodal.evaluation.report.values import Measurement, Table
from astromodal.storage.json_files import read_json


def test_a_section_without_figures_makes_its_folder(tmp_path):
    """The workflow expects the folder, even if there is no figure."""
    Section("x", "X", tmp_path / "figures").save(tmp_path / "x.json")
    assert (tmp_path / "figures").is_dir()


def test_a_section_lists_its_figures(tmp_path, real_figures):
    """A figure has its file, its caption, what to see, and its numbers."""
    section = Section("x", "X", tmp_path)
    with styled():
        section.add_figure(new_figure()[0], "f", "caption", "see", Table(["a"], [[np.nan]]))
    section.save(tmp_path / "x.json")
    assert read_json(tmp_path / "x.json")["figures"] == [
        {
            "file": "f.png",
            "caption": "caption",
            "see": "see",
            "table": {"columns": ["a"], "rows": [[None]]},
        }
    ]


def test_headlines_keep_their_error(tmp_path):
    """A headline is a value with an error, a unit and a verdict."""
    section = Section("x", "X", tmp_path)
    section.add_headline("R²", Measurement(0.9, 0.1, unit="mag"), verdict="good")
    section.save(tmp_path / "x.json")
    assert read_json(tmp_path / "x.json")["headlines"] == [
        {
            "label": "R²",
            "measurement": {"value": 0.9, "error": 0.1, "unit": "mag"},
            "note": "",
            "verdict": "good",
        }
    ]


@dataclass(frozen=True)
class Numbers:
    """Numbers of an invented section."""

    n_objects: int
    redness: Measurement


def evaluate_redness(context, section):
    """Fill a section as a user's own evaluation does."""
    numbers = Numbers(len(context.fields), Measurement(0.5, 0.1, n=7, unit="mag"))
    section.summary = "Colours of all objects."
    section.numbers = numbers
    section.hashes["transformer"] = "abcd"
    section.notes.append("Blue objects are left out.")
    section.add_headline("Redness", numbers.redness, note="the mark is 1 mag", verdict="bad")
    with styled():
        figure, axes = new_figure()
        axes[0, 0].plot([0, 1])
        table = Table(["field", "redness (mag)", "n"], [["A", numbers.redness, None]])
        section.add_figure(figure, "redness", "Redness of fields.", "Few are red.", table)


@pytest.fixture
def own(context, tmp_path, real_figures):
    """A section of a user's own, filled and saved."""
    given = context([])
    section = Section("redness", "Redness", given.figures)
    evaluate_redness(given, section)
    section.save(tmp_path / "redness.json")
    return section, Section.load(tmp_path / "redness.json", given.figures)


def test_a_section_of_a_user_is_loaded_as_it_was_saved(own):
    """Its text, hashes, headlines, figures and tables; its numbers are plain values."""
    section, loaded = own
    assert loaded.headlines == [
        Headline("Redness", Measurement(0.5, 0.1, n=7, unit="mag"), "the mark is 1 mag", "bad")
    ]
    for name in ("name", "title", "folder", "summary", "hashes", "notes", "headlines", "figures"):
        assert getattr(loaded, name) == getattr(section, name)
    assert loaded.numbers == {
        "n_objects": 0,
        "redness": {"value": 0.5, "error": 0.1, "n": 7, "unit": "mag"},
    }


def test_a_section_of_a_user_is_on_the_page(own, tmp_path):
    """The report needs only the saved section: its headline, figure, table and notes."""
    page = Page("A page", "Errors.", ["A"], [], [], {})
    render_page(page, [own[1]], tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    for piece in (
        '<section id="redness">', "0.50 ± 0.10 mag", "falls short of the mark", "<svg",
        "Redness of fields.", "Few are red.", "Blue objects are left out.",
    ):  # fmt: skip
        assert piece in text
