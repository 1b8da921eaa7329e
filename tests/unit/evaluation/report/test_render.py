"""The report is one file that needs nothing else."""

import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest

from astromodal.evaluation.report.render import render_report
from astromodal.evaluation.report.section import Measurement, Section, Table
from astromodal.evaluation.report.style import new_figure, styled
from astromodal.storage.json_files import write_json


@pytest.fixture(scope="module")
def inputs(tmp_path_factory, summary):
    """One section with a figure, and one field's summary."""
    tmp_path = tmp_path_factory.mktemp("report")
    section = Section("demo", "Demo <section>", tmp_path / "figures", summary="What was done.")
    measured = Measurement(0.93214, 0.0042, unit="mag")
    section.add_headline("R² of it", measured, note="a note", verdict="good")
    section.notes.append("Nothing & <nobody> could be evaluated.")
    section.hashes["scalar tokenizer"] = "0123456789abcdef"
    with styled():
        figure, axes = new_figure()
        axes[0, 0].plot([0, 1])
        rows = [[f"row {i}", Measurement(i, 0.5), np.nan] for i in range(20)]
        section.add_figure(
            figure, "line", "The caption.", "The lesson.", Table(["a", "b (mag)", "c"], rows)
        )
    section.save(tmp_path / "demo.json")
    write_json(tmp_path / "summary.json", summary("A"))
    return {
        "sections": [tmp_path / "demo.json"],
        "figures": [tmp_path / "figures"],
        "summaries": [tmp_path / "summary.json"],
        "trained": ["A"],
        "config": {"paths": {"results": "<results>"}},
        "code": {"encode_scalars": "feedc0de"},
        "coverage_figures": tmp_path / "coverage",
        "output": tmp_path / "report.html",
    }


def _render(inputs, **changes):
    inputs = {**inputs, **changes}
    render_report(**inputs)
    return inputs["output"].read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def text(inputs):
    """The report, rendered once."""
    return _render(inputs)


def test_report_is_self_contained(text):
    """No element refers to another file or host."""
    referred = re.findall(r'(?:src|href|srcset|data)="([^"]*)"', text) + re.findall(
        r"url\(([^)]*)\)", text
    )
    assert referred
    assert [r for r in referred if not r.startswith(("#", "data:"))] == []
    assert "@import" not in text
    assert "<script" not in text


def test_report_shows_figure_caption_lesson_and_numbers(text):
    """A figure stands inline with its caption, what to see, and the table of its numbers."""
    for piece in (
        "<svg",
        "The caption.",
        "What to see.",
        "The lesson.",
        "b (mag)",
        "3.00 ± 0.50",
        "row 19",
    ):
        assert piece in text


def test_report_escapes_text(text):
    """Text from data is never markup."""
    assert "Demo &lt;section&gt;" in text
    assert "Nothing &amp; &lt;nobody&gt;" in text
    assert "&lt;results&gt;" in text


def test_report_shows_headlines_and_provenance(text):
    """Main numbers with errors and verdicts in words, hashes, versions and the configuration."""
    for piece in (
        "0.9321 ± 0.0042 mag",
        "reaches the mark",
        "0123456789abcdef",
        "feedc0de",
        "matplotlib",
        "numpy",
    ):
        assert piece in text


def test_report_follows_the_readers_colour_scheme(text):
    """Light and dark share one page; figures take its colours."""
    assert "prefers-color-scheme: dark" in text
    assert "var(--c0)" in text
    assert 'name="viewport"' in text


def test_long_tables_are_folded(text):
    """A table of 20 rows is collapsed."""
    assert "The numbers (20 rows)" in text


def test_tags_are_balanced(text):
    """Every element that must be closed is."""
    open_tags, void = [], {"meta", "link", "br", "img", "input"}

    class Checker(HTMLParser):
        def handle_starttag(self, tag, attrs):
            if tag not in void:
                open_tags.append(tag)

        def handle_endtag(self, tag):
            assert open_tags.pop() == tag

    Checker().feed(text)
    assert open_tags == []


def test_ids_are_unique(text):
    """No two elements of the page share an id."""
    ids = re.findall(r'\bid="([^"]*)"', text)
    assert len(ids) == len(set(ids)) > 5


def test_png_stands_in_for_a_lost_svg(inputs, tmp_path):
    """Without its SVG a figure is shown as PNG."""
    shutil.copy(inputs["figures"][0] / "line.png", tmp_path)
    changes = {"figures": [tmp_path], "summaries": [], "output": tmp_path / "report.html"}
    assert 'src="data:image/png;base64,' in _render(inputs, **changes)


def test_same_input_same_page(inputs, text, tmp_path, real_figures):
    """Rendering again gives the same bytes."""
    assert _render(inputs, output=tmp_path / "again.html") == text


def test_report_without_any_result(inputs, tmp_path):
    """A run in which nothing could be evaluated still has a report that says so."""
    nothing = {"sections": [], "figures": [], "summaries": [], "output": tmp_path / "report.html"}
    text = _render(inputs, **nothing)
    assert "Nothing could be evaluated" in text
    assert "There is no field." in text
