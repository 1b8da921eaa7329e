"""The page on extending, run as it stands: a group, a quantizer, a loss term and a section."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from astromodal.config.load import load_config
from astromodal.core.paths import Layout
from astromodal.errors import ConfigError
from astromodal.reruns.digests import code_digests
from astromodal.storage.json_files import read_json
from helpers.workflow import ROOT, Workflow, made_once

pytestmark = pytest.mark.workflow

PAGE = ROOT / "docs/extending.md"
BLOCK = re.compile(r"^```(python|yaml)\n(.*?)^```", re.MULTILINE | re.DOTALL)
NAME = re.compile(r"# (my_\w+\.(?:py|yaml))\n")
GROUP, SECTION, TERM, QUANTIZER = "pfs_b", "blocks", "focal", "minibatch"


def joined(one: dict, other: dict) -> dict:
    """Return nested settings of both; those of `other` count."""
    out = dict(one)
    for name, value in other.items():
        both = isinstance(value, dict) and isinstance(out.get(name), dict)
        out[name] = joined(out[name], value) if both else value
    return out


def write_page(folder: Path) -> dict:
    """Write the page's files, run its other Python blocks, and return its configuration."""
    config: dict = {}
    for language, text in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        name = NAME.match(text)
        if language == "yaml":
            config = joined(config, yaml.safe_load(text))
        elif name:
            (folder / name[1]).write_text(text, encoding="utf-8")
        else:
            subprocess.run([sys.executable, "-c", text], cwd=folder, check=True)
    return config


def make(folder: Path) -> None:
    """Run the page to the end of the report."""
    Workflow(folder, write_page(folder)).run("all")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Workflow:
    """The page's run, made once for all of the test processes."""
    return made_once(tmp_path_factory, "extended", make)


@pytest.fixture(scope="module")
def paths(run) -> Layout:
    """The run's files."""
    return Layout(str(run.folder / "results/extended"), 64)


def test_the_group_is_in_the_summary(paths):
    """Its spectra are counted in every field."""
    for field in ("A", "B", "C"):
        assert read_json(paths.summary(field))["spectra"][GROUP]["n_live"] == 20


def test_the_group_has_codes(paths):
    """Its spectra are encoded and evaluated with the registered quantizer's codebook."""
    numbers = read_json(paths.evaluation("spectra"))["numbers"]["groups"][GROUP]
    assert numbers["n_live"] > 0
    assert numbers["codebook"]["used"] > 1
    with np.load(paths.spectrum_tokenizer, allow_pickle=False) as arrays:
        assert str(arrays[f"{GROUP}_quantizer"]) == QUANTIZER


def test_the_group_is_on_the_page(paths):
    """The coverage counts its family, and a figure of its spectra has its unit."""
    text = Path(paths.report).read_text(encoding="utf-8")
    assert f">{GROUP} live</th>" in text
    assert "examples_pfs" in text
    figures = Path(paths.figures("spectra"))
    assert (figures / "examples_pfs.png").is_file()


def test_the_loss_term_is_in_the_history(paths):
    """In training and in validation."""
    lines = Path(paths.history).read_text(encoding="utf-8").splitlines()
    splits = {split for split in ("train", "validation") for line in lines if f'"{split}"' in line}
    assert splits == {"train", "validation"}
    assert all(f'"{TERM}"' in line for line in lines)


def test_the_section_is_in_the_report(paths):
    """With its headline and its figure, after the sections before it."""
    section = read_json(paths.evaluation(SECTION))
    assert section["numbers"]["shares"][GROUP]["n"] > 0
    text = Path(paths.report).read_text(encoding="utf-8")
    assert text.index('<section id="transformer">') < text.index(f'<section id="{SECTION}">')
    assert "objects with a PFS spectrum" in text


def test_a_second_plan_is_empty(run):
    """Nothing is left to do, and the extensions are read again without a complaint."""
    assert run.planned("all") == {}


@pytest.mark.parametrize(
    ("file", "rule", "other"),
    [
        ("my_section.py", "evaluate_section", "train_transformer"),
        ("my_loss.py", "train_transformer", "encode_scalars"),
        ("my_quantizer.py", "train_spectrum_codebook", "simulate_field"),
    ],
)
def test_an_edit_of_a_file_redoes_the_jobs_that_use_it(run, tmp_path, file, rule, other):
    """The digest of a rule's code changes with a file that it can reach, and with no other."""
    scripts = ROOT / "scripts"
    text = (run.folder / file).read_text(encoding="utf-8")
    before, after = tmp_path / "before", tmp_path / "after"
    for folder, more in ((before, ""), (after, "\n_MORE = 1\n")):
        folder.mkdir()
        (folder / file).write_text(text + more, encoding="utf-8")
    digests = {
        name: [code_digests(scripts / f"{name}.py", scripts, [f / file]) for f in (before, after)]
        for name in (rule, other)
    }
    assert digests[rule][0] != digests[rule][1]
    assert digests[other][0] == digests[other][1]


def test_an_unregistered_name_is_an_error():
    """Without the file that registers it, the group's name is unknown."""
    assert "ASTROMODAL_EXTENSIONS" not in os.environ
    with pytest.raises(ConfigError, match=r"tokenizers\.spectrum\.groups must be .*'pfs_x'"):
        load_config({"tokenizers": {"spectrum": {"groups": ["pfs_x"]}}})
