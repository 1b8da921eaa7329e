"""The tutorial, block by block, with the tiny run in the demo's place."""

import re
import shlex

import pytest
import yaml

from helpers.workflow import ROOT

pytestmark = pytest.mark.workflow

TEXT = (ROOT / "docs/tutorial.md").read_text()
BLOCKS = re.findall(r"```(python|console)\n(.*?)```", TEXT, re.DOTALL)
DEMO = ["snakemake", "--profile", "profiles/local", "--configfile", "config/demo.yaml"]


def run_command(workflow, line):
    """A command of the tutorial: `make demo` has been run, Snakemake runs on the tiny sky."""
    words = shlex.split(line.removeprefix("$ "))
    if words != ["make", "demo"]:
        assert words[: len(DEMO)] == DEMO
        workflow.run(*words[len(DEMO) :])


def test_the_tutorial_runs(finished, tmp_path, monkeypatch):
    """Every block works as written, after the ones before it."""
    (tmp_path / "results").mkdir()
    (tmp_path / "results/demo").symlink_to(finished.results)
    (tmp_path / "config").mkdir()
    (tmp_path / "config/demo.yaml").write_text(yaml.safe_dump(finished.config))
    monkeypatch.chdir(tmp_path)
    names = {}
    for number, (kind, text) in enumerate(BLOCKS):
        if kind == "python":
            exec(compile(text, f"docs/tutorial.md, block {number}", "exec"), names)
            continue
        for line in text.strip().splitlines():
            run_command(finished, line)
    assert (tmp_path / "redshifts.png").stat().st_size > 0
    assert names["told"].mean.shape == names["true"].shape
