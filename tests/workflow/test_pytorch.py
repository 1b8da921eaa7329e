"""The tiny sky's sequences, cubes and model, in the hands of PyTorch and onnxruntime."""

import shutil

import numpy as np
import pytest
import torch

from astromodal import AstroModel
from astromodal.core.paths import Layout
from helpers.console import fences

pytestmark = pytest.mark.workflow


def run(text, used, monkeypatch):
    """Run a block as it stands, in the folder of a run, without processes of workers."""
    monkeypatch.chdir(used.folder)
    names = {}
    changed = text.replace("SIM-0001", "T-1").replace("config/config.yaml", "config.yaml")
    exec(changed.replace("num_workers=4", "num_workers=0"), names)
    return names


def block(beginning, word):
    """The block of docs/tools.md with this beginning that has a word."""
    (text,) = (
        f.text for f in fences("docs/tools.md") if f.text.startswith(beginning) and word in f.text
    )
    return text


def test_three_lines_load_an_exported_model(used, monkeypatch, tmp_path):
    """They work with the folder alone, wherever it is, and give what the run's model gives."""
    text = block("from astromodal import AstroModel", "embeddings")
    found = run(text, used, monkeypatch)
    cube = used.folder / Layout("results").cube("T-1")
    shutil.copytree(used.folder / "results/model", tmp_path / "anywhere/results/model")
    shutil.copytree(cube.parent, tmp_path / "anywhere/results/cubes")
    monkeypatch.chdir(tmp_path / "anywhere")
    moved = {}
    exec(text.replace("SIM-0001", "T-1"), moved)
    np.testing.assert_array_equal(moved["embeddings"], found["embeddings"])
    own = AstroModel.from_run(used.folder / "results/runs_tokens_transformer")
    np.testing.assert_array_equal(own.embed(own.encode(str(cube))), found["embeddings"])


def test_three_lines_load_the_network(used, monkeypatch):
    """It is a module of PyTorch with the weights of the run."""
    found = run(block("import astromodal", "network"), used, monkeypatch)
    assert isinstance(found["network"], torch.nn.Module)
    assert not found["network"].training
    assert found["n_weights"] > 10_000


def test_the_stream_of_sequences_feeds_the_network(used, monkeypatch):
    """A batch gives logits of every id at every token."""
    found = run(block("from torch.utils.data import DataLoader", ""), used, monkeypatch)
    model = AstroModel.from_run(used.folder / "results/model")
    with torch.no_grad():
        logits = model.model(*found["inputs"])
    assert logits.shape == (*found["inputs"][0].shape, model.vocabulary.vocab_size)
    assert set(found["batch"]["field"]) <= {"T-1", "T-2", "T-3"}


def test_the_stream_of_cubes_gives_measurements(used, monkeypatch):
    """A batch has scalars, cutouts and spectra, with their names, units and wavelengths."""
    found = run(block("from astromodal.config import load_config", "CubeStream"), used, monkeypatch)
    batch = found["batch"]
    assert batch["scalars"].shape == (8, len(found["names"]))
    assert batch["pixels"].shape[0] == 8
    assert len(found["wavelengths"]["desi_b"]) == batch["desi_b_flux"].shape[1]
    assert found["units"]["mag_pstotal_r"] == "mag"


@pytest.mark.filterwarnings("ignore:'set_vital' is deprecated")
def test_the_loader_of_torchdata_goes_on(used, monkeypatch):
    """The batch after the state is another one than that before it."""
    pytest.importorskip("torchdata", reason="torchdata is not installed")
    found = run(block("from torchdata", ""), used, monkeypatch)
    assert not set(found["first"]["id"]) & set(found["second"]["id"])


def test_onnx_files_of_a_trained_model(used, monkeypatch):
    """They are written beside the run, and the encoder names its inputs."""
    for name in ("onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(name, reason="the extra onnx is not installed")
    found = run(block("from astromodal import AstroModel", "write_onnx"), used, monkeypatch)
    assert max(found["differences"].values()) < 1e-5
    needed = run(block("import onnxruntime", ""), used, monkeypatch)["needed"]
    assert list(needed) == ["pixels", "valid"]
    shutil.rmtree(used.folder / "onnx")
