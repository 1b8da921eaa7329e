"""Names and configurations reach no shell and no file outside of the results folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from astromodal.config.load import load_config
from astromodal.core.fields import run_fields
from astromodal.core.paths import Layout
from astromodal.errors import ConfigError
from astromodal.storage.arrays import save_arrays
from astromodal.storage.json_files import write_json
from astromodal.storage.tempfiles import write_text
from astromodal.training.checkpoint import prune
from faults.fuzz import examples
from helpers.workflow import ROOT

HARMLESS = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,99}")
NAMES = st.text(max_size=120) | st.from_regex(r"\A[A-Za-z0-9/.;$`\n -]{1,20}\Z")


@examples(100)
@given(NAMES)
def test_simulated_fields(tally, name):
    """A name is one of letters, digits and a few signs, or is refused with what it must be."""
    said = ""
    try:
        load_config({"simulate": {"fields": {name: {}}}})
    except ConfigError as error:
        said = str(error)
    if HARMLESS.fullmatch(name):
        assert not said
        assert os.path.dirname(Layout("r").cube(name)) == "r/cubes"
    else:
        assert re.search("must be .*, got|is no setting", said, re.DOTALL)
    tally("names of fields", "refused" if said else "right")


@examples(50)
@given(NAMES.filter(lambda name: "," not in name))
def test_fields_of_a_list(tally, name):
    """A name or pattern chooses among the fields that there are, or is refused."""
    said = ""
    try:
        fields = run_fields(load_config({"fields": [name]})).every
        assert set(fields) <= {f"SIM-{i:04d}" for i in range(1, 5)}
    except ConfigError as error:
        said = str(error)
    tally("names of fields", "refused" if said else "right")


@pytest.mark.parametrize("name", ["a;b", "a b", "..", "a\nb", "../a", "a/b", "$(a)", ""])
def test_the_error_of_a_name(name):
    """The setting is named, and what a name must be."""
    with pytest.raises(ConfigError, match=r"fields.* must be a name of letters, digits and _ \. "):
        load_config({"simulate": {"fields": {name: {}}}})


def test_a_config_file_runs_no_code(tmp_path, tally):
    """Nor does Snakemake, which reads it first."""
    mark = tmp_path / "run"
    (tmp_path / "c.yaml").write_text(f"fields: !!python/object/apply:os.mkdir ['{mark}']\n")
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "-n"]
    command += ["--directory", str(tmp_path), "--configfile", str(tmp_path / "c.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode
    assert "not valid JSON or YAML" in done.stdout + done.stderr
    assert not mark.exists()
    tally("hostile configurations", "refused")


def test_links_are_replaced_not_followed(tmp_path):
    """Where a file is to be written and a link lies there, what it points to stays as it is."""
    outside = tmp_path / "outside"
    outside.write_text("kept")
    for number, write in enumerate(
        (
            lambda path: write_text(path, "new"),
            lambda path: write_json(path, {}),
            lambda path: save_arrays(path, {}, format="split", version=1),
        )
    ):
        path = tmp_path / f"results{number}"
        path.symlink_to(outside)
        write(path)
        assert not path.is_symlink()
    assert outside.read_text() == "kept"


def test_links_are_deleted_not_followed(tmp_path):
    """Pruned checkpoints that are links are unlinked: nothing outside of the folder goes."""
    outside, folder = tmp_path / "outside.pt", tmp_path / "run"
    outside.touch()
    folder.mkdir()
    for step in (1, 2, 3):
        (folder / f"checkpoint_step_{step}.pt").symlink_to(outside)
    prune(folder, 1, None)
    assert [path.name for path in folder.iterdir()] == ["checkpoint_step_3.pt"]
    assert outside.exists()


def test_nothing_deletes_folders():
    """No code of ours deletes a tree: links cannot lead out of the results folder there."""
    for path in (ROOT / "scripts").rglob("*.py"):
        assert not re.search(r"rmtree|removedirs|rm -r", path.read_text()), path
