"""ONNX files of a model compute what PyTorch computes."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import torch

from astromodal.errors import ConfigError, FormatError
from astromodal.pytorch import SequenceDataset, collate_sequences, onnx_files, write_onnx
from astromodal.sequences.store import vocab_hash
from helpers.cutouts import cutouts
from helpers.model import write_results

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
pytest.importorskip("onnxscript", reason="the extra onnx is not installed")

CLOSE = 2e-6
"""Relative difference: the files differ from PyTorch by 1e-7 to 5e-7."""


@pytest.fixture(scope="module", params=["query", "mean", "attention"])
def written(request, tmp_path_factory, model):
    """A folder of files, by pooling, and what `write_onnx` says of them."""
    folder = tmp_path_factory.mktemp("onnx") / "new"
    return folder, request.param, write_onnx(model, folder, request.param)


@pytest.fixture(scope="module")
def items(tmp_path_factory, bundle, encoded, model):
    """Sequences of real codes, of 7 to 102 tokens, some of whose columns are missing."""
    folder = tmp_path_factory.mktemp("results")
    write_results(folder, bundle, encoded)
    dataset = SequenceDataset(folder / "outputs/sequences", model.config)
    return [dataset[i] for i in range(len(dataset))]


def run(path, inputs):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, inputs)[0]


def relative(found, wanted):
    return np.abs(found - wanted).max() / np.abs(wanted).max()


def test_writing_compares_with_pytorch(written):
    """Both files are close to PyTorch for the longest sequence and for cutouts that lack bands."""
    folder, _, differences = written
    assert differences.keys() == {path.name for path in folder.iterdir()}
    assert max(differences.values()) < CLOSE


@pytest.mark.parametrize("chosen", [slice(0, 12), slice(1, 2), slice(1, 12, 4)])
def test_embeddings_are_those_of_the_model(written, items, model, encoded, chosen):
    """Of batches of any size and length, padded, they are the result of `AstroModel.embed`."""
    folder, pooling, _ = written
    batch = collate_sequences(items[chosen])
    names = ("token_ids", "token_types", "key_padding_mask")
    found = run(folder / "embeddings.onnx", {name: batch[name].numpy() for name in names})
    wanted = model.embed(encoded, pooling)
    assert found.dtype == np.float32
    assert relative(found, wanted[chosen]) < CLOSE


@pytest.mark.parametrize("n", [1, 7])
def test_latents_are_those_of_the_tokenizer(written, model, n):
    """Of any number of cutouts in counts/s, with pixels that are missing."""
    folder, *_ = written
    pixels = cutouts(n, seed=8)
    valid = np.random.default_rng(1).random(pixels.shape) < 0.9
    valid[0, 1] = False
    pixels = np.where(valid, pixels, np.nan).astype(np.float32)
    found = run(folder / "image_encoder.onnx", {"pixels": pixels, "valid": valid})
    assert relative(found, model.tokenizers.image.encode(pixels, valid)[1]) < CLOSE


def test_files_say_what_they_are_of(written, model):
    """Metadata name the model, its tokenizers and vocabulary, the pooling and the version."""
    folder, pooling, _ = written
    both = [onnx.load(folder / name) for name in ("embeddings.onnx", "image_encoder.onnx")]
    meta, images = ({p.key: p.value for p in each.metadata_props} for each in both)
    assert meta["vocabulary_hash"] == vocab_hash(model.bundle.layout)
    assert (meta["pooling"], meta["max_tokens"]) == (pooling, "128")
    assert (json.loads(images["bands"]), images["unit"]) == (["U", "R", "Z"], "ct / s")
    for each in (meta, images):
        assert each["model_hash"] == model.hash
        assert json.loads(each["tokenizer_hashes"]) == model.tokenizers.hashes()
        assert each["version"]
    for each in both:
        onnx.checker.check_model(each)


def test_a_file_that_is_not_close_is_not_written(model, tmp_path, monkeypatch):
    """The error gives the difference, and an older file stays."""
    (tmp_path / "image_encoder.onnx").write_text("older")
    monkeypatch.setattr(onnx_files, "TOLERANCE", 1e-12)
    cutout = onnx_files.random_cutouts(model.tokenizers.image)
    network = onnx_files._Network(
        torch.nn.Identity(), [{"pixels": cutout["pixels"]}], "latents", {0: "batch"}
    )
    wanted = 1 + cutout["pixels"].nan_to_num().numpy()
    with pytest.raises(
        FormatError, match=r"image_encoder.onnx must be within 1e-12 of what PyTorch"
    ):
        network.write(tmp_path / "image_encoder.onnx", wanted, {})
    assert [path.read_text() for path in tmp_path.iterdir()] == ["older"]


def test_a_pooling_that_does_not_exist(model, tmp_path):
    """The error names the nearest one."""
    with pytest.raises(ConfigError, match="pooling must be one of .*; nearest: 'mean'"):
        write_onnx(model, tmp_path, "means")


def test_a_missing_package_is_named(model, tmp_path, monkeypatch):
    """The error says what to install."""
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ConfigError, match=r"package onnxscript must be installed, got none; pip"):
        write_onnx(model, tmp_path)
