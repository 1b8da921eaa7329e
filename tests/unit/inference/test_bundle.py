"""A model is loaded only with the vocabulary and the tokenizers that it was trained with."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from astromodal.core.paths import ExportLayout, Layout
from astromodal.errors import ConfigError, FormatError
from astromodal.inference import AstroModel
from astromodal.inference.export import export_model
from astromodal.storage.arrays import map_tensors, save_tensors
from astromodal.storage.json_files import read_json, write_json
from helpers.model import run_sources, toy_tokenizers, write_results


@pytest.fixture(scope="module")
def results(tmp_path_factory, bundle, encoded):
    """The results folder of a finished run of one field."""
    folder = tmp_path_factory.mktemp("results")
    write_results(folder, bundle, encoded)
    return folder


@pytest.fixture(scope="module")
def exported(tmp_path_factory, results):
    folder = tmp_path_factory.mktemp("exported")
    export_model(run_sources(results), folder)
    return folder


@pytest.fixture(params=["run", "export"])
def folder(request, tmp_path, results, exported):
    """A copy of a run's own folder, in its results, or of an exported one."""
    source = results if request.param == "run" else exported
    shutil.copytree(source, tmp_path / "copy")
    return tmp_path / "copy" / ("runs_tokens_transformer" if request.param == "run" else "")


def test_a_loaded_model_is_the_one_saved(folder, model, encoded):
    """A model of a run or an export has the saved one's hash, embeddings and predictions."""
    loaded = AstroModel.from_run(folder)
    assert loaded.hash == model.hash
    assert loaded.columns == model.columns
    assert loaded.vocabulary == model.vocabulary
    assert loaded.config.model == model.config.model
    assert not loaded.model.training
    np.testing.assert_array_equal(loaded.embed(encoded), model.embed(encoded))
    found, expected = (m.predict(encoded, "specz_z")["specz_z"] for m in (loaded, model))
    np.testing.assert_array_equal(found.probabilities, expected.probabilities)


def test_settings_of_another_version_s_training_do_no_harm(tmp_path, exported):
    """A setting of training that no longer exists does not keep a model from being used."""
    shutil.copytree(exported, tmp_path / "copy")
    path = tmp_path / "copy/config.json"
    config = read_json(path)
    config["training"]["of_old"] = 1
    write_json(path, config)
    assert AstroModel.from_run(path.parent).bundle.trained.training["of_old"] == 1


def test_the_package_offers_it():
    """`astromodal.AstroModel` is the class, and importing the package loads no torch."""
    import astromodal
    import astromodal.inference

    assert astromodal.AstroModel is AstroModel
    code = "import sys, astromodal, astromodal.inference; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    for module in (astromodal, astromodal.inference):
        with pytest.raises(AttributeError, match="has no attribute 'AstroModl'"):
            _ = module.AstroModl


def test_an_export_is_loaded_without_unpickling(exported, monkeypatch):
    """Loading an export calls neither torch.load nor pickle."""
    import pickle

    def refuse(*args, **kwargs):
        raise AssertionError("unpickled")

    monkeypatch.setattr(torch, "load", refuse)
    monkeypatch.setattr(pickle, "load", refuse)
    monkeypatch.setattr(pickle, "loads", refuse)
    monkeypatch.setattr(pickle, "Unpickler", refuse)
    assert AstroModel.from_run(exported).columns


def test_an_export_is_the_same_bytes_again(tmp_path, results, exported):
    """The same input gives the same files."""
    export_model(run_sources(results), tmp_path)
    names = sorted(path.name for path in exported.iterdir())
    assert names == sorted(Path(path).name for path in vars(ExportLayout("x")).values())
    for name in names:
        assert (tmp_path / name).read_bytes() == (exported / name).read_bytes()


def test_the_library_reads_the_weights(exported, bundle):
    """The weights are a plain safetensors file."""
    from safetensors.torch import load_file

    state = load_file(exported / "model.safetensors")
    for name, tensor in bundle.trained.model.state_dict().items():
        torch.testing.assert_close(state[name], tensor, rtol=0, atol=0)


def test_the_card_says_what_it_is(exported, model):
    """The card has fields, splits, counts, losses beside the baseline, limits and usage."""
    text = (exported / "README.md").read_text()
    assert "| F1 | 9 | 3 | 0 |" in text
    assert "| image | 6 |" in text
    assert "| scalar | 1.5000 | 1.7500 |" in text
    assert "| image | none measured | none measured |" in text
    assert model.hash in text
    assert "## Limits" in text
    assert "AstroModel.from_run(" in text


def test_other_tokenizers_are_refused(folder):
    """The error names both hashes."""
    other = toy_tokenizers().scalar
    other.centers[0, 0] -= 1
    name = next(p for p in (folder, folder.parent) for p in p.rglob("*scalar_tokenizer*.npz"))
    other.save(name)
    own = toy_tokenizers().scalar.hash
    message = f"scalar tokenizer must be of hash {own}, .* got {type(other)(**vars_of(other)).hash}"
    with pytest.raises(FormatError, match=message):
        AstroModel.from_run(folder)


def vars_of(tokenizer):
    return {name: getattr(tokenizer, name) for name in ("columns", "edges", "centers", "weights")}


def test_a_missing_tokenizer_is_named(folder):
    """The error names the tokenizer's path."""
    exported = folder / "image_autoencoder.safetensors"
    path = exported if exported.exists() else folder.parent / "codecs/autoencoder_splus_cuts.pt"
    path.unlink()
    with pytest.raises(FormatError, match=f"tokenizer .*{path.name} must be a file, got none"):
        AstroModel.from_run(folder)


@pytest.mark.parametrize("make", [True, False])
def test_what_is_no_model_is_refused(tmp_path, make):
    """An empty folder and a missing one are errors."""
    folder = tmp_path / "nothing"
    if make:
        folder.mkdir()
    with pytest.raises(FormatError, match="must be a folder that holds final_model.pt or model"):
        AstroModel.from_run(folder)


def test_changed_weights_are_refused(tmp_path, exported):
    """An exported file that was changed since has another hash."""
    shutil.copytree(exported, tmp_path / "copy")
    path = tmp_path / "copy/model.safetensors"
    arrays, meta = map_tensors(path)
    save_tensors(path, {**arrays, "bias": arrays["bias"] + 1}, meta)
    with pytest.raises(FormatError, match=f"must be of hash {meta['hash']}"):
        AstroModel.from_run(path.parent)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "a safetensors file, got .*; delete it and run export_model again"),
        (b"nothing of the kind", "a safetensors file, got .*; delete it and run export_model"),
        (None, "exported_transformer version 5, got other version None; use .* or move it away"),
    ],
)
def test_damaged_weights_are_refused(tmp_path, exported, content, message):
    """Only a damaged file is to be deleted, not one of another kind."""
    shutil.copytree(exported, tmp_path / "copy")
    path = tmp_path / "copy/model.safetensors"
    if content is None:
        save_tensors(path, {"a": np.zeros(1)}, {"format": "other"})
    else:
        path.write_bytes(content)
    with pytest.raises(FormatError, match=f"must be {message}"):
        AstroModel.from_run(path.parent)


def test_tokenizers_of_another_model_are_not_exported(tmp_path, results):
    """An export with tokenizers of another model is an error."""
    shutil.copytree(results, tmp_path / "copy")
    other = toy_tokenizers().scalar
    other.centers[0, 0] -= 1
    other.save(Layout(str(tmp_path / "copy")).scalar_tokenizer)
    with pytest.raises(FormatError, match="tokenizers: scalar tokenizer must be of hash"):
        export_model(run_sources(tmp_path / "copy"), tmp_path / "out")


@pytest.mark.parametrize(
    ("temperatures", "must"),
    [
        (
            {"images": 1.0},
            "by scalar columns or image, scalar, spectrum, got images; nearest: 'image'",
        ),
        ({"image": 0.0}, "temperature of image must be above 0 and finite"),
        ({"image": float("inf")}, "temperature of image must be above 0 and finite"),
    ],
)
def test_a_temperature_that_cannot_be_is_refused(model, temperatures, must):
    """Unknown modalities, and temperatures that are not above 0 and finite, are errors."""
    with pytest.raises(ConfigError, match=must):
        model.calibrated(temperatures)
