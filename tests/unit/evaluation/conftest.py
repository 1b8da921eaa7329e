"""Small fields, written as real cubes are, for the evaluation's tests."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from astromodal.config import load_config
from astromodal.config.schema import ColumnSettings
from astromodal.data.cube import Cube
from astromodal.data.splits import TEST, TRAIN, Split
from astromodal.evaluation.context import EvaluationContext, evaluated_fields
from astromodal.evaluation.coverage.measures import FieldSummary


def _summary(field, **changes):
    """A field's summary, as `summarise_field` makes it."""
    return {
        "field": field,
        "n_rows": 100,
        "n_selected": 90,
        "splits": {"train": 70, "validation": 10, "test": 10},
        "cut": {"missing": 1, "brighter": 2, "fainter": 7},
        "odd": {"repeated_id": 0, "repeated_gaia": 3, "no_position": 0},
        "n_cells": 4,
        "position": {"ra": 10.0, "dec": -30.0},
        "scalars": {"mag_r": 90, "z": 3},
        "missing": {"sentinel": {}, "unreliable": {}},
        "absent_columns": [],
        "spectra": {
            "desi_b": {"n_spectra": 5, "n_live": 4},
            "gaiaxp_bp": {"n_spectra": 0, "n_live": 0},
        },
        "images": {"n_whole": 60, "n_short": 2, "bands": {"R": 60}},
        "sources": {},
        "warnings": [],
        "content": {"size": 2_500_000, "mtime_ns": 1, "columns": {"id": "0a", "z": "absent"}},
        **changes,
    }  # fmt: skip


def _source(**changes):
    """What a source gave to a field, as `summarise_field` makes it."""
    return {
        "kind": "catalogue", "files": 1, "left_out": 0, "objects": 0, "dropped": {}, "matched": 0,
        "contested": 0, "separation": None, "bands": {}, **changes,
    }  # fmt: skip


@pytest.fixture
def real_figures():
    """Write figures to files in this test; each takes a second."""


@pytest.fixture(autouse=True)
def _figures_on_demand(request, monkeypatch):
    """Render figures, but write no files, unless a test requests `real_figures`."""

    def render_only(figure, folder, name):
        figure.draw_without_rendering()
        return f"{name}.png"

    if "real_figures" not in request.fixturenames:
        monkeypatch.setattr("astromodal.evaluation.report.section.save_figure", render_only)


@pytest.fixture(scope="session")
def summary():
    """Make a field's summary as its JSON file holds it, with changes."""
    return _summary


@pytest.fixture(scope="session")
def source():
    """Make the JSON values of what a source gave to a field, with changes."""
    return _source


@pytest.fixture(scope="session")
def field_summary():
    """Make a field's summary as the report reads it, with changes to the JSON values."""
    return lambda field, **changes: FieldSummary.from_json(_summary(field, **changes))


@pytest.fixture
def context(tmp_path):
    """Make the context of an evaluation, with settings by dotted name."""

    def make(fields, settings=None, **more):
        config = load_config(settings or {})
        return EvaluationContext(fields, config, tmp_path / "figures", **more)

    return make


@pytest.fixture
def make_field(tmp_path):
    """Write a cube and its split; every second row is in the test split."""

    def make(name: str, columns: dict[str, object], n: int, selected=None) -> SimpleNamespace:
        ids = [f"{name}-{i}".encode() for i in range(n)]
        path = tmp_path / f"datacube_{name}.parquet"
        pq.write_table(pa.table({"id": pa.array(ids, pa.binary()), **columns}), path)
        cube = Cube(path, name, ColumnSettings())
        split = Split(
            ids=cube.ids(),
            healpix=np.zeros(n, np.int64),
            split=np.where(np.arange(n) % 2, TEST, TRAIN).astype(np.uint8),
            selected=np.ones(n, bool) if selected is None else np.asarray(selected),
        )
        split_path = tmp_path / f"{name}_split.npz"
        split.save(split_path)
        return SimpleNamespace(name=name, cube=cube, path=path, split=split, split_path=split_path)

    return make


@pytest.fixture
def as_evaluated():
    """Fields of `make_field` with further files, ready to be evaluated."""

    def convert(fields, trained, **files):
        return evaluated_fields(
            [f.name for f in fields], trained,
            cube=[f.path for f in fields], split=[f.split_path for f in fields],
            **{what: [Path(p) for p in paths] for what, paths in files.items()},
        )  # fmt: skip

    return convert
