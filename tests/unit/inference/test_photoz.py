"""Redshift distributions in the hands of qp: values, files, point estimates."""

from __future__ import annotations

import builtins

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tables_io
from hypothesis import given, settings
from hypothesis import strategies as st

from astromodal.config import load_config
from astromodal.config.schema import ColumnSettings
from astromodal.data.cube import Cube
from astromodal.errors import AstromodalError, ConfigError, FormatError
from astromodal.inference import photoz
from astromodal.inference.catalogue import POINTS, positions, read_points
from astromodal.inference.encode import _encode
from astromodal.inference.photoz import even_bins, export_photoz, to_qp
from astromodal.inference.predict_scalars import ScalarPrediction
from astromodal.storage.formats import SkippedError
from astromodal.storage.json_files import write_json
from helpers.model import EMPTY, cube_table
from helpers.photoz import qp

PREDICTED = ("specz_z", "gaia_teff_gspphot")
LEVELS = np.array([0.025, 0.16, 0.5, 0.84, 0.975])
CONFIG = load_config()


def distribution(probabilities, edges, centers=None):
    """A prediction with given bins, whose centers are the middles where none are given."""
    edges, probabilities = np.asarray(edges, float), np.atleast_2d(probabilities).astype(float)
    n, middles = len(probabilities), (edges[1:] + edges[:-1]) / 2
    ids = np.array([f"é{i}" for i in range(n)], dtype=np.str_)
    centers = middles if centers is None else np.asarray(centers, float)
    return ScalarPrediction(
        "specz_z", "", ids, probabilities, centers, edges, np.arange(n, dtype=np.int32)
    )


@st.composite
def distributions(draw):
    """Distributions over bins of any width, also of none, with centers anywhere inside."""
    k, n = draw(st.integers(1, 8)), draw(st.integers(1, 4))
    sizes = st.one_of(st.just(0.0), st.floats(5e-4, 0.3))
    widths = np.array(draw(st.lists(sizes, min_size=k, max_size=k)))
    edges = draw(st.floats(-0.01, 2.0)) + np.concatenate([[0.0], np.cumsum(widths)])
    share = np.array(draw(st.lists(st.floats(0, 1), min_size=k, max_size=k)))
    centers = np.clip(edges[:-1] + share * np.diff(edges), edges[:-1], edges[1:])
    weights = st.lists(st.floats(0, 1), min_size=k, max_size=k)
    rows = np.array(draw(st.lists(weights, min_size=n, max_size=n))) + 1e-6
    return distribution(rows / rows.sum(axis=1, keepdims=True), edges, centers)


@pytest.fixture(scope="module")
def field(model, tmp_path_factory):
    """Write a field of n rows, with ids that are no ASCII: its cube and its sequences."""

    def make(n=12, name="F1", **columns):
        folder = tmp_path_factory.mktemp("photoz")
        table = cube_table(max(n, 1)).slice(0, n)
        held = {c: table.column(c) for c in table.column_names}
        held |= {"id": pa.array([f"Źródło-{i}" for i in range(n)], pa.string()), **columns}
        pq.write_table(pa.table(held), folder / "cube.parquet")
        cube = Cube(folder / "cube.parquet", name, ColumnSettings())
        _encode(cube, model.bundle, folder, folder / "s.safetensors")
        return cube, folder / "s.safetensors"

    return make


def export(model, made, path, config=CONFIG, target=("specz_z", PREDICTED)) -> int:
    return export_photoz(model, *made, path, target, config)


def test_the_bins_are_multiples_of_their_width():
    """Hand-computed: they cover the support, and there are at least two."""
    np.testing.assert_allclose(
        even_bins(np.array([-0.001, 0.012]), 0.005)[[0, -1]], [-0.005, 0.015]
    )
    np.testing.assert_allclose(even_bins(np.array([0.5, 0.5]), 0.1), [0.5, 0.6, 0.7])


def test_too_many_bins_are_refused():
    """A column of large values needs wider bins."""
    with pytest.raises(ConfigError, match=r"photoz.width must be at least 0.5 for .* 10000"):
        even_bins(np.array([0.0, 10_000.0]))


def test_a_hand_computed_ensemble():
    """Half of the probability in [0, 0.1], a quarter in [0.1, 0.2], a quarter in [0.2, 0.4]."""
    ensemble = to_qp(distribution([0.5, 0.25, 0.25], [0, 0.1, 0.2, 0.4]), width=0.05, odds=0.1)
    np.testing.assert_allclose(ensemble.pdf([0.02, 0.12, 0.3]).ravel(), [5, 2.5, 1.25])
    np.testing.assert_allclose(ensemble.cdf([0.05, 0.1, 0.3]).ravel(), [0.25, 0.5, 0.875])
    found = {name: values[0] for name, values in ensemble.ancil.items()}
    assert found.pop("id") == "é0"
    assert found.pop("n_given") == 0
    expected = {
        "zmode": 0.05, "zmean": 0.5 * 0.05 + 0.25 * 0.15 + 0.25 * 0.3, "zmedian": 0.1,
        "z_lower68": 0.032, "z_upper68": 0.272, "z_lower95": 0.005, "z_upper95": 0.38,
        "odds": 0.5 + 2.5 * 0.055,
    }  # fmt: skip
    assert found == pytest.approx(expected)


@settings(deadline=None, max_examples=60)
@given(distributions(), st.sampled_from([0.005, 0.02, 0.1]))
def test_qp_agrees_with_the_prediction(prediction, width):
    """Cumulative probabilities at edges are equal; moments and quantiles are within a bin."""
    ensemble, bins = to_qp(prediction, width), even_bins(prediction.edges, width)
    inner = bins[1:-1]
    found = np.reshape(ensemble.cdf(inner), (-1, len(inner)))
    np.testing.assert_allclose(found, prediction.cumulative(inner), atol=1e-9)
    assert np.abs(np.ravel(ensemble.mean()) - prediction.mean).max() <= width
    variance = np.ravel(ensemble.var()) - prediction.std**2
    assert np.abs(variance).max() <= width * (2 * np.ptp(bins) + width)
    _quantiles_agree(ensemble, prediction, width)
    peak = ensemble.objdata["pdfs"].reshape(-1, len(bins) - 1).max(axis=1)
    at_mode = np.ravel(ensemble.pdf(ensemble.ancil["zmode"][:, None]))
    np.testing.assert_allclose(at_mode, peak, rtol=1e-5)


def _quantiles_agree(ensemble, prediction, width):
    """Each quantile lies in the same bin; both ends count where the density is 0 between them."""
    for level in LEVELS:
        found = np.ravel(ensemble.ppf(level))
        low, high = (prediction.quantile(level + step) for step in (-1e-9, 1e-9))
        assert (found >= low - width - 1e-9).all()
        assert (found <= high + width + 1e-9).all()


@settings(deadline=None, max_examples=60)
@given(distributions(), st.lists(st.floats(-1, 5), min_size=4, max_size=4))
def test_shared_values_are_those_of_each(prediction, values):
    """`cumulative` gives for many values what `cdf` gives for one per object."""
    values = np.array([*values, *prediction.edges])
    found = prediction.cumulative(values)
    for i in range(len(values)):
        each = np.full(len(prediction.ids), values[i])
        np.testing.assert_allclose(found[:, i], prediction.cdf(each)[1], atol=1e-12)


def test_the_pit_through_qp_is_ours(model, encoded):
    """Probability integral transforms of measured values differ by less than the bin's part."""
    prediction = model.predict(encoded, "specz_z")["specz_z"]
    truth = np.random.default_rng(0).uniform(prediction.edges[0], prediction.edges[-1], 12)
    pit = qp.metrics.pit.PIT(to_qp(prediction, 0.001), truth).pit_samps
    below, upto = prediction.cdf(truth)
    np.testing.assert_allclose(np.sort(pit), np.sort((below + upto) / 2), atol=0.02)


def test_a_file_is_read_by_qp(model, field, tmp_path, monkeypatch):
    """Written in chunks, it holds the ensemble of all objects at once, with ids and positions."""
    monkeypatch.setattr(photoz, "_OBJECTS", 5)
    made = field(dec=np.where(np.arange(12) == 3, 91.0, -30.0), ra=np.arange(12) - 1.0)
    path = tmp_path / "p.hdf5"
    assert export(model, made, path) == 12
    ensemble = qp.read(str(path))
    prediction = model.predict(made[1], PREDICTED)["specz_z"]
    expected = to_qp(prediction)
    np.testing.assert_allclose(ensemble.objdata["pdfs"], expected.objdata["pdfs"], rtol=1e-5)
    np.testing.assert_allclose(ensemble.metadata["bins"], expected.metadata["bins"])
    for name in POINTS:
        np.testing.assert_allclose(ensemble.ancil[name], expected.ancil[name], rtol=1e-5)
    assert ensemble.ancil["id"].tolist() == [f"Źródło-{i}" for i in range(12)]
    assert ensemble.ancil["n_given"].tolist() == prediction.n_given.tolist()
    assert set(ensemble.ancil["split"]) <= {"train", "validation", "test"}
    np.testing.assert_array_equal(np.isnan(ensemble.ancil["ra"]), np.arange(12) == 3)
    assert ensemble.ancil["ra"][0] == 359
    np.testing.assert_allclose(ensemble.median().ravel(), prediction.median, atol=0.005)


def test_rail_reads_a_file_in_parts(model, field, tmp_path):
    """Its stages open files by tables_io, take the length of the group data, and iterate."""
    export(model, field(), tmp_path / "p.hdf5")
    path = str(tmp_path / "p.hdf5")
    with tables_io.io_open(path) as file:
        assert set(file) == {"meta", "data", "ancil"}
    assert tables_io.hdf5.get_input_data_length(path, groupname="data") == 12
    parts = [part.ancil["zmode"] for _, _, part in qp.iterator(path, chunk_size=5)]
    assert [len(part) for part in parts] == [5, 5, 2]
    np.testing.assert_array_equal(np.concatenate(parts), read_points(path)[1]["zmode"])
    assert qp.is_qp_file(path)


def test_a_file_is_that_of_its_input(model, field, tmp_path):
    """The same bytes again, with what the file was made from."""
    made, config = (
        field(),
        load_config({"photoz": {"width": 0.02}, "predict": {"given": ["image"]}}),
    )
    for name in ("a", "b"):
        export(model, made, tmp_path / name, config)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    meta = read_points(tmp_path / "a")[0]
    assert meta == {
        "format": "photoz", "version": 1, "model_hash": model.hash, "column": "specz_z",
        "width": 0.02, "odds": 0.06, "given": ["image"],
    }  # fmt: skip
    with h5py.File(tmp_path / "a") as file:
        assert file["ancil/ra"].attrs["unit"] == "deg"


def test_labels_are_never_given(model, field, tmp_path):
    """An explicit `scalar` stands for all columns but labels and what reveals them."""
    made, other = field(), field(specz_e_z=np.arange(12.0), gaia_teff_gspphot=np.arange(12.0))
    config = load_config({"predict": {"given": ["scalar"]}})
    for i, each in enumerate((made, other)):
        export(model, each, tmp_path / str(i), config, ("specz_z", ("specz_z",)))
    first, second = (read_points(tmp_path / str(i))[1] for i in (0, 1))
    np.testing.assert_array_equal(first["zmean"], second["zmean"])


def test_a_column_that_is_not_predicted_elsewhere(model, field, tmp_path):
    """It is predicted alone."""
    made = field()
    config = load_config({"photoz": {"width": 0.1}})
    export(model, made, tmp_path / "p", config, ("mag_pstotal_r", PREDICTED))
    expected = model.predict(made[1], "mag_pstotal_r", ["mag_pstotal_i", "image", "desi_r"])
    mean = read_points(tmp_path / "p")[1]["zmean"]
    np.testing.assert_allclose(mean, expected["mag_pstotal_r"].mean, rtol=1e-5)


@pytest.mark.parametrize("n", [0, 1])
def test_few_objects(model, field, tmp_path, n):
    """A field without objects, or with one, is a file that qp reads."""
    assert export(model, field(n), tmp_path / "p.hdf5") == n
    ensemble = qp.read(str(tmp_path / "p.hdf5"))
    assert ensemble.npdf == n
    assert len(ensemble.ancil["id"]) == n


def test_a_column_without_training_values_is_refused(model, field, tmp_path):
    """There are no distributions of it."""
    with pytest.raises(ConfigError, match="photoz.column must be a column that a training field"):
        export(model, field(), tmp_path / "p", target=(EMPTY, PREDICTED))
    assert not (tmp_path / "p").exists()


def test_a_cube_of_other_objects_is_refused(model, field, tmp_path):
    """Positions would be those of others."""
    made, fewer = field(), field(3)
    with pytest.raises(FormatError, match="id of row 3 in .*cube.parquet must be 'Źródło-3' as in"):
        export(model, (fewer[0], made[1]), tmp_path / "p")
    empty = field(0)[0]
    with pytest.raises(FormatError, match="id of row 0 in .* got another"):
        export(model, (empty, made[1]), tmp_path / "p")
    ids = np.array(["x"])
    with pytest.raises(FormatError, match="id of row 0 .* must be 'x' as in here, got another"):
        positions(made[0], np.array([0]), ids, "here")


def test_a_damaged_or_skipped_file(tmp_path):
    """The errors are those of every file of the workflow."""
    (tmp_path / "p").write_bytes(b"no HDF5")
    with pytest.raises(FormatError, match="must be redshift distributions"):
        read_points(tmp_path / "p")
    note = {"format": "skipped", "field": "F1", "rule": "encode_scalars", "error": "bad"}
    write_json(tmp_path / "p", note)
    with pytest.raises(SkippedError, match="field F1 was skipped by encode_scalars"):
        read_points(tmp_path / "p")


def test_a_skipped_field_has_no_distributions(model, field, tmp_path):
    """The reason of the skip is handed on."""
    note = {"format": "skipped", "field": "F1", "rule": "encode_scalars", "error": "bad"}
    write_json(tmp_path / "s.safetensors", note)
    with pytest.raises(SkippedError, match="field F1 was skipped by encode_scalars"):
        export(model, (field(3)[0], tmp_path / "s.safetensors"), tmp_path / "p")


def test_qp_is_optional(monkeypatch):
    """Without it, the error says what to install."""
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "qp":
            raise ModuleNotFoundError("No module named 'qp'")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(AstromodalError, match="qp must be installed, got .*; pip install qp-prob"):
        to_qp(distribution([1.0], [0, 1]))
