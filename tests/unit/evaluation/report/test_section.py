"""Numbers as text and as JSON values; sections of the report, and their files."""

import json
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from astromodal.evaluation.report.render import Page, render_page
from astromodal.evaluation.report.section import (
    Headline,
    Measurement,
    Section,
    Table,
    measurement_from_json,
    show,
    show_number,
    table_from_json,
    to_json,
)
from astromodal.evaluation.report.style import new_figure, styled
from astromodal.storage.json_files import read_json


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (Measurement(0.93214, 0.0042), "0.9321 ± 0.0042"),
        (Measurement(-12.345, 1.5), "−12.3 ± 1.5"),
        (Measurement(12345.0, 230.0), "12345 ± 230"),
        (Measurement(1.5e-7, 2e-8), "(1.50 ± 0.20) × 10⁻⁷"),
        (Measurement(0.5, float("nan")), "0.5000"),
        (Measurement(0.5, 0.0), "0.5000"),
        (Measurement(float("nan"), float("nan")), "–"),
        (None, "–"),
        (float("nan"), "–"),
        (0.0, "0"),
        (1234567, "1\N{NARROW NO-BREAK SPACE}234\N{NARROW NO-BREAK SPACE}567"),
        (1234, "1234"),
        (0.00012, "0.0001200"),
        (2.5e-9, "2.500 × 10⁻⁹"),
        ("text", "text"),
    ],
)
def test_show_by_hand(cell, text):
    """Values are rounded to their error, and none is in computer notation."""
    assert show(cell) == text


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(0, 1e300))
def test_show_never_uses_computer_notation(value, error):
    """Whatever the number, there is no "e" of an exponent in it."""
    assert "e" not in show_number(value)
    assert "e" not in show(Measurement(value, error))


def test_plain_values_are_json():
    """Numpy's numbers and arrays become Python's, and what is not finite becomes null."""
    value = {
        "a": np.float32(0.5),
        "b": np.array([1.0, np.nan]),
        3: (np.int64(2), np.inf),
        "t": np.bool_(True),
    }
    assert (
        json.dumps(to_json(value), allow_nan=False)
        == '{"a": 0.5, "b": [1.0, null], "3": [2, null], "t": true}'
    )


def test_numpy_numbers_are_shown_as_pythons():
    """An integer stays one, and NaN is a dash."""
    assert (show(np.int64(12345)), show(np.float32("nan"))) == (show(12345), "–")


def test_tables_come_back_from_json():
    """Measurements keep their value, error, number and unit, and NaN comes back as NaN."""
    table = Table(["a", "b"], [["x", Measurement(1.0, 0.5, 3, "mag")], [None, True]])
    assert table_from_json(json.loads(json.dumps(to_json(table)))) == table
    unknown = measurement_from_json(to_json(Measurement(np.nan)))
    assert np.isnan([unknown.value, unknown.error]).all()


def test_above_needs_more_than_its_errors():
    """1.0 ± 0.2 is above 0.5 by two errors and not above 0.7; without an error it is neither."""
    value = Measurement(1.0, 0.2)
    assert (value.above(0.5), value.above(0.7)) == (True, False)
    assert not Measurement(1.0).above(0.0)


def test_scaling_keeps_the_error_positive():
    """Value and error in another unit; a negative factor changes the sign of the value only."""
    assert Measurement(2.0, 0.5, 4).scaled(-10, "%") == Measurement(-20.0, 5.0, 4, "%")


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
