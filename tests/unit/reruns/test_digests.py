"""Code digests that jobs inherit from the plan."""

from __future__ import annotations

import os

import pytest

from astromodal.reruns import code_graph
from astromodal.reruns.digests import VARIABLE, digest, job_digests, plan_digests

TABLE = {"encode": "1", "a.f": "2", "a.g": "3"}


@pytest.fixture
def scripts(tmp_path):
    """A folder of two entry scripts and a package of one module."""
    folder = tmp_path / "scripts"
    (folder / "astromodal/p").mkdir(parents=True)
    (folder / "astromodal/__init__.py").write_text("")
    (folder / "astromodal/p/__init__.py").write_text("")
    (folder / "astromodal/p/page.html").write_text("page")
    (folder / "astromodal/a.py").write_text("def f():\n    return 1\n")
    (folder / "encode.py").write_text("from astromodal.a import f\nf()\n")
    (folder / "train.py").write_text("print()\n")
    return folder


@pytest.fixture
def extension(tmp_path):
    """A user's file."""
    path = tmp_path / "mine.py"
    path.write_text("print()\n")
    return path


@pytest.fixture
def computed(monkeypatch):
    """The scripts whose digests are computed, in order; each plan reads the code anew."""
    calls = []

    def counted(script, *given):
        calls.append(script.stem)
        code_graph._package.cache_clear()
        return code_graph.code_digests(script, *given)

    monkeypatch.setattr("astromodal.reruns.digests.code_digests", counted)
    return calls


def test_a_rule_s_digest_follows_its_definitions():
    """Another digest of any of them gives another, whatever their order."""
    assert digest(dict(reversed(TABLE.items()))) == digest(TABLE)
    assert digest({**TABLE, "a.g": "4"}) != digest(TABLE)


def test_a_digest_names_the_extensions_that_count():
    """A job reads there which files it imports; their names may hold blanks."""
    assert digest(TABLE).count("/") == 0
    assert digest({**TABLE, "my survey.py": "4"}).split("/")[1:] == ["my survey.py"]


def test_a_job_inherits_the_digests_of_the_plan(scripts, extension, computed):
    """While the sources are unchanged, a job computes nothing and has the plan's digests."""
    environment = {}
    code = plan_digests(scripts, [extension], environment)
    assert list(code) == computed == ["encode", "train"]
    found = job_digests(scripts, [extension], environment)
    assert found == {rule: digest(table) for rule, table in code.items()}
    assert len(computed) == 2


def test_a_job_takes_what_the_plan_says(scripts, computed):
    """The digests come from the environment, not from the code."""
    environment = {}
    plan_digests(scripts, [], environment)
    sources = environment[VARIABLE].partition("\n")[0]
    environment[VARIABLE] = f"{sources}\nencode=x\ntrain=y"
    assert job_digests(scripts, [], environment) == {"encode": "x", "train": "y"}


@pytest.mark.parametrize(
    "name",
    ["scripts/encode.py", "scripts/astromodal/a.py", "scripts/astromodal/p/page.html", "mine.py"],
)
def test_after_an_edit_a_job_computes_the_digests(scripts, extension, computed, name):
    """Scripts, modules, templates and a user's files count, even where only the time changed."""
    environment = {}
    plan_digests(scripts, [extension], environment)
    path = scripts.parent / name
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
    job_digests(scripts, [extension], environment)
    assert computed == ["encode", "train"] * 2


def test_a_new_file_and_another_list_of_extensions_are_changes(scripts, extension, computed):
    """A module that the plan did not have, and a file that it did not load, end the inheritance."""
    environment = {}
    plan_digests(scripts, [extension], environment)
    job_digests(scripts, [], environment)
    assert len(computed) == 4
    (scripts / "astromodal/b.py").write_text("")
    job_digests(scripts, [], environment)
    assert len(computed) == 6


def test_an_edit_after_the_plan_changes_the_job_s_digest(scripts, computed):
    """A job that runs newer code has the newer digest, and hands it down in turn."""
    environment = {}
    before = plan_digests(scripts, [], environment)
    (scripts / "astromodal/a.py").write_text("def f():\n    return 1000\n")
    found = job_digests(scripts, [], environment)
    assert found["encode"] != digest(before["encode"])
    assert found["train"] == digest(before["train"])
    assert job_digests(scripts, [], environment) == found
    assert len(computed) == 4


@pytest.mark.parametrize("value", [None, "", "abc", "abc\nencode=1"])
def test_without_a_plan_a_job_computes_the_digests(scripts, computed, value):
    """Snakemake may be started by hand in a job's mode, or in a job of an older plan."""
    environment = {} if value is None else {VARIABLE: value}
    assert job_digests(scripts, [], environment).keys() == {"encode", "train"}
    assert len(computed) == 2


def test_compiled_files_and_broken_links_are_no_sources(scripts, computed):
    """Imports write the former, editors the latter."""
    environment = {}
    (scripts / "astromodal/.#a.py").symlink_to("nobody@host")
    plan_digests(scripts, [], environment)
    (scripts / "astromodal/__pycache__").mkdir()
    (scripts / "astromodal/__pycache__/a.pyc").write_bytes(b"")
    job_digests(scripts, [], environment)
    assert len(computed) == 2
