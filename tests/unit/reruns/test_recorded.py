"""A run as its records describe it, and its stale jobs."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from astromodal.config import load_config
from astromodal.core.fields import RunFields
from astromodal.core.paths import Layout
from astromodal.errors import FormatError
from astromodal.reruns.changes import write_record
from astromodal.reruns.inventory import Entry, write_inventory
from astromodal.reruns.recorded import Run, stale_jobs
from astromodal.storage.hashing import FileVersion
from astromodal.storage.json_files import write_json

FIELDS = RunFields(("A", "B"), ("A",), ("A",), ("B",))
SEED = load_config().split.seed
CODE = {"fit": "f1", "encode": "e1", "embed": "m1"}


def job(rule, inputs, settings):
    params = [repr(CODE[rule]), repr(settings)]
    return {"rule": rule, "input": inputs, "params": params}


JOBS = {
    "tokenizer.npz": job("fit", ["cube:A", "results:stamps/A.txt"], {"split.seed": SEED}),
    "A.npz": job("encode", ["results:tokenizer.npz"], {"columns.id": "id"}),
    "B.npz": job("encode", ["results:tokenizer.npz"], {"columns.id": "id"}),
    "tables/": job("embed", ["results:A.npz"], {"predict": {"pooling": "last"}}),
}


@pytest.fixture
def run(tmp_path):
    """A run of three rules, whose inputs are older than their outputs."""

    def make(config=None, code=CODE, times=None, **changes):
        results = tmp_path / "results"
        results.mkdir(exist_ok=True)
        jobs = {name: values | changes.get(name, {}) for name, values in JOBS.items()}
        ages = {name: age for age, name in enumerate(JOBS)} | (times or {})
        files = {name: Entry(FileVersion(1, age), "0") for name, age in ages.items()}
        texts = {name: json.dumps(values) for name, values in jobs.items()}
        write_inventory(Layout(str(results)).inventory, files, texts)
        given = load_config({"paths": {"results": str(results)}, **(config or {})})
        return Run(given, FIELDS, code)

    return make


POOLING = load_config().predict.pooling
CURRENT = {"tables/": {"params": [repr("m1"), repr({"predict.pooling": POOLING})]}}


def test_an_unchanged_run_is_not_stale(run):
    """Nothing would run again."""
    assert stale_jobs(run(**CURRENT)) == ([], {})


def test_a_setting_makes_its_jobs_stale(run):
    """And all jobs behind them; one line has both values and how many files."""
    jobs, reruns = stale_jobs(run({"columns": {"id": "source"}}, **CURRENT))
    (stale,) = jobs
    assert stale.rule == "encode"
    assert "setting columns.id of " in stale.message
    assert "(and 1 more) must be 'source', got 'id'; run encode again" in stale.message
    assert reruns == {"embed": 1, "encode": 2}


def test_code_makes_its_jobs_stale(run):
    """By the digest of the rule."""
    jobs, reruns = stale_jobs(run(code=CODE | {"fit": "f2"}, **CURRENT))
    assert [each.rule for each in jobs] == ["fit"]
    assert "code of" in jobs[0].message
    assert reruns == {"embed": 1, "encode": 2, "fit": 1}


def test_code_of_another_rule_makes_a_job_stale(run):
    """Where the digests of other rules are parameters, as those of the report are."""
    digests = {"tables/": {"params": [repr("m1"), repr({"fit": "f0", "encode": "e1"})]}}
    jobs, reruns = stale_jobs(run(**digests))
    assert [each.rule for each in jobs] == ["embed"]
    assert "must be made with the present fit, got an earlier one" in jobs[0].message
    assert reruns == {"embed": 1}


def test_a_newer_input_makes_a_job_stale(run):
    """The file that is newer is named."""
    jobs, reruns = stale_jobs(run(times={"tokenizer.npz": 2}, **CURRENT))
    assert [each.file.rpartition("/")[2] for each in jobs] == ["A.npz"]
    assert "inputs of" in jobs[0].message
    assert "must be older than it, got a newer tokenizer.npz" in jobs[0].message
    assert reruns == {"embed": 1, "encode": 1}


def test_frozen_parts_are_not_stale(run):
    """Whatever changes before them; jobs behind them do not run again for it."""
    rule = {"rule": "train_scalar_tokenizer", "params": []}
    code = CODE | {"train_scalar_tokenizer": "t2"}
    changes = CURRENT | {"tokenizer.npz": rule}
    assert stale_jobs(run(code=code, **changes))[1].keys() >= {"encode", "train_scalar_tokenizer"}
    frozen = run({"freeze": ["tokenizers"]}, code=code, **changes)
    assert stale_jobs(frozen, ["stamps/A.txt"]) == ([], {})


def test_times_of_a_copy_do_not_count(run):
    """A copy has other times, which the next plan restores."""
    copy = run(times={"tokenizer.npz": 2}, **CURRENT)
    os.utime(copy.paths.inventory)
    assert stale_jobs(copy) == ([], {})


def test_a_changed_stamp_makes_its_jobs_stale(run):
    """Without a message of its own: the audit reports the cube."""
    changed = ["stamps/A.txt"]
    assert stale_jobs(run(**CURRENT), changed) == ([], {"embed": 1, "encode": 2, "fit": 1})


def test_a_file_in_a_folder_belongs_to_its_rule(run):
    """A rule that writes a folder wrote all that is inside."""
    assert [run().rule(name) for name in ("A.npz", "tables/a/b.parquet", "other")] == [
        "encode", "embed", ""
    ]  # fmt: skip


def test_a_run_is_read_from_its_record(tmp_path):
    """Its settings, with the results where they are now, and its fields."""
    config = load_config({"split": {"seed": 7}})
    write_record(Layout(str(tmp_path)).last_run, config, {}, FIELDS)
    found = Run.of(tmp_path)
    assert (found.config.split.seed, found.fields) == (7, FIELDS)
    assert found.paths.results == str(tmp_path)
    assert "encode_scalars" in found.code
    assert found.jobs == {}


@pytest.mark.parametrize(
    ("stored", "got"), [(None, "no file"), ({"settings": {}}, "one of an earlier release")]
)
def test_a_run_without_a_record_is_refused(tmp_path, stored, got):
    """With what to do."""
    path = Layout(str(tmp_path)).last_run
    if stored is not None:
        write_json(path, stored)
    with pytest.raises(FormatError, match=f"must be the record of a finished run, got {got}; run"):
        Run.of(tmp_path)


def test_a_run_of_given_settings_needs_no_record(tmp_path):
    """Its fields are those that the settings name."""
    config = load_config({"simulate": {"fields": {"A": {}}}})
    assert Run.of(Path(tmp_path), config).fields.every == ("A",)
