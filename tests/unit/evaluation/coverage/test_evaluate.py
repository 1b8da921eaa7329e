"""What the fields hold."""

import numpy as np
import pytest

from astromodal.evaluation.coverage.evaluate import evaluate_coverage
from astromodal.storage.formats import Skip


def _cover(tmp_path, *summaries, trained=("A",), skips=()):
    return evaluate_coverage(summaries, skips, trained, tmp_path / "figures")


def _figure(section, name):
    return next(f for f in section.figures if f.file == f"{name}.png")


def test_every_field_has_a_row(tmp_path, field_summary):
    """The sum, and one row per field: its role, rows, cut, splits, cutouts and spectra."""
    section = _cover(tmp_path, field_summary("A"), field_summary("B", spectra={}))
    table = section.figures[0].table
    assert table.rows == [
        ["all fields", "", 200, 2, 4, 14, 180, 140, 20, 20, 120, 4, 4, 1, 0, 0, None],
        ["A", "trained", 100, 1, 2, 7, 90, 70, 10, 10, 60, 2, 4, 1, 0, 0, 0],
        ["B", "held out", 100, 1, 2, 7, 90, 70, 10, 10, 60, 2, 0, 0, 0, 0, 0],
    ]
    assert len(table.columns) == 17


def test_warnings_and_absent_columns_are_in_the_notes(tmp_path, field_summary):
    """What is unusual about a field, and what it lacks."""
    section = _cover(
        tmp_path,
        field_summary("A", warnings=["3 rows repeat an id"], absent_columns=list("abcdefghij")),
    )
    assert "A: 3 rows repeat an id." in section.notes
    assert "A: no column a, b, c, d, e, f, g, h and 2 more; missing there." in section.notes


def test_skipped_fields_are_in_the_notes(tmp_path, field_summary):
    """A skipped field is in the notes, with the rule and the error."""
    skip = Skip("B", "encode_images", "field B: column 'x' must be a column of numbers, got text")
    assert _cover(tmp_path, field_summary("A"), skips=[skip]).notes[0] == f"{skip}."


def test_percentages_by_hand(tmp_path, field_summary):
    """3 of 90 selected objects are 3.3 per cent; a field without selected objects has none."""
    empty = field_summary(
        "B",
        n_selected=0,
        splits={"train": 0, "validation": 0, "test": 0},
        scalars={"mag_r": 0, "z": 0},
    )
    section = _cover(tmp_path, field_summary("A"), empty)
    columns = _figure(section, "columns").table
    assert columns.rows == [
        ["mag_r", 100.0, pytest.approx(np.nan, nan_ok=True)],
        ["z", pytest.approx(10 / 3), pytest.approx(np.nan, nan_ok=True)],
    ]


def test_field_without_position_is_not_on_the_map(tmp_path, field_summary):
    """Without any position there is no sky map, but the rest is there."""
    section = _cover(tmp_path, field_summary("A", position=None))
    names = [f.file for f in section.figures]
    assert names == ["coverage.png", "reasons.png", "columns.png"]


def test_no_field(tmp_path):
    """Without fields the coverage says so."""
    assert evaluate_coverage([], [], [], tmp_path).notes == ["There is no field."]


def test_the_same_columns_absent_from_many_fields_are_one_note(tmp_path, field_summary):
    """Fields that lack the same columns share a note, and long lists of warnings are shortened."""
    fields = [field_summary(f"F{i}", absent_columns=["z"], warnings=["odd"]) for i in range(30)]
    notes = _cover(tmp_path, *fields).notes
    assert notes[-1] == "F0, F1, F2, F3, F4, F5 and 24 more: no column z; missing there."
    assert notes[-2].startswith("10 more warnings")


def test_many_fields_are_not_plotted_one_by_one(tmp_path, field_summary):
    """Of 100 fields there are distributions, one row each, and the extremes in words."""
    fields = [field_summary(f"F{i}", n_selected=i) for i in range(100)]
    section = _cover(tmp_path, *fields)
    coverage = _figure(section, "coverage")
    assert len(coverage.table.rows) == 101
    assert "Fewest selected objects: F0 (0), F1 (1), F2 (2); most: F99 (99)" in coverage.see
    columns = _figure(section, "columns").table
    assert columns.rows[1] == ["z", pytest.approx(300 / 99), pytest.approx(6), 300, 0, 99]


def test_cubes_that_were_not_built_have_no_sources(tmp_path, field_summary):
    """Where no cube says what it was made of, nothing is shown."""
    names = [f.file for f in _cover(tmp_path, field_summary("A")).figures]
    assert names == ["coverage.png", "reasons.png", "sky.png", "columns.png"]


def test_what_sources_gave_by_hand(tmp_path, field_summary, source):
    """One row per source; one column per reason not to use an object."""
    base = source(objects=101, dropped={"no position": 1}, matched=100)
    desi = source(
        kind="desi_coadd", files=3, left_out=1, objects=40, dropped={"no flux": 3, "repeat": 1},
        matched=20, contested=2, separation=0.5,
    )  # fmt: skip
    section = _cover(tmp_path, field_summary("A", sources={"splus": base, "desi": desi}))
    table = _figure(section, "sources").table
    assert table.rows == [
        ["splus", "catalogue", 1, 0, 101, 100, 100, 100.0, 0, None, 1, 0, 0],
        ["desi", "desi_coadd", 3, 1, 40, 36, 20, 20.0, 2, 0.5, 0, 3, 1],
    ]
    assert table.columns[-3:] == ["not used: no position", "not used: no flux", "not used: repeat"]
    assert len(table.columns) == 13


def test_cutouts_of_each_band_by_hand(tmp_path, field_summary, source):
    """One row per band, and no figure of objects where there are images alone."""
    own = {"n_files": 2, "n_cut": 60, "n_partial": 5, "n_outside": 40}
    stamps = source(kind="images", bands={"R": own, "G": {**own, "n_files": 0}})
    section = _cover(tmp_path, field_summary("A", sources={"stamps": stamps}))
    assert "sources.png" not in [f.file for f in section.figures]
    table = _figure(section, "cutouts").table
    assert table.rows == [["stamps", "R", 2, 60, 5, 40], ["stamps", "G", 0, 60, 5, 40]]
    assert len(table.columns) == 6
