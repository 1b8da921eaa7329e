"""Rows of the HATS catalogue: embeddings, predictions, decoded scalars and codes."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from astromodal.core.vocab import MISSING_CODE
from astromodal.errors import FormatError
from astromodal.hats.rows import CatalogueRows
from astromodal.inference.model import AstroModel
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


def test_another_model_is_refused(as_fields, pair, settings):
    """The error names both hashes."""
    other = AstroModel(toy_bundle(seed=9))
    with pytest.raises(FormatError, match=f"must be that of hash {other.hash}, got \\w+; run em"):
        CatalogueRows(as_fields(*pair), other, settings().hats)


@pytest.mark.parametrize("kind", ["embeddings", "predictions"])
def test_tables_of_other_objects_are_refused(as_fields, pair, model, settings, kind):
    """Ids must be those of the sequences."""
    (name, files), (_, others) = pair
    fields = as_fields((name, files | {kind: others[kind]}))
    rows = CatalogueRows(fields, model, settings().hats)
    with pytest.raises(FormatError, match=f"field A: objects of {kind}.parquet must be those of"):
        rows.read(0, CHOSEN)
