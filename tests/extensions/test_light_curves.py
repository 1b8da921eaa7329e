"""Light curves switched on: tokenized, packed, trained on and evaluated."""

import numpy as np
import pytest

from astromodal.core.vocab import MISSING_CODE
from astromodal.storage.json_files import read_json
from astromodal.tokenizers.spectra.tokenizer import SpectrumTokenizer
from astromodal.tokenizers.spectra.tokens import load_spectrum_tokens

pytestmark = pytest.mark.workflow


@pytest.fixture(scope="module")
def run(lacking):
    """The paths of a run with light curves, to the report."""
    return lacking[0]


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
