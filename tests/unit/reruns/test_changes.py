"""The changes since the last run that a plan lists."""

from __future__ import annotations

import pytest

from astromodal.config import load_config
from astromodal.reruns.changes import changes, write_record

CODE = {"encode": {"encode": "1", "a.f": "2", "a.g": "3"}, "train": {"train": "4", "a.f": "2"}}


@pytest.fixture
def record(tmp_path):
    """The record of a run."""
    path = tmp_path / "last_run.json"
    write_record(path, load_config(), CODE)
    return path


def test_nothing_is_said_of_what_is_the_same(record):
    """The same settings and digests give no line."""
    assert list(changes(record, load_config(), CODE)) == []


def test_a_setting_is_said_with_both_values(record):
    """Deep in its group, by its dotted name."""
    config = load_config({"training": {"patience": 3, "epochs": 7}})
    assert list(changes(record, config, CODE)) == [
        "changed since the last run: training.epochs: 5 became 7",
        "changed since the last run: training.patience: nothing became 3",
    ]


def test_a_definition_is_said_with_the_rules_that_use_it(record):
    """One that all rules use is not followed by a list of them."""
    encode = {**CODE["encode"], "a.f": "5", "a.g": "6"}
    code = {"encode": encode, "train": {"train": "4", "a.f": "5"}}
    assert list(changes(record, load_config(), code)) == [
        "changed since the last run: a.f, used by all rules",
        "changed since the last run: a.g, used by encode",
    ]


def test_many_changes_are_counted(record):
    """Ten lines are shown, and how many there are more."""
    code = {"encode": {f"a.f{i}": "new" for i in range(13)}, "train": {}}
    lines = list(changes(record, load_config(), code))
    assert len(lines) == 11
    assert lines[-1] == "changed since the last run: 3 more"


def test_a_long_value_is_cut(record):
    """A list of columns is no line to read."""
    config = load_config({"tokenizers": {"scalar": {"columns": ["a"]}}})
    (line,) = changes(record, config, CODE)
    assert line.endswith("... became ['a']")
    assert len(line) < 200


@pytest.mark.parametrize("text", [None, "", "[]", "{}"])
def test_without_a_record_nothing_is_said(tmp_path, text):
    """Before the first run, or where the file is damaged."""
    path = tmp_path / "last_run.json"
    if text is not None:
        path.write_text(text)
    assert list(changes(path, load_config(), CODE)) == []
