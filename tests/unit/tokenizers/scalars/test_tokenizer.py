"""The scalar tokenizer, and the codes of a field."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from astromodal.config.schema import SelectionSettings, SplitSettings
from astromodal.core.vocab import MISSING_CODE
from astromodal.data.columns import largest_bin, smallest_bin
from astromodal.data.cube import Cube
from astromodal.data.splits import split_field
from astromodal.errors import FormatError
from astromodal.tokenizers.scalars.quantiles import ColumnSummaries
from astromodal.tokenizers.scalars.tokenizer import (
    ScalarTokenizer,
    encode_field_scalars,
    load_scalar_tokens,
)

FLOATS = st.floats(-1e9, 1e9, allow_subnormal=False) | st.sampled_from([0.0, 8e-8, 1e6])


def fit(x, n_bins=8, parts=1):
    x = np.asarray(x, dtype=float)
    summaries = [ColumnSummaries.of(part[:, None], ["x"]) for part in np.array_split(x, parts)]
    return ScalarTokenizer.fit(ColumnSummaries.merge(summaries), ["x"], n_bins)


@given(st.lists(FLOATS, min_size=1, max_size=80), st.lists(FLOATS, min_size=1), st.integers(2, 9))
def test_a_decoded_value_lies_in_its_bin(training, values, n_bins):
    """decode(encode(x)) is coded as x is, for values seen in training or not."""
    tokenizer = fit(training, n_bins)
    codes = tokenizer.encode(np.array(values)[:, None])
    assert (tokenizer.encode(tokenizer.decode(codes)) == codes).all()


@given(st.lists(FLOATS, min_size=1, max_size=80), st.integers(1, 4))
def test_codes_keep_the_order_of_values(training, parts):
    """A larger value never gets a smaller code."""
    tokenizer = fit(training, parts=parts)
    codes = tokenizer.encode(np.sort(training)[:, None])[:, 0].astype(int)
    assert (np.diff(codes) >= 0).all()


def test_bins_of_equal_mass_by_hand():
    """Eight values in four bins: pairs, decoded to their means."""
    tokenizer = fit([1, 2, 3, 4, 5, 6, 7, 80], n_bins=4)
    assert tokenizer.edges[0].tolist() == [1, 2, 4, 6, 80]
    assert tokenizer.centers[0].tolist() == [1.5, 3.5, 5.5, 43.5]
    assert tokenizer.encode(np.array([[2.0], [2.1], [-9], [1e9]]))[:, 0].tolist() == [0, 1, 0, 3]


def redshifts(n_bins, name="specz_z"):
    """Bins of 2,000 stars of almost no redshift and 2,000 galaxies, as a redshift or otherwise."""
    rng = np.random.default_rng(0)
    z = np.concatenate([rng.normal(0, 2e-4, 2000), rng.gamma(2.0, 0.1, 2000)])
    return ScalarTokenizer.fit(ColumnSummaries.of(z[:, None], [name]), [name], n_bins)


def test_stars_take_few_bins_of_redshift():
    """All bins are in use, none is much narrower than 5e-4, and the galaxies' bins hold as much."""
    found, equal = redshifts(64), redshifts(64, "other")
    assert found.n_codes[0] == 64
    assert np.diff(found.edges[0])[1:].min() > 0.8 * smallest_bin("specz_z")
    assert (np.abs(equal.centers[0]) < 1e-3).sum() > 30
    assert (np.abs(found.centers[0]) < 1e-3).sum() <= 6
    narrow = np.diff(found.edges[0]) < largest_bin("specz_z") / 2  # the others are of the tail
    galaxies = found.weights[0][(found.centers[0] > 0.01) & narrow]
    assert galaxies.max() < 1.3 * galaxies.min()


def test_there_are_no_more_bins_than_fit_the_range():
    """Where a column's range holds fewer bins of the smallest width, it has as many."""
    z = np.linspace(0, 5.2 * smallest_bin("specz_z"), 400)
    found = ScalarTokenizer.fit(ColumnSummaries.of(z[:, None], ["specz_z"]), ["specz_z"], 64)
    assert found.n_codes[0] == 5


def temperatures(n_bins, name="gaia_teff_gspphot"):
    """Bins of 5,000 stars, one in a hundred of them hot, as temperatures or otherwise."""
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(5500, 800, 4950), rng.uniform(9000, 32000, 50)])
    return ScalarTokenizer.fit(ColumnSummaries.of(values[:, None], [name]), [name], n_bins)


def test_hot_stars_have_bins_of_their_own():
    """A wide tail gets bins of the largest width; the others are less than twice as wide."""
    found, equal = temperatures(128), temperatures(128, "other")
    widths, plain = np.diff(found.edges[0, :129]), np.diff(equal.edges[0])
    assert plain.max() > 5 * largest_bin("gaia_teff_gspphot")
    assert widths.max() < 2 * largest_bin("gaia_teff_gspphot")
    assert np.median(widths) < 2 * np.median(plain)


def test_only_angles_have_phases():
    """Half a turn of an ellipse is a whole one of its position angle; a magnitude has none."""
    values = np.linspace(-90, 90, 1801)
    names = ["theta_det", "mag_pstotal_r"]
    summaries = ColumnSummaries.of(np.stack([values, values], axis=1), names)
    phases = ScalarTokenizer.fit(summaries, names, 4).phases
    np.testing.assert_allclose(phases[0], [-0.375, -0.125, 0.125, 0.375], atol=1e-3)
    assert np.isnan(phases[1]).all()


def test_a_tail_takes_at_most_half_of_the_bins():
    """Where there are few bins, those of the tail are wider."""
    found, equal = temperatures(16), temperatures(16, "other")
    used = int(found.n_codes[0])
    assert (found.centers[0, :used] > 9000).sum() <= 8
    assert (found.centers[0, :used] > 9000).sum() > (equal.centers[0] > 9000).sum()


def test_ties_collapse_to_fewer_bins():
    """A spike that fills several bins is one bin, and its value decodes exactly."""
    tokenizer = fit([*[0.0] * 70, *range(1, 31)], n_bins=10)
    assert tokenizer.n_codes[0] == 4
    assert tokenizer.decode(tokenizer.encode(np.array([[0.0]])))[0, 0] == 0


def test_a_constant_column_has_one_bin():
    """One value, one code, decoded exactly."""
    tokenizer = fit([3.25] * 5)
    assert tokenizer.n_codes.tolist() == [1]
    assert tokenizer.decode(tokenizer.encode(np.array([[7.0]])))[0, 0] == 3.25


@pytest.mark.parametrize("missing", [np.nan, np.inf, -np.inf])
def test_missing_stays_missing(missing):
    """What is missing is no bin's code, and decodes to NaN."""
    tokenizer = fit([1, 2, 3])
    codes = tokenizer.encode(np.array([[missing]]))
    assert codes[0, 0] == MISSING_CODE
    assert np.isnan(tokenizer.decode(codes)).all()


def test_a_column_without_training_data_is_all_missing():
    """No bins: every value is missing, and the table keeps the column's place."""
    summaries = ColumnSummaries.of(np.array([[np.nan, 1.0]]), ["empty", "full"])
    tokenizer = ScalarTokenizer.fit(summaries, ["empty", "full"], 4)
    assert tokenizer.encode(np.array([[5.0, 5.0]])).tolist() == [[MISSING_CODE, 0]]
    assert tokenizer.standardised().shape == (2, 4)


@pytest.mark.parametrize("parts", [1, 7, 40])
def test_rank_error_is_below_a_tenth_of_a_bin(parts):
    """Edges merged from many fields cut the training values where exact quantiles would."""
    x = np.random.default_rng(0).standard_t(1.5, size=80_000)
    edges = fit(x, 1024, parts).edges[0, 1:-1]
    ranks = np.searchsorted(np.sort(x), edges, side="right") / len(x) * 1024
    assert np.abs(ranks - np.arange(1, 1024)).max() < 0.1


def test_an_absurd_tail_does_no_harm():
    """A last bin that ends at 1e6 decodes to its mean, and the others are untouched."""
    x = np.r_[np.linspace(0, 1, 9999), 1e6]
    decoded = fit(x, 100).decode(fit(x, 100).encode(x[:9000, None]))[:, 0]
    assert np.abs(decoded - x[:9000]).max() < 0.011


@given(st.floats(1e-3, 1e3), st.floats(-1e3, 1e3))
def test_standardised_centers_have_no_unit(scale, shift):
    """Another unit or zero point of a column leaves its standardised centroids unchanged."""
    x = np.random.default_rng(1).standard_t(2, size=500)
    one, other = fit(x).standardised(), fit(x * scale + shift).standardised()
    assert np.allclose(one, other, atol=1e-3)


def test_standardised_centers_tame_the_tail():
    """An error of 1e6 is some 14 units away, not a million."""
    table = fit(np.r_[np.random.default_rng(2).normal(size=999), 1e6], 100).standardised()
    assert 5 < table.max() < 16


def test_shuffled_rows_give_the_same_codes():
    """A value's code depends on nothing but the value."""
    x = np.random.default_rng(3).normal(size=200)
    tokenizer, order = fit(x), np.random.default_rng(4).permutation(200)
    codes = tokenizer.encode(x[:, None])
    assert (tokenizer.encode(x[order][:, None]) == codes[order]).all()


def test_foreign_codes_are_refused():
    """A code beyond the bins in use belongs to another tokenizer."""
    with pytest.raises(
        FormatError, match="codes of column 'x' must be below 3, got 5; encode again"
    ):
        fit([1, 2, 3], 4).decode(np.array([[5]], np.uint16))


def test_it_comes_back_from_disk(tmp_path):
    """Saved and loaded, it has the same hash and gives the same codes."""
    tokenizer = fit([1, 2, 3, 5, 8])
    tokenizer.save(tmp_path / "t.npz")
    loaded = ScalarTokenizer.load(tmp_path / "t.npz")
    assert loaded.hash == tokenizer.hash
    assert (loaded.encode(np.array([[4.0]])) == tokenizer.encode(np.array([[4.0]]))).all()


def test_a_changed_file_is_refused(tmp_path):
    """Content that does not match its own hash names both hashes."""
    from astromodal.storage.arrays import save_arrays

    tokenizer = fit([1, 2, 3])
    kind = {"format": "scalar_tokenizer", "version": 1}
    save_arrays(tmp_path / "t.npz", tokenizer.arrays(), hash="0123", **kind)
    with pytest.raises(FormatError, match=f"must be of hash 0123, got {tokenizer.hash}"):
        ScalarTokenizer.load(tmp_path / "t.npz")


COLUMNS = ["mag_pstotal_r", "gaia_parallax"]


@pytest.fixture
def tokens(write_cube):
    path = write_cube(
        {"id": [b"a", b"b", b"c"], "ra": [1.0] * 3, "dec": [1.0] * 3, COLUMNS[0]: [15.0, 30, 16]}
    )
    cube = Cube(path, "F1")
    split = split_field(cube, SplitSettings(), SelectionSettings())
    tokenizer = ScalarTokenizer.fit(
        ColumnSummaries.of(np.array([[15.0, 1], [16, 2]]), COLUMNS), COLUMNS, 2
    )
    return encode_field_scalars(cube, split, tokenizer)


def test_selected_rows_are_encoded_with_their_row_numbers(tokens):
    """Only rows within the cut, named by id and by row in the cube."""
    assert tokens.ids.tolist() == ["a", "c"]
    assert (tokens.row.tolist(), tokens.row.dtype) == ([0, 2], np.int32)


def test_absent_columns_are_missing_codes(tokens):
    """A column that the cube lacks keeps its place, all missing."""
    assert tokens.codes.tolist() == [[0, 65535], [1, 65535]]


def test_tokens_come_back_from_disk(tokens, tmp_path):
    """All arrays and both hashes survive the file."""
    tokens.save(tmp_path / "t.npz")
    again = load_scalar_tokens(tmp_path / "t.npz", tokens.tokenizer_hash)
    assert (again.input_hash, again.n_bins) == (tokens.input_hash, 2)
    assert (again.codes == tokens.codes).all()
    assert again.columns.tolist() == COLUMNS


def test_another_tokenizer_s_codes_are_refused(tokens, tmp_path):
    """The error names both tokenizers by hash."""
    tokens.save(tmp_path / "t.npz")
    with pytest.raises(FormatError, match=f"tokenizer of hash 99, got {tokens.tokenizer_hash}"):
        load_scalar_tokens(tmp_path / "t.npz", "99")
