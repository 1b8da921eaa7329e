"""Two small fields as the workflow leaves them, with embeddings and predictions: fixtures."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from astromodal.config.evaluate import PredictSettings
from astromodal.config.schema import ColumnSettings
from astromodal.data.cube import Cube
from astromodal.evaluation.context import evaluated_fields
from astromodal.inference.encode import _encode
from astromodal.inference.model import AstroModel
from astromodal.inference.tables import embed_field, predict_field
from helpers.model import cube_table, toy_bundle

PREDICTED = ("specz_z", "gaia_teff_gspphot")
KINDS = ("STAR", "GALAXY", None)


@pytest.fixture(scope="session")
def model():
    return AstroModel(toy_bundle())


@pytest.fixture(scope="session")
def made(model, tmp_path_factory):
    """Write a field of n rows with all of its files, by kind."""
    folder = tmp_path_factory.mktemp("fields")

    def make(name, n=12, seed=0, model=model):
        own = folder / f"{name}_{model.hash}"
        own.mkdir()
        table = cube_table(n, seed)
        columns = {c: table.column(c) for c in table.column_names}
        columns |= {"id": [f"{name}-{i}" for i in range(n)]}
        columns |= {"specz_class_spec": pa.array([KINDS[i % 3] for i in range(n)])}
        pq.write_table(pa.table(columns), own / "cube.parquet")
        files = {
            "cube": own / "cube.parquet", "sequences": own / "sequences.safetensors",
            "tokens": own / "spectra.npz", "embeddings": own / "embeddings.parquet",
            "predictions": own / "predictions.parquet",
        }  # fmt: skip
        _encode(Cube(files["cube"], name, ColumnSettings()), model.bundle, own, files["sequences"])
        shared = model, files["sequences"], own / "split.npz", 128
        embed_field(*shared, files["embeddings"], PredictSettings())
        predict_field(*shared, files["predictions"], PREDICTED, PredictSettings())
        return name, files

    return make


@pytest.fixture(scope="session")
def as_fields():
    """Return fields of `made` as entry scripts get them, without some kinds of files."""

    def convert(*made, without=()):
        kinds = [kind for kind in made[0][1] if kind not in without]
        files = {kind: [own[kind] for _, own in made] for kind in kinds}
        return evaluated_fields([name for name, _ in made], (), **files)

    return convert


@pytest.fixture(scope="session")
def pair(made):
    """Two fields, of 12 and of 24 rows."""
    return made("A"), made("B", n=24, seed=1)
