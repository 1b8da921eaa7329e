"""The vocabulary file."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from astromodal.core.vocab import VocabSpec
from astromodal.errors import FormatError
from astromodal.sequences.vocabulary import check_hashes, read_vocabulary, write_vocabulary
from astromodal.storage.json_files import read_json, write_json
from helpers.survey import HASHES

BRIGHTNESS = ("image_x", "image_y", "image_flux_R", "image_concentration_R", "image_peak_R")


@pytest.fixture
def tokenizers(survey):
    scales = SimpleNamespace(columns=("spectrum_scale_desi_b", "spectrum_scale_desi_r"))
    bins = SimpleNamespace(columns=BRIGHTNESS)
    return SimpleNamespace(
        image=SimpleNamespace(codebook=SimpleNamespace(bins=bins)),
        scalar=SimpleNamespace(columns=("a", "b", "c")),
        spectrum=SimpleNamespace(scales=scales),
        tables=lambda: survey.tables,
        hashes=lambda: HASHES,
    )


def test_a_vocabulary_is_read_back(tmp_path, survey, tokenizers):
    """The file holds the spec, the columns in the order of their ids, and the hashes."""
    path = tmp_path / "vocab_spec.json"
    write_vocabulary(path, survey.layout, ("a", "b", "c"), tokenizers)
    values = read_vocabulary(path, survey.layout)
    assert VocabSpec.from_dict(values) == survey.layout.spec
    assert values["columns"] == [
        "a", "b", "c", *BRIGHTNESS, "spectrum_scale_desi_b", "spectrum_scale_desi_r",
    ]  # fmt: skip
    assert values["tokenizer_hashes"] == HASHES
    assert values["blocks"] == {"image": 9, "scalar": 3, "desi_b": 9, "desi_r": 9}


def test_tokenizers_of_other_columns_are_refused(tmp_path, survey, tokenizers):
    """Columns of another config would be other ids."""
    with pytest.raises(FormatError, match=r"scalar tokenizer: columns must be \['a', 'b'\], got"):
        write_vocabulary(tmp_path / "v.json", survey.layout, ("a", "b"), tokenizers)
    assert not (tmp_path / "v.json").exists()


def test_a_codebook_of_another_size_is_refused(tmp_path, survey, tokenizers):
    """The tables' sizes are checked before anything is written."""
    short = type(survey.tables)(**{**vars(survey.tables), "image": np.zeros((3, 2))})
    tokenizers.tables = lambda: short
    with pytest.raises(FormatError, match="image tokenizer: codes must be 16, got 3"):
        write_vocabulary(tmp_path / "v.json", survey.layout, ("a", "b", "c"), tokenizers)


def test_a_vocabulary_of_another_config_is_refused(tmp_path, survey, tokenizers):
    """The first entry that differs is named."""
    path = tmp_path / "vocab_spec.json"
    write_vocabulary(path, survey.layout, ("a", "b", "c"), tokenizers)
    write_json(path, {**read_json(path), "v_image": 2048})
    with pytest.raises(FormatError, match=r"v_image must be 16, as in the config, got 2048"):
        read_vocabulary(path, survey.layout)


def test_hashes_that_agree_pass():
    """What was made with the vocabulary's tokenizers is taken."""
    check_hashes({"tokenizer_hashes": HASHES}, HASHES, "x")


def test_hashes_that_differ_are_refused():
    """Both hashes are named, and whose they are."""
    must = "x.safetensors: scalar tokenizer must be of hash s, as in the vocabulary, got z"
    with pytest.raises(FormatError, match=must):
        check_hashes({"tokenizer_hashes": HASHES}, {**HASHES, "scalar": "z"}, "x.safetensors")
