"""What the fields hold."""

import json

import pytest

from astromodal.evaluation.coverage import cover_fields


def _cover(tmp_path, *summaries, trained=("A",)):
    paths = []
    for i, values in enumerate(summaries):
        paths.append(tmp_path / f"{i}.json")
        paths[-1].write_text(json.dumps(values))
    return cover_fields(paths, trained, tmp_path / "figures")


def test_every_field_has_a_row(tmp_path, summary):
    """A row a field: its part, rows, selection, splits, cutouts and spectra."""
    part = _cover(tmp_path, summary("A"), summary("B", spectra={}))
    table = part["figures"][0]["table"]
    assert table["rows"] == [
        ["A", "trained", 100, 90, 70, 10, 10, 60, 2, "4 of 5", "0 of 0", 0],
        ["B", "held out", 100, 90, 70, 10, 10, 60, 2, "none", "none", 0],
    ]
    assert len(table["columns"]) == 12


def test_warnings_and_absent_columns_are_told(tmp_path, summary):
    """What is odd about a field, and what it lacks, is in the notes."""
    part = _cover(
        tmp_path, summary("A", warnings=["3 rows repeat an id"], absent_columns=list("abcdefghij"))
    )
    assert "A: 3 rows repeat an id." in part["notes"]
    assert "A: no column a, b, c, d, e, f, g, h and 2 more; missing there." in part["notes"]


def test_percentages_by_hand(tmp_path, summary):
    """3 of 90 selected objects are 3.3 per cent; a field without selected objects has none."""
    empty = summary(
        "B",
        n_selected=0,
        splits={"train": 0, "validation": 0, "test": 0},
        scalars={"mag_r": 0, "z": 0},
    )
    part = _cover(tmp_path, summary("A"), empty)
    columns = next(f for f in part["figures"] if f["file"] == "columns.png")["table"]
    assert columns["rows"] == [["mag_r", 100.0, None], ["z", pytest.approx(10 / 3), None]]


def test_field_without_position_is_not_on_the_map(tmp_path, summary):
    """Without any position there is no sky map, but the rest is there."""
    part = _cover(tmp_path, summary("A", position=None))
    assert [f["file"] for f in part["figures"]] == ["coverage.png", "columns.png"]


def test_no_field(tmp_path):
    """Without fields the coverage says so."""
    assert cover_fields([], [], tmp_path)["notes"] == ["There is no field."]


def test_many_fields_are_not_all_named(tmp_path, summary):
    """A large survey's map and columns have no labels on top of each other."""
    part = _cover(tmp_path, *(summary(f"F{i}") for i in range(30)))
    assert len(part["figures"][0]["table"]["rows"]) == 30
