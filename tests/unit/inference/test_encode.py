"""Rows are encoded as the workflow's jobs encode them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from astromodal.config.schema import ColumnSettings
from astromodal.core.vocab import MISSING_CODE
from astromodal.data.cube import Cube
from astromodal.errors import DataError, FormatError
from astromodal.sequences.store import write_sequences
from helpers.model import COLUMNS, cube_table


def test_blocks_and_codes(encoded, model):
    """Every row is an object, with the blocks that it has and the tokenizers' codes."""
    table = cube_table()
    assert encoded.ids.tolist() == [f"o{i}" for i in range(12)]
    assert encoded.row.tolist() == list(range(12))
    assert encoded.has("image").tolist() == [i % 2 == 0 for i in range(12)]
    assert encoded.has("desi_r").tolist() == [i % 3 == 0 for i in range(12)]
    values = np.stack([table[name].to_numpy() for name in COLUMNS], axis=1)
    np.testing.assert_array_equal(encoded.codes("scalar"), model.tokenizers.scalar.encode(values))
    assert encoded.codes("image").shape == (6, 11 + 64)
    assert encoded.codes("desi_r").shape == (4, 17)


@pytest.mark.parametrize("which", [np.arange(12) % 3 == 0, np.array([0, 3, 6, 9]), slice(0, 12, 3)])
def test_some_of_the_objects(encoded, which):
    """A mask, positions or a slice select objects with their ids, rows and codes."""
    some = encoded[which]
    assert len(some) == 4
    assert some.ids.tolist() == ["o0", "o3", "o6", "o9"]
    assert some.row.tolist() == [0, 3, 6, 9]
    assert some.has("image").tolist() == [True, False, True, False]
    np.testing.assert_array_equal(some.codes("scalar"), encoded.codes("scalar")[::3])
    np.testing.assert_array_equal(some.codes("desi_r"), encoded.codes("desi_r"))


def test_results_for_some_objects_are_those_for_all(model, encoded):
    """Predictions and embeddings do not depend on what other objects there are."""
    some = encoded[4:7]
    column = COLUMNS[0]
    few, every = (model.predict(o, column)[column] for o in (some, encoded))
    assert few.ids.tolist() == every.ids[4:7].tolist()
    np.testing.assert_allclose(few.probabilities, every.probabilities[4:7], atol=1e-5)
    np.testing.assert_allclose(model.embed(some), model.embed(encoded)[4:7], atol=1e-5)


@pytest.mark.parametrize("form", ["path", "text", "cube"])
def test_cubes_come_in_many_forms(tmp_path, model, encoded, form):
    """A file's path and an open cube are read like a table."""
    path = tmp_path / "datacube_F1.parquet"
    pq.write_table(cube_table(), path)
    source = {"path": path, "text": str(path), "cube": Cube(path, "F1")}[form]
    found = model.encode(source)
    for block in ("image", "scalar", "desi_r", "gaiaxp_bp"):
        np.testing.assert_array_equal(found.codes(block), encoded.codes(block))
    np.testing.assert_array_equal(found.ids, encoded.ids)


def test_no_row_is_cut(model):
    """A source that is too faint for training is encoded."""
    rows = {"id": ["a", "b"], "mag_pstotal_r": [30.0, None]}
    assert len(model.encode(rows)) == 2


def test_columns_of_other_names(model):
    """The identifying column may have another name."""
    found = model.encode({"name": [b"x"], "mag_pstotal_r": [20.0]}, ColumnSettings(id="name"))
    assert found.ids.tolist() == ["x"]


def test_rows_without_an_id_are_refused(model):
    """The error is that of a cube without ids."""
    with pytest.raises(DataError, match="column 'id' is missing"):
        model.encode({"ids": ["a"]})


def test_what_is_no_table_is_refused(model):
    """A number is not a table."""
    with pytest.raises(DataError, match="what to encode must be a path, a Cube, .* got int"):
        model.encode(3)


def test_a_path_without_a_file_is_refused(model, tmp_path):
    """The error names what is at the path."""
    with pytest.raises(DataError, match="no.parquet must be a cube, a parquet file, got no file"):
        model.encode(tmp_path / "no.parquet")
    with pytest.raises(DataError, match="must be a cube, a parquet file, got a folder"):
        model.encode(str(tmp_path))


def test_cutouts_of_other_bands_are_refused(model, tmp_path):
    """Cutouts in other bands are an error, not missing bands."""
    rows = {"id": ["a"], "splus_cut_R": [[0.0] * 1024], "splus_cut_Y": [[0.0] * 1024]}
    words = "bands of cutouts in the mapping of columns must be among the model's, U R Z, got Y"
    with pytest.raises(DataError, match=words):
        model.encode(rows)
    path = tmp_path / "datacube_F1.parquet"
    pq.write_table(pa.table(rows), path)
    with pytest.raises(DataError, match="field F1: bands of cutouts in datacube_F1.parquet must"):
        model.encode(path)


def test_an_unknown_block_is_refused(encoded):
    """The error suggests the nearest name."""
    with pytest.raises(DataError, match="block must be one of .*, got desi_x; nearest: 'desi_r'"):
        encoded.codes("desi_x")


def test_sequences_of_other_tokenizers_are_refused(tmp_path, model, encoded):
    """The error names the file and both hashes."""
    store = encoded.sequences.stores[0]
    names = ("tokens", "block_ptr", "block_type", "object_ptr", "split", "row")
    arrays = {name: getattr(store, name) for name in (*names, "id_bytes", "id_ptr")}
    hashes = model.tokenizers.hashes()
    write_sequences(tmp_path / "s.safetensors", arrays, encoded.layout, hashes)
    np.testing.assert_array_equal(model.embed(tmp_path / "s.safetensors"), model.embed(encoded))
    other = {**hashes, "scalar": "other"}
    write_sequences(tmp_path / "o.safetensors", arrays, encoded.layout, other)
    with pytest.raises(FormatError, match=f"scalar tokenizer .* {hashes['scalar']}.* got other"):
        model.embed(tmp_path / "o.safetensors")


def test_no_rows_are_no_objects(model):
    """An empty table has no objects, embeddings or predictions."""
    empty = model.encode(cube_table().slice(0, 0))
    assert len(empty) == 0
    assert model.embed(empty).shape == (0, 16)
    assert model.predict(empty, "specz_z")["specz_z"].mean.shape == (0,)


def test_rows_without_any_column_of_the_model_are_refused(model):
    """Rows without any column of the model would be empty objects, and are an error."""
    words = "columns of the mapping of columns must be some of those that the model reads, such as"
    with pytest.raises(DataError, match=f"{words} mag_pstotal_r, .* none of them, but id, rmag"):
        model.encode({"id": ["a"], "rmag": [18.0]})


def test_a_column_that_is_misspelt_is_warned_of(model):
    """The warning points at the call of `encode`, and names the column."""
    rows = {"id": ["a"], "mag_pstotal_i": [18.0], "MAG_pstotal_R": [18.0]}
    words = r"lack some .*: 'mag_pstotal_r' \(nearest: 'MAG_pstotal_R'\)"
    with pytest.warns(UserWarning, match=words) as caught:
        assert len(model.encode(rows)) == 1
    assert caught[0].filename == __file__


def test_sentinels_and_unreliable_redshifts_of_rows_are_missing(model):
    """Values are missing by presets, settings and flags, as in the workflow."""
    rows = {
        "id": ["a", "b", "c"], "mag_pstotal_r": [18.0, 99.0, 18.0],
        "specz_z": [0.1, 0.2, 0.3], "specz_f_z": ["KEEP(1)", "KEEP(2)", "REMOVE(3)"],
    }  # fmt: skip
    codes = model.encode(rows).codes("scalar") == MISSING_CODE
    magnitude, redshift = (model.columns.index(n) for n in ("mag_pstotal_r", "specz_z"))
    assert codes[:, magnitude].tolist() == [False, True, False]
    assert codes[:, redshift].tolist() == [False, False, True]
    own = ColumnSettings(flags={}, sentinels={"specz_z": (0.2,)})
    codes = model.encode(rows, own).codes("scalar") == MISSING_CODE
    assert codes[:, redshift].tolist() == [False, True, False]
