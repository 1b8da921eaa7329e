"""Rows of the HATS catalogue: embeddings, predictions, decoded scalars and codes."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from astromodal.core.vocab import MISSING_CODE
from astromodal.errors import FormatError
from astromodal.hats.rows import CatalogueRows
from astromodal.inference.model import AstroModel
from astromodal.sequences.store import write_sequences
from astromodal.storage.arrays import map_tensors
from helpers.model import toy_bundle

CHOSEN = np.array([0, 3, 7])


@pytest.fixture(scope="session")
def rows(as_fields, pair, model, settings):
    return CatalogueRows(as_fields(*pair), model, settings().hats)


@pytest.fixture(scope="session")
def read(rows):
    """Three objects of the second field."""
    return rows.read(1, CHOSEN)


def test_all_objects_are_counted(rows):
    """Each field has its number, and all have their sum."""
    assert (rows.count(0), rows.count(1), len(rows)) == (12, 24, 36)


def test_columns_are_those_of_the_schema(rows, read):
    """Types agree; the catalogue adds cell and position."""
    schema = rows.schema()
    assert set(schema.names) - set(read) == {"_healpix_29", "ra", "dec"}
    assert {name: column.type for name, column in read.items()} == {
        name: schema.field(name).type for name in read
    }


def test_embeddings_and_predictions_are_those_of_the_tables(pair, read):
    """Numbers are copied; what was not predicted is null."""
    files = pair[1][1]
    embeddings = pq.read_table(files["embeddings"]).take(CHOSEN)
    assert read["embedding"].to_pylist() == embeddings["embedding"].to_pylist()
    assert read["id"].to_pylist() == embeddings["id"].to_pylist() == ["B-0", "B-3", "B-7"]
    predictions = pq.read_table(files["predictions"]).take(CHOSEN)
    for name in ("n_given", "specz_z_median", "gaia_teff_gspphot_p84"):
        assert read[name].to_pylist() == predictions[name].to_pylist()
    assert read["field"].to_pylist() == ["B"] * 3


def test_scalars_are_what_the_codes_say(pair, model, read):
    """They are those of `decode`; missing values are null."""
    objects = model.open(pair[1][1]["sequences"])[CHOSEN]
    frame = model.decode(objects, "scalar")["scalar"]
    for name in model.columns:
        expected = frame[name].to_numpy(np.float32)
        found = np.array(read[f"{name}_decoded"].to_pylist(), dtype=np.float32)
        np.testing.assert_array_equal(found, expected)
        assert read[f"{name}_decoded"].null_count == np.isnan(expected).sum()


def test_codes_are_those_of_the_sequences(pair, model, read):
    """One code per slot; null where an object lacks the block."""
    objects = model.open(pair[1][1]["sequences"])[CHOSEN]
    for block in ("scalar", "image", "desi_r", "gaiaxp_bp"):
        has, codes = objects.has(block), iter(objects.codes(block).tolist())
        assert read[f"{block}_codes"].to_pylist() == [next(codes) if h else None for h in has]
    assert MISSING_CODE in read["scalar_codes"].to_pylist()[0]


@pytest.mark.parametrize(
    ("include", "absent"),
    [
        ([], ["embedding", "n_given", "specz_z_median", "specz_z_decoded", "scalar_codes"]),
        (["codes"], ["embedding", "n_given", "specz_z_median", "specz_z_decoded"]),
        (["embeddings", "scalars"], ["n_given", "specz_z_median", "image_codes"]),
    ],
)
def test_what_is_not_included_is_left_out(as_fields, pair, model, settings, include, absent):
    """Neither the schema nor the rows have it."""
    rows = CatalogueRows(as_fields(*pair), model, settings(include=include).hats)
    names = {*rows.schema().names, *rows.read(0, CHOSEN)}
    assert names.isdisjoint(absent)
    assert {"id", "field", "row", "split"} <= names


def test_nothing_was_predicted(as_fields, pair, model, settings):
    """Without predictions their columns are left out."""
    rows = CatalogueRows(as_fields(*pair, without=("predictions",)), model, settings().hats)
    assert "n_given" not in rows.schema().names


@pytest.fixture(scope="module")
def other_ids(made):
    """A field of as many rows as the first one, with other ids."""
    return made("C", n=12, seed=2)


def test_another_model_is_refused(as_fields, pair, settings):
    """The error names both hashes, and where to look for more."""
    other = AstroModel(toy_bundle(seed=9))
    must = (
        rf"embeddings.parquet: model must be of hash {other.hash}, got \w+; run .*; `snakemake au"
    )
    with pytest.raises(FormatError, match=must):
        CatalogueRows(as_fields(*pair), other, settings().hats)


def test_sequences_of_other_tokenizers_are_refused(as_fields, pair, model, settings, tmp_path):
    """The headers of sequences name the hashes of the tokenizers."""
    (name, files), path = pair[0], tmp_path / "sequences.safetensors"
    arrays, _ = map_tensors(files["sequences"])
    write_sequences(path, arrays, model.bundle.layout, {"scalar": "0", "image": "1"})
    fields = as_fields((name, files | {"sequences": path}))
    with pytest.raises(FormatError, match="tokenizers must be of hash .*; `snakemake audit` lists"):
        CatalogueRows(fields, model, settings().hats)


@pytest.mark.parametrize("kind", ["embeddings", "predictions"])
def test_tables_of_another_length_are_refused(as_fields, pair, model, settings, kind):
    """The number of objects must be that of the sequences, which footers show."""
    (name, files), (_, others) = pair
    fields = as_fields((name, files | {kind: others[kind]}))
    with pytest.raises(FormatError, match=rf"{kind}.parquet must be of 12 objects, .* got 24; run"):
        CatalogueRows(fields, model, settings().hats)


@pytest.mark.parametrize("kind", ["embeddings", "predictions"])
def test_tables_of_other_objects_are_refused(as_fields, pair, other_ids, model, settings, kind):
    """Ids must be those of the sequences."""
    (name, files), (_, others) = pair[0], other_ids
    fields = as_fields((name, files | {kind: others[kind]}))
    rows = CatalogueRows(fields, model, settings().hats)
    with pytest.raises(FormatError, match=f"field A: objects of {kind}.parquet must be those of"):
        rows.read(0, CHOSEN)
