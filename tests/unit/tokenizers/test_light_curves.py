"""Light curves through the spectrum tokenizer: fitted, encoded, decoded, stored."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from astromodal.core.vocab import MISSING_CODE
from astromodal.data import spectra
from astromodal.data.cube import Cube
from astromodal.data.spectra import read_light_curves
from astromodal.errors import ConfigError, FormatError
from astromodal.evaluation.metrics import robust_sigma
from astromodal.surveys.light_curves import LightCurveBatch
from astromodal.tokenizers.light_curves import (
    MEDIAN_LEEWAY,
    LightCurveGroupTokenizer,
    compress,
    expand,
    median_magnitude,
)
from astromodal.tokenizers.quantizers.nearest import NearestCentroid
from astromodal.tokenizers.spectra import tokens as spectrum_tokens
from astromodal.tokenizers.spectra.codebook import (
    SpectrumCodebook,
    SpectrumSamples,
    sample_features,
    train_codebook,
)
from astromodal.tokenizers.spectra.tokenizer import SpectrumTokenizer
from astromodal.tokenizers.spectra.tokens import encode_field_spectra, load_spectrum_tokens
from helpers.light_curves import SETTINGS, curve_columns, reordered, tokenizer_of

COLUMNS = curve_columns()
N = len(COLUMNS["ztf_mag_r"])


@pytest.fixture
def make(write_cube):
    """A cube of simulated light curves, its rows in any order."""

    def cube(order=range(N), columns=COLUMNS, field="F1"):
        ids = [f"o{i}".encode() for i in order]
        return Cube(write_cube({"id": ids, **reordered(columns, list(order))}, field), field)

    return cube


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path_factory.mktemp("fit") / "datacube_F0.parquet"
    pq.write_table(pa.table({"id": [str(i) for i in range(N)], **COLUMNS}), path)
    return tokenizer_of(Cube(path, "F0"))


def test_a_curve_has_a_code_an_epoch(make, fitted):
    """Ragged as read; a row without a curve has neither codes nor a scale."""
    cube = make()
    tokens = encode_field_spectra(cube, fitted)
    curves = LightCurveBatch.join(list(read_light_curves(cube, "ztf_r")))
    assert set(tokens.row.tolist()) >= set(curves.row.tolist())
    lengths = dict(zip(curves.row.tolist(), curves.lengths().tolist(), strict=True))
    group = tokens.groups["ztf_r"]
    assert np.diff(group.indptr).tolist() == [lengths.get(r, 0) for r in tokens.row.tolist()]
    assert len(set(lengths.values())) > 3
    assert ((group.scale == MISSING_CODE) == (np.diff(group.indptr) == 0)).all()
    assert tokens.counts["ztf_r"] == {"n_spectra": len(curves.row), "n_live": len(curves.row)}
    assert tokens.counts["desi_r"] == {"n_spectra": 0, "n_live": 0}


def test_codes_do_not_depend_on_the_order_of_rows(make, fitted):
    """Every object's codes follow from its own light curve alone."""
    order = np.random.default_rng(1).permutation(N).tolist()
    plain = encode_field_spectra(make(), fitted)
    other = encode_field_spectra(make(order, field="F2"), fitted)
    place = {name: i for i, name in enumerate(other.ids.tolist())}
    for i, name in enumerate(plain.ids.tolist()):
        for group in ("ztf_g", "ztf_r"):
            np.testing.assert_array_equal(plain.codes(group, i), other.codes(group, place[name]))


@pytest.mark.parametrize("rows", [1, 7])
def test_codes_do_not_depend_on_the_rows_read_at_a_time(make, fitted, monkeypatch, rows):
    """Codes, scales and the hash of the input are the same."""
    plain = encode_field_spectra(make(), fitted)
    sliced = lambda *given: spectra.read_group(*given, rows)  # noqa: E731
    monkeypatch.setattr(spectrum_tokens, "read_group", sliced)
    again = encode_field_spectra(make(), fitted)
    assert again.input_hash == plain.input_hash
    for name, array in vars(plain.groups["ztf_r"]).items():
        np.testing.assert_array_equal(getattr(again.groups["ztf_r"], name), array)


def test_codes_do_not_depend_on_the_order_of_epochs(make, fitted):
    """A list that is not in time order has the codes of one that is."""
    backwards = {
        name: [None if own is None else own[::-1] for own in lists]
        for name, lists in COLUMNS.items()
    }
    plain = encode_field_spectra(make(), fitted).groups["ztf_g"]
    turned = encode_field_spectra(make(columns=backwards), fitted).groups["ztf_g"]
    np.testing.assert_array_equal(turned.codes, plain.codes)


@pytest.mark.parametrize("group", ["ztf_g", "ztf_r"])
def test_decoded_curves_follow_the_observed_ones(make, fitted, group):
    """Magnitudes to half their noise; median, errors and steps to some percent; first time 0."""
    tokens = encode_field_spectra(make(), fitted).groups[group]
    curves = LightCurveBatch.join(list(read_light_curves(make(), group)))
    scale = tokens.scale[tokens.scale != MISSING_CODE]
    found = fitted.decode_curves(group, tokens.codes, curves.indptr, scale)
    assert robust_sigma((found.mag - curves.mag) / curves.error) < 0.5
    assert robust_sigma(np.log(found.error / curves.error)) < 0.3
    assert (found.time[curves.indptr[:-1]] == 0).all()
    step = np.diff(curves.time, prepend=0)
    step[curves.indptr[:-1]] = 0
    assert robust_sigma(np.log1p(found.step) - np.log1p(step)) < 0.15


def test_the_median_is_the_scale(make, fitted):
    """Its column holds magnitudes, not their logarithms."""
    curves = LightCurveBatch.join(list(read_light_curves(make(), "ztf_r")))
    _, scale = fitted.encode_curves("ztf_r", curves)
    median = [np.median(m) for m in np.split(curves.mag, curves.indptr[1:-1])]
    decoded = fitted.decode_scale("ztf_r", scale)
    np.testing.assert_allclose(decoded, median, atol=0.01)


def test_epochs_correct_a_rounded_median(make):
    """With three bins of medians, magnitudes are nearer than the medians, up to the leeway."""
    coarse = tokenizer_of(make(), n_bins=3)
    curves = LightCurveBatch.join(list(read_light_curves(make(), "ztf_r")))
    codes, scale = coarse.encode_curves("ztf_r", curves)
    found = coarse.decode_curves("ztf_r", codes, curves.indptr, scale)
    median = np.array([np.median(m) for m in np.split(curves.mag, curves.indptr[1:-1])])
    off = coarse.decode_scale("ztf_r", scale) - median
    left = np.array([np.median(d) for d in np.split(found.mag - curves.mag, curves.indptr[1:-1])])
    within = np.abs(off) < MEDIAN_LEEWAY
    assert np.abs(left[within]).mean() < np.abs(off[within]).mean()


def test_a_group_without_training_data_is_missing(make, write_cube, fitted):
    """Its light curves have no codes and no scale, and are counted."""
    nothing = tokenizer_of(Cube(write_cube({"id": ["a"]}, "F9"), "F9"))
    assert nothing["ztf_g"].centroids.shape == (0, 3)
    tokens = encode_field_spectra(make(), nothing)
    assert tokens.groups["ztf_g"].codes.size == 0
    assert (tokens.groups["ztf_g"].scale == MISSING_CODE).all()
    assert tokens.counts["ztf_g"]["n_live"] > 0


def test_samples_are_of_the_rows_to_fit_on(make, tmp_path):
    """Features and medians of the chosen rows, counts of all; from disk and merged too."""
    chosen = np.arange(N) < 10
    samples = sample_features(make(), SETTINGS, chosen, seed=0)
    samples.save(tmp_path / "s.npz")
    for found in (samples, SpectrumSamples.load(tmp_path / "s.npz")):
        assert found["ztf_r"].features.shape[1] == 3
        assert (found["ztf_r"].n_objects, found["ztf_r"].n_live) == (8, 32)
    merged = SpectrumSamples.merge([samples, samples])["ztf_r"]
    assert len(merged.features) == 2 * len(samples["ztf_r"].features)


def test_tokenizer_codebook_and_tokens_come_back_from_disk(make, fitted, tmp_path):
    """With the same hash and the same codes."""
    fitted.save(tmp_path / "t.npz")
    again = SpectrumTokenizer.load(tmp_path / "t.npz")
    assert again.hash == fitted.hash
    assert again.standardised("ztf_r").shape == (512, 3)
    made = encode_field_spectra(make(), again)
    made.save(tmp_path / "codes.npz")
    found = load_spectrum_tokens(tmp_path / "codes.npz", fitted.hash)
    np.testing.assert_array_equal(found.groups["ztf_g"].indptr, made.groups["ztf_g"].indptr)
    samples = sample_features(make(), SETTINGS, np.ones(N, bool), 0)["ztf_g"]
    train_codebook(samples, "ztf_g", SETTINGS).save(tmp_path / "c.npz")
    np.testing.assert_array_equal(
        SpectrumCodebook.load(tmp_path / "c.npz", "ztf_g").centroids, fitted["ztf_g"].centroids
    )


def test_the_wrong_kind_of_group_is_refused(fitted):
    """Spectra have encode, light curves encode_curves; each error names the other."""
    nothing = np.empty(0, np.uint16)
    with pytest.raises(ConfigError, match="must be one of spectra, got ztf_r; use encode_curves"):
        fitted.encode("ztf_r", np.ones((1, 5)), np.ones((1, 5)))
    with pytest.raises(ConfigError, match="must be one of light curves, got desi_r; use encode"):
        fitted.decode_curves("desi_r", nothing, np.zeros(1, int), nothing)


def batch(curves, times=None):
    """A batch of curves of magnitudes, of error 0.1, an epoch a day or at the times given."""
    times = times or [np.arange(len(curve)) for curve in curves]
    mag = np.array([m for curve in curves for m in curve], dtype=float)
    indptr = np.cumsum([0, *(len(curve) for curve in curves)])
    time = np.array([t for own in times for t in own], dtype=float)
    row = np.arange(len(curves), dtype=np.int32)
    return LightCurveBatch(row, indptr, time, mag, np.full(len(mag), 0.1))


@given(st.lists(st.lists(st.floats(-30, 30), max_size=7), max_size=6))
def test_medians_are_those_of_each_curve(curves):
    """Of even and odd numbers of epochs, and NaN of none."""
    expected = [np.median(curve) if curve else np.nan for curve in curves]
    np.testing.assert_allclose(median_magnitude(batch(curves)), np.array(expected, float))


def test_features_by_hand():
    """0.05 mag off is arcsinh(1), an error of 0.1 ln(10), a step of a day ln(2); the first 0."""
    features = compress(batch([[18.0, 18.05], [15.0]], [[5.0, 6.0], [9.0]]), np.array([18.0, 15.0]))
    expected = [[0, 0], [np.arcsinh(1), np.log(2)], [0, 0]]
    np.testing.assert_allclose(features[:, [0, 2]], expected, atol=1e-12)
    np.testing.assert_allclose(features[:, 1], np.log(10))


@given(st.floats(-10, 30), st.floats(1e-4, 1e3), st.floats(0, 1e4))
def test_expanding_undoes_compressing(mag, error, step):
    """Magnitude, error and step come back."""
    curve = LightCurveBatch(
        np.zeros(1, np.int32), np.array([0, 2]), np.array([0.0, step]), np.array([18.0, mag]),
        np.array([0.1, error]),
    )  # fmt: skip
    found = expand(compress(curve, np.array([18.0])), np.array([18.0, 18.0]))
    assert [part[1] for part in found] == pytest.approx([mag, error, step], rel=1e-6, abs=1e-6)


def test_a_step_is_never_negative():
    """A centroid a little below 0 decodes to no step."""
    assert expand(np.array([[0.0, 1.0, -0.1]]), np.zeros(1))[2].tolist() == [0.0]


CENTROIDS = np.array([[0, np.log(10), 0], [0, np.log(10), np.log(3)]], dtype=np.float32)
TOKENIZER = LightCurveGroupTokenizer("ztf_r", NearestCentroid(CENTROIDS), np.zeros(3), np.ones(3))


def test_decoded_curves_by_hand():
    """Steps of 2 days add up from each curve's own first epoch; a missing code adds none."""
    codes = np.array([1, 1, 1, 0, MISSING_CODE, 1], dtype=np.uint16)
    found = TOKENIZER.decode(codes, np.array([0, 3, 3, 6]), np.array([18.0, 19.0, 20.0]))
    np.testing.assert_allclose(found.step, [0, 2, 2, 0, np.nan, 2], rtol=1e-6)
    np.testing.assert_allclose(found.time, [0, 2, 4, 0, 0, 2], rtol=1e-6)
    np.testing.assert_allclose(found.mag, [18, 18, 18, 20, np.nan, 20])
    np.testing.assert_allclose(found.error, [0.1, 0.1, 0.1, 0.1, np.nan, 0.1], rtol=1e-6)


def test_no_curve_decodes_to_none():
    """Nothing in, nothing out."""
    found = TOKENIZER.decode(np.empty(0, np.uint16), np.zeros(1, np.int64), np.empty(0))
    assert found.time.size == 0


def test_a_code_beyond_the_codebook_is_refused():
    """It was made by another tokenizer."""
    with pytest.raises(FormatError, match="codes of group ztf_r must be below 2, got 7"):
        TOKENIZER.decode(np.array([7], np.uint16), np.array([0, 1]), np.array([18.0]))


def test_without_a_codebook_all_is_missing():
    """A group that no training field has gets no real code."""
    empty = LightCurveGroupTokenizer(
        "ztf_r", NearestCentroid(CENTROIDS[:0]), np.zeros(3), np.ones(3)
    )
    curve = LightCurveBatch(
        np.zeros(1, np.int32), np.array([0, 1]), np.zeros(1), np.full(1, 18.0), np.full(1, 0.1)
    )
    assert empty.encode(curve, np.full(1, 18.0)).tolist() == [MISSING_CODE]
