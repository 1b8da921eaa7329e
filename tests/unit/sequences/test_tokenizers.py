"""The tokenizers of a run, the standardised centroids of their codes, and the vocabulary file."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from astromodal.core.paths import ExportLayout, Layout
from astromodal.core.vocab import VocabSpec
from astromodal.errors import FormatError
from astromodal.sequences.tokenizers import (
    TokenizerFiles,
    Tokenizers,
    check_hashes,
    cosine_features,
    read_vocabulary,
    write_vocabulary,
)
from astromodal.storage.json_files import read_json, write_json
from helpers.survey import HASHES


def test_features_by_hand():
    """Ranks 1/4 and 3/4 give √2 cos(π/4), √2 cos(π/2) and their mirror images."""
    found = cosine_features(np.array([[10.0], [-3.0]]), 2)
    np.testing.assert_allclose(found, [[-1, 0], [1, 0]], atol=1e-6)


@given(st.integers(1, 4), st.integers(1, 40))
def test_features_have_unit_variance(dims, n_features):
    """Over codes with independent dimensions each feature has mean 0 and variance about 1."""
    centroids = np.random.default_rng(0).normal(size=(3000, dims))
    found = cosine_features(centroids, n_features)
    assert found.shape == (3000, n_features)
    assert abs(found.mean()) < 0.1
    np.testing.assert_allclose(found.var(axis=0), 1, atol=0.35)


def test_features_do_not_depend_on_units():
    """Ranks survive any increasing map of a dimension."""
    centroids = np.random.default_rng(0).normal(size=(50, 2))
    found = cosine_features(np.exp(centroids * [1, 3]), 8)
    np.testing.assert_array_equal(found, cosine_features(centroids, 8))


def test_codes_without_training_samples_take_no_ranks():
    """Features of the others are as if they were alone; none seen counts as all."""
    centroids = np.array([[1.0], [2.0], [3.0], [90.0]])
    found = cosine_features(centroids, 2, np.array([True, False, True, False]))
    np.testing.assert_allclose(found[[0, 2]], cosine_features(centroids[[0, 2]], 2), atol=1e-6)
    nothing = cosine_features(centroids, 2, np.zeros(4, dtype=bool))
    np.testing.assert_array_equal(nothing, cosine_features(centroids, 2))


def test_frequencies_that_codes_cannot_show_are_zero():
    """Of three codes, frequencies 3 and above are constant or repeat 0, 1 and 2."""
    found = cosine_features(np.array([[1.0], [2.0], [3.0]]), 8)
    assert (found[:, :2] != 0).any(axis=0).all()
    assert not found[:, 2:].any()


def test_features_of_values_by_hand(survey):
    """Standardised value, its sinh and a third of the square of that, clipped; 0 where not used."""
    scalar, used = survey.tables.scalar.copy(), survey.tables.n_scalar.copy()
    scalar[0, :3], used[0] = [0.5, -3.0, 9.0], 3
    found = replace(survey.tables, scalar=scalar, n_scalar=used).value_features()
    assert found.shape == (*scalar.shape, 3)
    half = np.sinh(0.5)
    wanted = [[0.5, half, half**2 / 3], [-3, -4, 16 / 3], [4, 4, 16 / 3]]
    np.testing.assert_allclose(found[0, :3], wanted, rtol=1e-6)
    assert not found[0, 3:].any()


def test_features_of_an_angle_close_its_turn(survey):
    """Bins at both ends of a position angle are as close as others, and no mean is compared."""
    scalar, phases = survey.tables.scalar, np.full(survey.tables.scalar.shape, np.nan)
    phases[1] = (np.arange(16) + 0.5) / 16 - 0.5
    tables = replace(survey.tables, phases=phases)
    found = tables.value_features()[1]
    steps = np.linalg.norm(found - np.roll(found, 1, axis=0), axis=1)
    assert steps[0] < 1.1 * steps.max() < 2.0
    assert steps[0] == pytest.approx(steps[8])
    np.testing.assert_allclose(found[:, 0] ** 2 + found[:, 1] ** 2, 1, rtol=1e-6)
    columns = tables.of_range(survey.layout["scalar"].ranges[0], survey.layout.spec)
    assert not columns[1].any()
    np.testing.assert_array_equal(columns[0, :, 0], scalar[0])


def test_close_codes_have_close_features(survey):
    """Neighbouring bins of a column are more alike than distant ones; unused ids are 0."""
    spec = survey.layout.spec
    tables = replace(survey.tables, n_scalar=np.array([16, 10, 0, 16, 16, 16, 16]))
    features = tables.features(spec, 4)
    first = features[spec.column_offset(0) :][:16]
    distance = np.linalg.norm(first - first[0], axis=1)
    assert distance[1] < distance[2] < distance[8]
    assert not features[: spec.image_offset].any()
    assert not features[spec.column_offset(1) + 10 : spec.column_offset(3)].any()


def test_ranges_get_their_own_tables(survey):
    """Columns keep their order; brightness and the scale of a group are columns of their own."""
    layout = survey.layout
    scalar = np.arange(10 * 16, dtype=np.float32).reshape(10, 16)
    tables = replace(survey.tables, scalar=scalar)
    columns = tables.of_range(layout["scalar"].ranges[0], layout.spec)
    np.testing.assert_array_equal(columns, scalar[:3, :, None])
    scale, bins = layout["desi_r"].ranges
    np.testing.assert_array_equal(tables.of_range(scale, layout.spec), scalar[9:, :, None])
    brightness = tables.of_range(layout["image"].ranges[0], layout.spec)
    np.testing.assert_array_equal(brightness, scalar[3:8, :, None])
    wanted = tables.spectrum["desi_r"][None]
    np.testing.assert_array_equal(tables.of_range(bins, layout.spec), wanted)


@pytest.mark.parametrize("name", ["image", "desi_b"])
def test_tables_of_another_size_are_refused(survey, name):
    """Centroids of another config would be other ids' centroids."""
    tables = survey.tables
    short = tables.image[:9]
    if name == "image":
        tables = replace(tables, image=short)
    else:
        tables = replace(tables, spectrum={**tables.spectrum, name: short})
    with pytest.raises(FormatError, match=f"{name} tokenizer: codes must be 16, got 9"):
        tables.check(survey.layout.spec)


def test_tables_are_made_of_the_tokenizers():
    """Scalar columns come first, then brightness of cutouts, then the spectra's scales."""
    scalar = SimpleNamespace(
        standardised=lambda: np.ones((2, 4)), n_codes=np.array([4, 3]), hash="s",
        phases=np.array([[0.5] * 4, [np.nan] * 4]),
    )  # fmt: skip
    none = np.full((1, 4), np.nan)
    scales = SimpleNamespace(
        standardised=lambda: np.full((1, 4), 2.0), n_codes=np.array([2]), phases=none
    )
    group = SimpleNamespace(centroids=np.zeros((3, 2)))
    spectrum = SimpleNamespace(
        scales=scales,
        groups={"desi_b": group},
        standardised=lambda _: np.zeros((8, 2)),
        seen={"desi_b": np.array([True, False, True])},
        hash="p",
    )
    bins = SimpleNamespace(
        standardised=lambda: np.full((1, 4), 3.0), n_codes=np.array([1]), phases=none
    )
    image = SimpleNamespace(
        standardised=lambda: np.zeros((6, 2)),
        centroids=np.zeros((5, 2)),
        hash="i",
        codebook=SimpleNamespace(bins=bins),
    )
    tokenizers = Tokenizers(scalar, spectrum, image)
    tables = tokenizers.tables()
    assert tables.scalar[:, 0].tolist() == [1, 1, 3, 2]
    assert tables.n_scalar.tolist() == [4, 3, 1, 2]
    assert tables.are_angles.tolist() == [True, False, False, False]
    assert (tables.n_image, tables.n_spectrum) == (5, {"desi_b": 3})
    assert tables.seen["desi_b"].tolist() == [True, False, True]
    assert tokenizers.hashes() == {"image": "i", "scalar": "s", "spectrum": "p"}


@pytest.mark.parametrize("paths", [Layout("results"), ExportLayout("exported")])
def test_tokenizer_files_are_named_by_a_layout(paths):
    """Each path goes to the tokenizer of its name, in a run's folder and in an exported one."""
    files = TokenizerFiles.of(paths)
    assert files == TokenizerFiles(
        scalar=paths.scalar_tokenizer,
        spectrum=paths.spectrum_tokenizer,
        autoencoder=paths.autoencoder,
        image_codebook=paths.image_codebook,
    )


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
    assert values["blocks"] == {"image": 9, "scalar": 3, "desi_b": 17, "desi_r": 17}


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
