"""Light curves switched on: tokenized, packed, trained on and evaluated."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from astromodal.core.paths import Layout
from astromodal.core.vocab import MISSING_CODE
from astromodal.storage.json_files import read_json
from astromodal.tokenizers.spectra.tokenizer import SpectrumTokenizer
from astromodal.tokenizers.spectra.tokens import load_spectrum_tokens
from helpers.workflow import made_once, tiny

pytestmark = pytest.mark.workflow


def make(folder: Path) -> None:
    """Make the cubes, and run the workflow to the report."""
    workflow = tiny(folder)
    simulate = workflow.config.pop("simulate") | {"n_sources": 40, "light_curve_fraction": 0.8}
    absent = {"W-1": ["specz", "desi", "images"], "W-2": ["specz", "desi"]}
    simulate["fields"] = {name: {"absent": surveys} for name, surveys in absent.items()}
    tokenizers = workflow.config["tokenizers"]
    tokenizers["fields"] = ["W-1"]
    tokenizers["spectrum"] |= {"groups": ["gaiaxp_bp", "ztf_g", "ztf_r"], "max_epochs": 96}
    tokenizers["image"]["bands"] = ["G", "R"]
    workflow.config["simulate"] = simulate
    workflow.simulate("cubes")
    for name in absent:
        path = folder / f"cubes/datacube_{name}.parquet"
        table = pq.read_table(path)
        names = ["source" if column == "id" else column for column in table.column_names]
        pq.write_table(table.rename_columns(names), path)
    del workflow.config["simulate"]
    workflow.config["paths"] = {
        "results": "own",
        "datacube_template": "cubes/datacube_{field}.parquet",
    }
    workflow.config["columns"] = {"id": "source"}
    labels = {"redshift": "my_z", "kind": "my_class", "stellar": ["my_teff"], "tied": []}
    sections = ["scalars", "spectra", "images", "transformer", "downstream", "embeddings"]
    downstream = {"given": ["scalar"]}
    workflow.config["evaluation"] |= {
        "sections": sections, "labels": labels, "downstream": downstream
    }  # fmt: skip
    workflow.run(Layout("own").report)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Layout:
    """The paths of a run with light curves, to the report: two cubes of one's own.

    Their ids have another name, they have no redshift, and one that trains has no image. The labels
    named are columns that no cube has.
    """
    return Layout(str(made_once(tmp_path_factory, "lacking", make).folder / "own"))


def test_light_curves_are_tokenized(run):
    """Ragged codes of a codebook of three features a group."""
    tokenizer = SpectrumTokenizer.load(run.spectrum_tokenizer)
    assert tokenizer["ztf_r"].centroids.shape == (64, 3)
    tokens = load_spectrum_tokens(run.spectrum_tokens().format(field="W-1"), tokenizer.hash)
    lengths = np.diff(tokens.groups["ztf_r"].indptr)
    assert len(np.unique(lengths)) > 3
    assert lengths.max() > 96


def test_light_curves_are_trained_on(run):
    """Their blocks stand in the vocabulary, and training took two steps or more."""
    vocabulary = read_json(run.vocab_spec)
    assert vocabulary["blocks"]["ztf_r"] == 97
    import torch

    state = torch.load(run.final_model, weights_only=True)
    assert state["step"] >= 2


def test_light_curves_are_decoded(run):
    """The model says what codes stand for: magnitudes of the epochs, from the first to the 96th."""
    from astromodal.inference import AstroModel

    model = AstroModel.from_run(run.run)
    objects = model.open(run.sequences("W-1"))
    found = model.decode(objects, "ztf_r")["ztf_r"]
    codes = objects.codes("ztf_r")
    lengths = (codes[:, 1:] != MISSING_CODE).sum(axis=1)
    assert np.diff(found.curves.indptr).tolist() == lengths.tolist()
    assert found.ids.tolist() == objects.ids[objects.has("ztf_r")].tolist()
    median = model.tokenizers.spectrum.decode_scale("ztf_r", codes[:, 0])
    assert np.abs(found.curves.mag - np.repeat(median, lengths)).max() < 5
    assert (found.time_unit, found.mag_unit) == ("d", "mag")


def test_light_curves_are_evaluated(run):
    """With numbers of every group."""
    numbers = read_json(run.evaluation("spectra"))["numbers"]["light_curves"]
    assert list(numbers) == ["ztf_g", "ztf_r"]
    assert all(n["n_curves"] > 0 for n in numbers.values())
