"""Parquet files of a field: keys, values and metadata."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from astromodal.config.evaluate import PredictSettings
from astromodal.config.training import FinetuneSettings
from astromodal.data.splits import Split
from astromodal.errors import FormatError
from astromodal.inference import tables
from astromodal.inference.request import KEYS
from astromodal.inference.tables import (
    embed_field,
    predict_field,
    predict_field_label,
    read_meta,
    read_rows,
    sample_by_field,
)

COLUMNS = ("specz_z", "gaia_teff_gspphot", "vista_japermag6")


@pytest.fixture
def split(tmp_path, encoded):
    """Split file of the field: the objects' rows, in three splits."""
    n = len(encoded)
    made = Split(
        encoded.ids, np.arange(n) + 100, (np.arange(n) % 3).astype(np.uint8), np.ones(n, bool)
    )
    made.save(tmp_path / "split.npz")
    return tmp_path / "split.npz"


def test_embeddings_are_keyed(tmp_path, model, encoded, split, monkeypatch):
    """Rows have id, HEALPix cell, row, split and vector; row groups bound the memory."""
    monkeypatch.setattr(tables, "_OBJECTS", 5)
    path = tmp_path / "e.parquet"
    settings = PredictSettings(pooling="attention")
    assert embed_field(model, encoded, split, 128, path, settings) == 12
    found = pq.read_table(path)
    assert pq.ParquetFile(path).num_row_groups == 3
    assert found["id"].to_pylist() == encoded.ids.tolist()
    assert found["healpix"].to_pylist() == list(range(100, 112))
    assert found["split"].to_pylist()[:3] == ["train", "validation", "test"]
    vectors = np.stack(found["embedding"].to_numpy())
    np.testing.assert_allclose(vectors, model.embed(encoded, "attention"), atol=1e-6)
    meta = read_meta(path)
    assert meta["healpix"] == {"nside": 128, "order": 7, "ordering": "NESTED", "frame": "ICRS"}
    assert (meta["model_hash"], meta["pooling"]) == (model.hash, "attention")


def test_predictions_are_those_of_the_model(tmp_path, model, encoded, split, monkeypatch):
    """Columns hold the numbers of `predict` with units; NaN if no training field measured one."""
    monkeypatch.setattr(tables, "_OBJECTS", 5)
    path = tmp_path / "p.parquet"
    settings = PredictSettings(given=("image", "mag_pstotal_r"))
    assert predict_field(model, encoded, split, 64, path, COLUMNS, settings) == 12
    found = pq.read_table(path)
    predicted = model.predict(encoded, ["specz_z", "gaia_teff_gspphot"], given=settings.given)
    for name, prediction in predicted.items():
        for statistic, value in (("mean", prediction.mean), ("p84", prediction.quantile(0.84))):
            got = found[f"{name}_{statistic}"].to_numpy()
            np.testing.assert_allclose(got, value, rtol=1e-5)
    assert found["n_given"].to_pylist() == predicted["specz_z"].n_given.tolist()
    assert np.isnan(found["vista_japermag6_mean"].to_numpy()).all()
    assert found.schema.field("gaia_teff_gspphot_std").metadata[b"unit"] == b"K"
    assert read_meta(path)["given"] == ["image", "mag_pstotal_r"]


@pytest.mark.parametrize(
    ("labels", "columns"),
    [
        (["STAR", "QSO"] * 6, ["mine", "mine_p_QSO", "mine_p_STAR"]),
        (list(range(12)), [f"mine_{statistic}" for statistic in tables.STATISTICS]),
    ],
    ids=["classes", "numbers"],
)
def test_a_label_is_predicted_beside_the_keys(tmp_path, model, encoded, split, labels, columns):
    """Probabilities of classes, or statistics of a number; the keys are those of every table."""
    few = FinetuneSettings(head_epochs=1, epochs=0)
    tuned = model.finetune(encoded, labels, "mine", unit="Gyr", settings=few)
    path = tmp_path / "l.parquet"
    assert predict_field_label(tuned, encoded, split, 64, path, None) == 12
    found = pq.read_table(path)
    assert found.column_names == [*KEYS, *columns]
    predicted = tuned.predict(encoded, "mine")["mine"]
    values = predicted.probabilities[:, 0] if "mine" in columns else predicted.median
    np.testing.assert_allclose(found[columns[1]].to_numpy(), values, rtol=1e-5)
    assert read_meta(path)["label"] == "mine"


def test_the_same_bytes_again(tmp_path, model, encoded, split):
    """A file depends on its input alone."""
    paths = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    for path in paths:
        predict_field(model, encoded, split, 64, path, COLUMNS, PredictSettings())
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_field_without_what_is_given_is_predicted(tmp_path, model, encoded, split):
    """A field without the named survey is no error; its `n_given` is 0."""
    path = tmp_path / "p.parquet"
    settings = PredictSettings(given=("gaiaxp_bp",))
    predict_field(model, encoded, split, 64, path, ("specz_z",), settings)
    found = pq.read_table(path)
    assert set(found["n_given"].to_pylist()) == {0}
    assert np.isfinite(found["specz_z_mean"].to_numpy()).all()


def test_no_objects_make_an_empty_file(tmp_path, model, split):
    """A field without objects gives a file with all columns."""
    from helpers.model import cube_table

    empty, path = model.encode(cube_table().slice(0, 0)), tmp_path / "p.parquet"
    assert predict_field(model, empty, split, 64, path, COLUMNS, PredictSettings()) == 0
    assert pq.read_table(path).num_columns == 5 + 5 * len(COLUMNS)


def test_a_split_of_another_cube_is_refused(tmp_path, model, encoded):
    """A split file with other ids is an error."""
    n = 3
    other = Split(np.array(["x"] * n), np.zeros(n, int), np.zeros(n, np.uint8), np.ones(n, bool))
    other.save(tmp_path / "s.npz")
    with pytest.raises(FormatError, match="id of row 0 in .*s.npz must be 'o0', got another"):
        embed_field(model, encoded, tmp_path / "s.npz", 64, tmp_path / "e.parquet", model.settings)
    assert not (tmp_path / "e.parquet").exists()


def test_other_parquet_has_no_metadata(tmp_path):
    """The error says what the file must be."""
    pq.write_table(pa.table({"a": [1]}), tmp_path / "a.parquet")
    with pytest.raises(FormatError, match="must be embeddings or predictions of astromodal"):
        read_meta(tmp_path / "a.parquet")


@pytest.mark.parametrize(
    ("counts", "most", "shares"),
    [
        ([10, 30, 60], 10, [1, 3, 6]),
        ([10, 30, 60], 1000, [10, 30, 60]),
        ([0, 5, 0], 3, [0, 3, 0]),
        ([3], 3, [3]),
    ],
)
def test_fields_have_their_shares(counts, most, shares):
    """A sample takes from each field in proportion to its objects."""
    sampled = sample_by_field(counts, most, seed=1)
    assert [len(rows) for rows in sampled] == shares
    assert all((np.diff(rows) > 0).all() for rows in sampled)


def test_shares_are_rounded_up_or_down():
    """No field has more than one object more or less than its share."""
    counts = [7, 1, 92, 13, 40, 2]
    sizes = np.array([len(rows) for rows in sample_by_field(counts, 31, seed=3)])
    assert sizes.sum() == 31
    assert (np.abs(sizes - 31 * np.array(counts) / sum(counts)) < 1).all()


def test_a_seed_decides_on_the_sample():
    """The same seed samples the same objects, another one others."""
    first, again, other = (sample_by_field([50, 50], 20, seed) for seed in (1, 1, 2))
    assert all(map(np.array_equal, first, again))
    assert not all(map(np.array_equal, first, other))


def test_rows_are_read_by_row_groups(tmp_path):
    """Chosen rows come in their order, whatever row groups they lie in."""
    table = pa.table({"a": np.arange(10), "b": np.arange(10) * 2.0})
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=3)
    read = read_rows(tmp_path / "t.parquet", np.array([0, 2, 3, 9]), ["b"])
    assert read.to_pydict() == {"b": [0.0, 4.0, 6.0, 18.0]}
    assert len(read_rows(tmp_path / "t.parquet", np.empty(0, np.int64), ["a"])) == 0
