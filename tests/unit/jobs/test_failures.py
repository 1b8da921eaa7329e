"""Notes of skipped fields, the plan that reads them, and killed jobs."""

from dataclasses import asdict
from pathlib import Path

import pytest

from astromodal.config.load import load_config
from astromodal.core.fields import layout
from astromodal.core.paths import WHOLE
from astromodal.errors import ConfigError
from astromodal.jobs.failures import (
    VARIABLE,
    Note,
    allow_skips,
    check_skipped,
    killed,
    notes_of,
    skipped,
    write_note,
)
from astromodal.storage.formats import SKIPPED, Skip
from astromodal.storage.hashing import FileVersion
from astromodal.storage.json_files import write_json

RAW = {"splus": {"kind": "catalogue", "files": "raw/*.csv", "preset": "splus_dr4"}}
FAILED = """\
RuleException:
CalledProcessError in file "/w/rules/encode.smk", line 20:
Command 'set -euo pipefail;  /usr/bin/python /r/.snakemake/scripts/tmpvpf6c.{}.py' {}.
"""


@pytest.fixture
def survey(tmp_path):
    """A folder of notes in which one field was skipped, its output and its cube."""
    cube, output = tmp_path / "cube_F1.parquet", tmp_path / "codes.npz"
    cube.write_bytes(b"bad")
    skip = Skip("F1", "encode_images", "it is bad")
    write_json(output, {"format": SKIPPED, **asdict(skip)})
    write_note(tmp_path / "notes", Note(skip, FileVersion.of(cube), (str(output),)))
    return tmp_path


def config(folder, on_bad_field):
    template = {"datacube_template": str(folder / "cube_{field}.parquet")}
    return load_config({"paths": template, "on_bad_field": on_bad_field})


def test_skipped_fields_are_listed(survey):
    """With rule and error; fields that are no part of the run are not."""
    assert list(skipped(survey / "notes", ["F1"])) == [
        "field F1 was skipped by encode_images: it is bad"
    ]
    assert list(skipped(survey / "notes", ["F2"])) == []


def test_nothing_is_listed_before_anything_was_skipped(tmp_path):
    """There need be no folder."""
    assert list(skipped(tmp_path / "notes", ["F1"])) == []


@pytest.mark.parametrize("text", [None, "codes"])
def test_what_was_made_since_is_not_listed(survey, text):
    """An output that was deleted, or that is one again, is no skipped one."""
    output = survey / "codes.npz"
    if text is None:
        output.unlink()
    else:
        output.write_text(text)
    assert list(skipped(survey / "notes", ["F1"])) == []


def test_a_run_that_may_not_skip_refuses_skipped_fields(survey):
    """The error names the field and the remedy."""
    what = (
        "on_bad_field must be skip, got stop, but field F1 was skipped .*; "
        "repair or move what it read"
    )
    with pytest.raises(ConfigError, match=what):
        check_skipped(config(survey, "stop"), survey / "notes", ["F1"])


def test_a_run_that_may_skip_goes_on(survey):
    """As before."""
    check_skipped(config(survey, "skip"), survey / "notes", ["F1"])


def test_a_cube_that_changed_is_read_again(survey):
    """A note of an earlier cube does not count: jobs read the new one."""
    (survey / "cube_F1.parquet").write_bytes(b"repaired")
    check_skipped(config(survey, "stop"), survey / "notes", ["F1"])


def test_a_cube_that_was_not_built_is_judged_by_its_stamp(tmp_path):
    """The output of the job that was skipped is the cube, by whatever name its rule has."""
    made = load_config({"paths": {"results": str(tmp_path)}, "sources": RAW})
    paths = layout(made)
    for path in (paths.cube("F1"), paths.stamp(WHOLE, "F1")):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(paths.stamp(WHOLE, "F1")).write_text("1")
    skip = Skip("F1", "north_build_cube", "it is bad")
    write_json(paths.cube("F1"), {"format": SKIPPED, **asdict(skip)})
    version = FileVersion.of(paths.stamp(WHOLE, "F1"))
    write_note(paths.skipped, Note(skip, version, (paths.cube("F1"),)))
    with pytest.raises(ConfigError, match="on_bad_field must be skip, got stop, but field F1"):
        check_skipped(made, paths.skipped, ["F1"])


def test_results_have_their_own_notes():
    """Of the results folders that a workflow has, that of the outputs counts, the innermost."""
    environment: dict[str, str] = {}
    assert notes_of(["a/x.npz"], environment) == ""
    allow_skips("a", "a/skipped", True, environment)
    allow_skips("a/b", "a/b/skipped", False, environment)
    allow_skips("/c", "/c/skipped", True, environment)
    found = [notes_of([path], environment) for path in ("a/x.npz", "a/b/x.npz", "/c/d/x", "ab/x")]
    assert found == ["a/skipped", "", "/c/skipped", ""]


def test_the_only_results_have_all_outputs():
    """Also outputs to which a storage plugin gives another path."""
    environment: dict[str, str] = {}
    allow_skips("results", "results/skipped", True, environment)
    assert notes_of([".snakemake/storage/s3/results/x.npz"], environment) == "results/skipped"
    allow_skips("results", "results/skipped", False, environment)
    assert environment == {VARIABLE: '{"results": ""}'}


def test_killed_jobs_are_counted_by_rule(tmp_path):
    """One line per rule, with advice; jobs that ended in another way are not counted."""
    ends = [("encode_images", "died with <Signals.SIGKILL: 9>")] * 2
    ends += [("train_transformer", "died with <Signals.SIGKILL: 9>")]
    ends += [("encode_scalars", "returned non-zero exit status 1")]
    ends += [("encode_spectra", "died with <Signals.SIGTERM: 15>")]
    log = tmp_path / "log"
    log.write_text("".join(FAILED.format(*end) for end in ends))
    first, second = killed([log])
    assert first.startswith("rule encode_images: killed (SIGKILL) 2 times, as the kernel does")
    assert "fewer --cores" in first
    assert second.startswith("rule train_transformer: killed (SIGKILL), as the kernel")


def test_no_line_without_a_killed_job(tmp_path):
    """Also for a log with bytes that are not text."""
    log = tmp_path / "log"
    log.write_bytes(b"Finished jobid: 0 (Rule: all)\xff\n")
    assert list(killed([log])) == []
