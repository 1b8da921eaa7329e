import numpy as np
import pytest

from astromodal.config.schema import SelectionSettings, SplitSettings
from astromodal.data.cube import Cube
from astromodal.data.splits import split_field
from astromodal.errors import FormatError
from astromodal.tokenizers.scalars.quantiles import ColumnSummaries
from astromodal.tokenizers.scalars.tokenizer import (
    ScalarTokenizer,
    encode_field_scalars,
    load_scalar_tokens,
)

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
