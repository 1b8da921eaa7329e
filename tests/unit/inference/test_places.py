"""A run's folder is loaded by any of its names."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from astromodal.errors import ConfigError, FormatError, MachineError
from astromodal.inference import AstroModel
from astromodal.inference.encode import Encoded
from astromodal.inference.export import export_model
from astromodal.sequences.dataset import SequenceSet
from helpers.limits import few_files
from helpers.model import run_sources, write_results

RUN = "runs_tokens_transformer"


@pytest.fixture(scope="module")
def made(tmp_path_factory, bundle, encoded) -> Path:
    """A results folder, with the model exported into it."""
    folder = tmp_path_factory.mktemp("made") / "results"
    write_results(folder, bundle, encoded)
    export_model(run_sources(folder), folder / "model")
    return folder


@pytest.fixture
def results(tmp_path, made) -> Path:
    return Path(shutil.copytree(made, tmp_path / "results"))


def link(path: Path, target: str | Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)
    return path


def moved(results: Path, name: str) -> Path:
    """The run's folder on another disk, with a link in its place, as that disk knows it."""
    other = results.parent / "disk" / name
    other.parent.mkdir()
    (results / RUN).rename(other)
    link(results / RUN, other)
    return other


NAMES = {
    "absolute": lambda results: results / RUN,
    "with a slash": lambda results: f"{results / RUN}/",
    "through its own": lambda results: results / RUN / ".." / RUN / ".",
    "a link from anywhere": lambda results: link(results.parent / "a/b", results / RUN),
    "a relative link": lambda results: link(results.parent / "a/b", f"../results/{RUN}"),
    "a link to a link": lambda r: link(r.parent / "c", link(r.parent / "a/b", r / RUN)),
    "results that are a link": lambda r: link(r.parent / "a", r) / RUN,
    "on another disk": lambda results: moved(results, "run") and results / RUN,
    "a link to one on another disk": lambda r: moved(r, "run") and link(r.parent / "a", r / RUN),
}


@pytest.mark.parametrize("name", NAMES)
def test_a_run_s_folder_by_any_name(results, model, name):
    """Tokenizers beside the folder, or beside a link to it, are found."""
    assert AstroModel.from_run(NAMES[name](results)).hash == model.hash


@pytest.mark.parametrize("given", [".", "./", f"../{RUN}", f"../../results/{RUN}"])
@pytest.mark.parametrize("elsewhere", [False, True])
def test_from_inside(results, model, monkeypatch, given, elsewhere):
    """Relative paths work inside the folder, also if it is a link to another disk."""
    if elsewhere:
        moved(results, RUN)
    monkeypatch.chdir(results / RUN)
    monkeypatch.setenv("PWD", str(results / RUN))
    assert AstroModel.from_run(given).hash == model.hash


@pytest.mark.parametrize("pwd", ["", "/", "/nowhere"])
def test_a_shell_that_is_elsewhere(results, model, monkeypatch, pwd):
    """`PWD` is ignored if it is not the working folder."""
    monkeypatch.chdir(results / RUN)
    monkeypatch.setenv("PWD", pwd)
    assert AstroModel.from_run(".").hash == model.hash


@pytest.mark.parametrize("given", [".", "./", "../model"])
def test_an_exported_folder(results, model, monkeypatch, given):
    """An exported folder is loaded by any of its names."""
    monkeypatch.chdir(results / "model")
    assert AstroModel.from_run(given).hash == model.hash
    there = link(results.parent / "a", results / "model")
    assert AstroModel.from_run(f"{there}/").hash == model.hash


def test_tokenizers_that_are_nowhere(results):
    """The error names the first place of the search."""
    shutil.rmtree(results / "codecs")
    there = link(results.parent / "a/b", results / RUN)
    with pytest.raises(FormatError, match=r"tokenizer .*/a/.* must be a file, got none; keep the"):
        AstroModel.from_run(there)


def test_sequences_by_a_link(results, model):
    """A sequence file is opened through a link in any folder."""
    path = results / "outputs/sequences/datacube_F1_sequences.safetensors"
    there = link(results.parent / "a/s.safetensors", path)
    assert len(model.open(there)) == len(model.open(path))


def test_a_device_that_is_not_there(results):
    """The error names the device, not the files."""
    with pytest.raises(ConfigError, match=r"device must be one that PyTorch can use, got cuda:99 "):
        AstroModel.from_run(results / RUN, "cuda:99")


def test_a_file_of_somebody_else(results, monkeypatch):
    """A file without permission to read is not reported as damaged."""
    real = open

    def refuse(path, *args, **options):
        if os.fspath(path).endswith("final_model.pt"):
            raise PermissionError(13, "Permission denied", path)
        return real(path, *args, **options)

    monkeypatch.setattr("io.open", refuse)
    with pytest.raises(MachineError, match=r"final_model\.pt must be yours to read and write"):
        AstroModel.from_run(results / RUN)


def test_more_fields_than_files_may_be_open(results, model):
    """More fields than files may be open can be read."""
    path = results / "outputs/sequences/datacube_F1_sequences.safetensors"
    with few_files(20):
        fields = [model.open(path) for _ in range(40)]
        survey = SequenceSet([path] * 40, model.bundle.layout)
        vectors = model.embed(Encoded.every(survey)[-3:])
    np.testing.assert_array_equal(vectors, model.embed(fields[-1][-3:]))
