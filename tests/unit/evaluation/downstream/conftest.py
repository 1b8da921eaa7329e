"""Labelled objects without a model, and fields with a toy model."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from astromodal.data.splits import TEST, TRAIN, VALIDATION
from astromodal.evaluation.context import evaluated_fields
from astromodal.evaluation.downstream.baselines import Examples
from astromodal.evaluation.downstream.sample import FIT, SCORE, TUNE, LabelledObjects
from astromodal.inference.model import AstroModel
from astromodal.sequences.store import BlockCodes, pack_objects, write_sequences
from helpers.model import COLUMNS, scalars, toy_bundle


def _objects(n_fit=40, n_tune=10, n_score=20, **changes):
    """Objects that all have scalars, every second an image, none a spectrum."""
    role = np.repeat([FIT, TUNE, SCORE], [n_fit, n_tune, n_score]).astype(np.uint8)
    n = len(role)
    rng = np.random.default_rng(0)
    values = {"specz_z": rng.uniform(0, 1, n), "gaia_teff_gspphot": rng.uniform(4000, 7000, n)}
    has = np.stack([np.ones(n, bool), np.arange(n) % 2 == 0, np.zeros(n, bool)], axis=1)
    attributes = {
        "number": np.arange(n), "role": role, "has": has, "values": values,
        "kind": np.resize(["GALAXY", "STAR"], n), "magnitude": rng.uniform(15, 22, n),
        "cell": np.arange(n), "field": np.full(n, "F"), "absent": frozenset(),
    }  # fmt: skip
    return LabelledObjects(**{**attributes, **changes})


def _write_field(
    folder: Path, name: str, seed: int, bundle, split: np.ndarray, changes, kinds, begin
):
    """A cube whose redshift and class follow the magnitude, and its sequences.

    `changes` maps a column to the column whose values it has instead. `kinds` are the classes of
    bright and of faint objects. Objects stand in a row along the equator, two every degree
    from the right ascension `begin`, or have no position where it is None.
    """
    n = len(split)
    rng = np.random.default_rng(seed)
    values = scalars(n, seed)
    values["specz_z"] = np.maximum((values["mag_pstotal_r"] - 14) / 10, 0.01)
    values["gaia_teff_gspphot"] = 3000 + 200 * values["mag_pstotal_r"]
    values |= {column: values[other] for column, other in changes.items()}
    ids = np.array([f"{name}-{i}" for i in range(n)])
    extra = 0.1 * values["mag_pstotal_r"]  # no column of the model
    kind = np.where(values["mag_pstotal_i"] > 20, kinds[1], kinds[0])
    cube = folder / f"datacube_{name}.parquet"
    columns = {"id": ids, **values, "extra_logg": extra, "specz_class_spec": kind}
    if begin is not None:
        columns |= {"ra": begin + np.arange(n) // 2, "dec": np.zeros(n)}
    pq.write_table(pa.table(columns), cube)
    layout, rows = bundle.layout, np.arange(n, dtype=np.int32)
    table = np.stack([values[column] for column in COLUMNS], axis=1)
    images = rng.integers(0, 4, (n, layout["image"].length)).astype(np.uint16)
    codes = {
        "scalar": BlockCodes(bundle.tokenizers.scalar.encode(table), rows, ids, "s"),
        "image": BlockCodes(images[::2], rows[::2], ids[::2], "i"),
    }
    path = folder / f"{name}.safetensors"
    hashes = bundle.tokenizers.hashes()
    write_sequences(path, pack_objects(layout, codes, split), layout, hashes)
    return cube, path


def _examples(n_classes=0, gaps=False, seed=0, informed=True):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(150, 4))
    y = x[:, 0].copy() if informed else rng.normal(size=150)
    if n_classes:
        y = (y > 0).astype(float)
    if gaps:
        x[rng.random(x.shape) < 0.2] = np.nan
        x[:, 3] = np.nan
    fit, tune, scored = np.split(np.arange(150), [80, 110])
    return Examples(x, y, fit, tune, scored, n_classes)


@pytest.fixture(scope="session")
def examples():
    """Make examples whose label, a number or one of two classes, is the first feature's."""
    return _examples


@pytest.fixture(scope="session")
def objects():
    """Make labelled objects, with changed attributes."""
    return _objects


def _write_survey(folder: Path, bundle, kinds=("QSO", "GALAXY"), begin=None, **changes):
    """Write the files of a training field and of a held-out field."""
    split = np.resize([TRAIN, TRAIN, TRAIN, VALIDATION], 80).astype(np.uint8)
    split[-1] = TEST
    files = [_write_field(folder, name, i, bundle, s, changes, kinds, (begin or {}).get(name))
             for i, (name, s) in enumerate([("T", split), ("H", split[:40])])]  # fmt: skip
    cubes, sequences = zip(*files, strict=True)
    return evaluated_fields(["T", "H"], ["T"], cube=cubes, sequences=sequences)


@pytest.fixture(scope="session")
def survey(tmp_path_factory):
    """A training field and a held-out field, with a toy model of random weights.

    ``changed(column=other)`` writes the same fields, where `column` has the values of `other`;
    ``kinds`` and ``begin`` are those of `_write_field`, the latter by field.
    """
    bundle = toy_bundle()

    def changed(**changes):
        return _write_survey(tmp_path_factory.mktemp("survey"), bundle, **changes)

    fields = changed()
    sequences = [field.files["sequences"] for field in fields]
    return SimpleNamespace(
        fields=fields, changed=changed, model=AstroModel(bundle), sequences=sequences
    )
