"""Predictions as VOTable and FITS, read back by astropy."""

from __future__ import annotations

import warnings

import astropy.units as u
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.io.votable import parse, validate
from astropy.io.votable.ucd import parse_ucd
from astropy.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st

from astromodal.config import load_config
from astromodal.config.evaluate import PredictSettings
from astromodal.config.schema import ColumnSettings
from astromodal.data.cube import Cube
from astromodal.errors import ConfigError, FormatError
from astromodal.inference.catalogue import (
    KEY_COLUMNS,
    POINTS,
    catalogue_table,
    column_ucd,
    write_catalogue,
)
from astromodal.inference.encode import _encode
from astromodal.inference.model import AstroModel
from astromodal.inference.photoz import export_photoz
from astromodal.inference.tables import STATISTICS, embed_field, predict_field
from astromodal.storage.formats import SkippedError
from astromodal.storage.json_files import write_json
from helpers.model import EMPTY, cube_table, toy_bundle

COLUMNS = ("specz_z", "gaia_teff_gspphot", EMPTY)
CONFIG = load_config()
NAMES = [*KEY_COLUMNS, *(f"{c}_{s}" for c in COLUMNS for s in STATISTICS), *POINTS]


@pytest.fixture(scope="module")
def made(model, tmp_path_factory):
    """A field of n rows, with ids that are no ASCII: its cube, predictions and distributions."""

    def make(n=12, model=model):
        folder = tmp_path_factory.mktemp("catalogue")
        table = cube_table().slice(0, n)
        held = {c: table.column(c) for c in table.column_names}
        held |= {"id": pa.array([f"Źródło-{i}" for i in range(n)], pa.string())}
        pq.write_table(pa.table(held), folder / "cube.parquet")
        cube = Cube(folder / "cube.parquet", "Łódź-1", ColumnSettings())
        sequences, predictions = folder / "s.safetensors", folder / "predictions.parquet"
        _encode(cube, model.bundle, folder, sequences)
        split = folder / "split.npz"
        predict_field(model, sequences, split, 64, predictions, COLUMNS, PredictSettings())
        target = ("specz_z", COLUMNS)
        export_photoz(model, cube, sequences, folder / "p.hdf5", target, CONFIG)
        return predictions, cube, folder / "p.hdf5"

    return make


@pytest.fixture(scope="module")
def twelve(made):
    return made()


@pytest.fixture(scope="module")
def table(twelve):
    return catalogue_table(*twelve)


@pytest.mark.parametrize(
    "column", [*CONFIG.tokenizers.scalar.columns, "mine"], ids=lambda name: name
)
def test_ucds_are_words_of_the_ivoa(column):
    """Each UCD of a column, and of its statistics, is valid UCD1+."""
    from astromodal.inference.catalogue import _described

    assert parse_ucd(column_ucd(column), check_controlled_vocabulary=True)
    found = [own.ucd for _, own in _described([column])] + [own.ucd for own in POINTS.values()]
    assert all(parse_ucd(ucd, check_controlled_vocabulary=True) for ucd in found)


def test_known_columns_have_their_ucds():
    """Few columns are of the kind `stat.value`."""
    unknown = [c for c in CONFIG.tokenizers.scalar.columns if column_ucd(c) == "stat.value"]
    assert unknown == []
    assert column_ucd("err_mag_pstotal_r") == "stat.error;phot.mag;em.opt.R"
    assert column_ucd("gaia_parallax_error") == "stat.error;pos.parallax"
    assert column_ucd("vista_japermag6err") == "stat.error;phot.mag;em.IR.J"
    assert column_ucd("vista_ksapermag6") == "phot.mag;em.IR.K"


def test_the_table_is_that_of_the_predictions(table, twelve):
    """All columns, with units and descriptions; NaN where nothing was predicted."""
    assert table.colnames == NAMES
    stored = pq.read_table(twelve[0])
    for name in ("id", "n_given", "gaia_teff_gspphot_p16", "specz_z_median"):
        assert table[name].tolist() == stored[name].to_pylist()
    assert set(table["field"]) == {"Łódź-1"}
    np.testing.assert_allclose(table["ra"], 10 + np.arange(12) / 100)
    assert np.isnan(table[f"{EMPTY}_mean"]).all()
    np.testing.assert_allclose(table["zmean"], table["specz_z_mean"], rtol=1e-5)
    np.testing.assert_allclose(table["z_lower68"], table["specz_z_p16"], rtol=1e-5)
    assert table["gaia_teff_gspphot_std"].unit == u.K
    assert table["ra"].unit == u.deg
    assert table["specz_z_mean"].unit is None
    expected = "effective temperature: mean of the predicted distribution"
    assert table["gaia_teff_gspphot_mean"].description == expected
    assert table["gaia_teff_gspphot_std"].meta["ucd"] == "stat.stdev;phys.temperature.effective"


def test_a_table_without_cube_and_distributions(twelve):
    """Positions and point estimates are left out."""
    expected = [n for n in NAMES if n not in ("field", "ra", "dec", *POINTS)]
    assert catalogue_table(twelve[0]).colnames == expected


def same(found, table):
    """Whether columns have the same values, units in words aside."""
    assert found.colnames == table.colnames
    for name in table.colnames:
        values = found[name]
        if table[name].dtype.kind == "f":
            filled = np.ma.filled(np.ma.asarray(values), np.nan)
            np.testing.assert_array_equal(filled, table[name])
            assert filled.dtype.itemsize == table[name].dtype.itemsize
        else:
            assert values.tolist() == table[name].tolist()


def test_a_votable_is_read_back(table, tmp_path):
    """It is valid, and has all values, units, UCDs, descriptions and the frame."""
    path = tmp_path / "c.vot"
    write_catalogue(table, path)
    assert validate(str(path), output=None)
    found = Table.read(path)
    same(found, table)
    for name in table.colnames:
        assert found[name].unit == table[name].unit
        assert found[name].meta["ucd"] == table[name].meta["ucd"]
        assert " ".join(found[name].description.split()) == table[name].description
    votable = parse(path, verify="exception")
    fields = {field.name: field for field in votable.get_first_table().fields}
    assert (fields["ra"].ref, fields["dec"].ref) == ("ICRS", "ICRS")
    infos = {info.name: info.value for info in votable.resources[0].infos}
    assert infos == dict(table.meta)


def test_a_fits_table_is_read_back(table, tmp_path):
    """It verifies, and has all values, units, UCDs and descriptions."""
    path = tmp_path / "c.fits"
    write_catalogue(table, path)
    with fits.open(path) as file:
        file.verify("exception")
        header = file[1].header
    assert header["MODEL"] == table.meta["model_hash"]
    found = Table.read(path)
    found.convert_bytestring_to_unicode()
    same(found, table)
    for i, name in enumerate(table.colnames, start=1):
        assert header[f"TTYPE{i}"] == name
        assert header[f"TUCD{i}"] == table[name].meta["ucd"]
        assert header[f"TCOMM{i}"] == table[name].description
        assert found[name].unit == table[name].unit


@pytest.mark.parametrize(
    ("name", "vounit"), [("electron / s", "'electron'.s**-1"), ("dex", "'dex'")]
)
def test_units_that_the_standards_lack(tmp_path, name, vounit):
    """They are quoted in VOTable, and in words in FITS; neither file gives a warning."""
    table = Table({"a": [1.5], "b": [2.5]})
    for column in table.itercols():
        column.unit, column.description, column.meta["ucd"] = name, "gravity (cm/s²)", "phys"
    table.meta |= {"creator": "", "model_hash": "", "given": ""}
    for suffix in ("vot", "fits"):
        write_catalogue(table, tmp_path / f"a.{suffix}")
    assert table["a"].unit == u.Unit(name)
    fields = parse(tmp_path / "a.vot").get_first_table().fields
    assert [field.unit.to_string("vounit") for field in fields] == [vounit, vounit]
    header = fits.getheader(tmp_path / "a.fits", 1)
    assert header["TCOMM1"] == f"gravity (cm/s^2) ({name})"
    assert "TUNIT1" not in header


TEXT = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters=" "), min_size=1, max_size=8
)


@settings(deadline=None, max_examples=30)
@given(
    ids=st.lists(TEXT, max_size=5),
    numbers=st.lists(st.floats(width=32, allow_infinity=False), min_size=5, max_size=5),
)
def test_any_text_and_number_survives(tmp_path_factory, ids, numbers):
    """Ids of any script, and numbers with NaN, in both formats."""
    folder = tmp_path_factory.mktemp("any")
    table = Table({"id": np.array(ids, dtype=np.str_), "z": np.float32(numbers[: len(ids)])})
    for name in table.colnames:
        table[name].description, table[name].meta["ucd"] = "", "meta.id"
    table.meta |= {"creator": "a", "model_hash": "b", "given": "c"}
    for suffix in ("vot", "fits"):
        write_catalogue(table, folder / f"a.{suffix}")
        found = Table.read(folder / f"a.{suffix}")
        found.convert_bytestring_to_unicode()
        same(found, table)


@pytest.mark.parametrize("suffix", ["vot", "fits"])
def test_no_objects_make_an_empty_catalogue(made, tmp_path, suffix):
    """It has all columns."""
    table = catalogue_table(*made(0))
    assert (len(table), table.colnames) == (0, NAMES)
    write_catalogue(table, tmp_path / f"c.{suffix}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = Table.read(tmp_path / f"c.{suffix}")
    assert (len(found), found.colnames) == (0, NAMES)


def test_other_endings_are_refused(table, tmp_path):
    """The error names the two."""
    with pytest.raises(ConfigError, match=r"ending of .*c.csv must be .vot or .fits, got .csv"):
        write_catalogue(table, tmp_path / "c.csv")


def test_distributions_of_other_objects_or_models_are_refused(made, twelve):
    """Their point estimates would be those of others."""
    with pytest.raises(FormatError, match="objects of .*p.hdf5 must be those of the predictions"):
        catalogue_table(*twelve[:2], made(3)[2])
    other = made(model=AstroModel(toy_bundle(seed=9)))
    with pytest.raises(FormatError, match="model of .*p.hdf5 must be that of hash"):
        catalogue_table(*twelve[:2], other[2])


def test_other_tables_are_refused(made, model, tmp_path):
    """Embeddings have no columns with statistics."""
    _, cube, _ = made(3)
    folder = cube.path.parent
    files = folder / "s.safetensors", folder / "split.npz"
    embed_field(model, *files, 64, tmp_path / "e.parquet", PredictSettings())
    with pytest.raises(FormatError, match="must be predictions of scalar columns, got embeddings"):
        catalogue_table(tmp_path / "e.parquet")


def test_nothing_may_be_given(model, made, tmp_path):
    """A table predicted from nothing says so."""
    _, cube, _ = made(3)
    folder, path = cube.path.parent, tmp_path / "p.parquet"
    files = folder / "s.safetensors", folder / "split.npz"
    predict_field(model, *files, 64, path, COLUMNS, PredictSettings(given=()))
    assert catalogue_table(path).meta["given"] == "nothing"


def test_a_skipped_field_has_no_catalogue(tmp_path):
    """The reason of the skip is handed on."""
    note = {"format": "skipped", "field": "F1", "rule": "encode_scalars", "error": "bad"}
    write_json(tmp_path / "p.parquet", note)
    with pytest.raises(SkippedError, match="field F1 was skipped by encode_scalars"):
        catalogue_table(tmp_path / "p.parquet")
