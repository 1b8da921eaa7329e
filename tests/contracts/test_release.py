"""Version, citation, catalogue and CI agree with what is in the checkout."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path

import pytest
import yaml

import astromodal

ROOT = Path(__file__).parents[2]
RULES = "".join(path.read_text(encoding="utf-8") for path in ROOT.glob("rules/*.smk"))
VERSION = r"(?:0|[1-9]\d*)(?:\.(?:0|[1-9]\d*)){2}(?:-[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
"""A version of semver.org, without build metadata."""
USAGE = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text())


def test_the_version_is_semantic():
    """Three numbers, and what precedes a release."""
    assert re.fullmatch(VERSION, astromodal.__version__)


def test_the_changelog_begins_with_the_version():
    """Each version has a heading with its day; the newest one, which comes first, is this one."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    day = r"\d{4}-\d\d-\d\d"
    wrong = [h for h in headings[1:] if not re.fullmatch(rf"\[{VERSION}\] - {day}", h)]
    assert wrong == []
    newest = rf"\[{re.escape(astromodal.__version__)}\] - (?:{day}|unreleased)"
    assert re.fullmatch(newest, headings[0])


def test_the_citation_has_what_its_format_requires():
    """The required keys of version 1.2.0, and authors with a name."""
    assert CITATION.keys() >= {"cff-version", "message", "title", "authors"}
    assert CITATION["cff-version"] == "1.2.0"
    assert CITATION["type"] == "software"
    assert [author["name"] for author in CITATION["authors"]] == ["The astromodal authors"]


def test_the_citation_is_of_this_version():
    """Version and license are those of the package."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert str(CITATION["version"]) == astromodal.__version__
    assert CITATION["license"] == project["license"]


def test_the_catalogue_names_the_deployment_that_works():
    """Every rule with a script has an environment of conda, and all have the config's container."""
    scripts, environments = (
        len(re.findall(rf"^    {d}:", RULES, re.M)) for d in ("script", "conda")
    )
    assert scripts == environments > 0
    assert re.findall(r"^ *container(?:ized)?:.*", RULES, re.M) == ["container: CONFIG.container"]
    named = USAGE["software-stack-deployment"]
    assert {name for name, works in named.items() if works} == {"conda"}


def test_the_catalogue_names_the_report():
    """Rules mark results for `snakemake --report`."""
    assert USAGE["report"] == ("report(" in RULES)


def test_the_catalogue_finds_the_workflow():
    """Its search reads two words in the readme, rule files by their suffix, and a second readme."""
    text = (ROOT / "README.md").read_text(encoding="utf-8").lower()
    assert "snakemake" in text
    assert "workflow" in text
    assert (ROOT / "Snakefile").is_file()
    assert (ROOT / "config/README.md").is_file()


@pytest.mark.parametrize("path", sorted(ROOT.glob(".github/workflows/*.yml")), ids=lambda p: p.stem)
def test_ci_calls_what_a_developer_can_call(path):
    """A workflow of the forge fetches the checkout, and leaves the rest to `.ci/run`."""
    (job,) = yaml.safe_load(path.read_text())["jobs"].values()
    fetch, run = job["steps"]
    assert fetch["uses"].startswith("actions/checkout@")
    assert run == {"run": ".ci/run"}
    assert os.access(ROOT / run["run"], os.X_OK)
