"""Fields with cubes and sequences, and a toy model that embeds them."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from astromodal.config import load_config
from astromodal.config.schema import ColumnSettings
from astromodal.data.cube import Cube
from astromodal.evaluation.context import ModelContext, evaluated_fields
from astromodal.inference.encode import _encode
from astromodal.inference.model import AstroModel
from helpers.model import cube_table, toy_bundle

KINDS = ("STAR", "GALAXY", None)


@pytest.fixture(scope="session")
def model():
    return AstroModel(toy_bundle())


@pytest.fixture(scope="session")
def made(model, tmp_path_factory):
    """Write a field of n rows with some columns changed, or removed where None."""
    folder = tmp_path_factory.mktemp("fields")

    def make(name, n=40, seed=0, **changes):
        table = cube_table(n, seed)
        columns = {c: table.column(c) for c in table.column_names}
        columns |= {"id": [f"{name}-{i}" for i in range(n)]}
        columns |= {"specz_class_spec": pa.array([KINDS[i % 3] for i in range(n)])}
        columns |= changes
        path = folder / f"datacube_{name}.parquet"
        pq.write_table(pa.table({c: v for c, v in columns.items() if v is not None}), path)
        (folder / name).mkdir()
        cube = Cube(path, name, ColumnSettings())
        _encode(cube, model.bundle, folder / name, folder / f"{name}.safetensors")
        return name, path, folder / f"{name}.safetensors"

    return make


@pytest.fixture(scope="session")
def two(made):
    """Two fields."""
    return made("A"), made("B", seed=1)


@pytest.fixture(scope="session")
def as_fields():
    """Return fields of `made`, ready to be evaluated."""

    def convert(*made, trained=()):
        names, cubes, sequences = zip(*made, strict=True)
        return evaluated_fields(list(names), trained, cube=cubes, sequences=sequences)

    return convert


@pytest.fixture
def context(model, tmp_path):
    """Make the context of an evaluation of fields, with settings of the evaluation."""

    def make(fields, **settings):
        config = load_config({"evaluation": {"n_examples": 3, **settings}})
        context = ModelContext(fields, config, tmp_path / "figures", run=tmp_path / "run")
        vars(context)["model"] = model  # in place of the model of the run
        return context

    return make
