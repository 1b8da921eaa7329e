"""What real jobs read of the settings is what their rules give them."""

import json

import pytest

from helpers.workflow import ROOT

pytestmark = pytest.mark.workflow

LAYOUT = ("assemble_spectrum_tokenizer", "build_vocabulary", "pack_sequences")
UNREAD = {rule: {"SpectrumSettings.max_epochs"} for rule in LAYOUT}
UNREAD["evaluate_finetuned"] = {"LabelSettings.redshift"}
UNREAD["finetune_label"] = {"ColumnSettings.presets", "ColumnSettings.sentinels"}
"""Settings that rules give and this run does not read: the tiny sky has no light curves, and of the
labels that models are fine-tuned to none is a column of numbers."""


NOT_RUN = {"evaluate_section", "index_source", "build_cube", "audit"}
"""Scripts that only extensions, or raw survey files, have jobs for; tests/cubes runs the latter.
The audit of a run reads all settings, and makes no result from them."""


@pytest.fixture(scope="module")
def traced(used, tuned):
    """Settings that the jobs of each rule were given, and those that any of them read."""
    given, read = {}, {}
    for path in (p for run in (used, tuned) for p in (run.folder / "settings_read").iterdir()):
        found = json.loads(path.read_text())
        given.setdefault(path.stem, set()).update(found["given"])
        read.setdefault(path.stem, set()).update(found["read"])
    return given, read


def test_every_job_was_traced(traced):
    """Each entry script ran, and its settings were watched."""
    given, _ = traced
    scripts = {path.stem for path in (ROOT / "scripts").glob("*.py")}
    assert given.keys() == scripts - NOT_RUN


def test_jobs_read_all_that_they_are_given(traced):
    """A setting that a job is given and does not read would redo it for nothing."""
    given, read = traced
    unread = {rule: names - read[rule] for rule, names in given.items()}
    assert {rule: names for rule, names in unread.items() if names} == UNREAD
