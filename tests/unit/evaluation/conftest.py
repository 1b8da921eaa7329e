"""Small fields, written as real cubes are, for the evaluation's tests."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from astromodal.config.schema import ColumnSettings
from astromodal.data.cube import Cube
from astromodal.data.splits import TEST, TRAIN, Split
from astromodal.evaluation.held_out import evaluated_fields
from astromodal.evaluation.images.sample import ImageSample


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
        "warnings": [],
        "content": {"size": 2_500_000, "mtime_ns": 1, "columns": {"id": "0a", "z": "absent"}},
        **changes,
    }  # fmt: skip


@pytest.fixture
def real_figures():
    """Ask for figures that are really written; they take a second each."""


@pytest.fixture(autouse=True)
def _figures_on_demand(request, monkeypatch):
    """Draw figures, but write none, unless a test asks for `real_figures`."""

    def render_only(figure, folder, name):
        figure.draw_without_rendering()
        return f"{name}.png"

    if "real_figures" not in request.fixturenames:
        monkeypatch.setattr("astromodal.evaluation.report.section.save_figure", render_only)


@pytest.fixture(scope="session")
def summary():
    """Make a field's summary, with changes."""
    return _summary


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


@pytest.fixture
def image_sample():
    """A sample of n cutouts in which nothing is lost; fields may be replaced."""

    def make(n=20, n_bands=2, **changes):
        ones = np.ones((n, n_bands))
        circles = np.stack([1000 * ones, 2000 * ones], axis=-1)
        values = {
            "ids": np.array([f"s{i}" for i in range(n)]),
            "residual_codes": 4 * ones, "residual_latents": 4 * ones, "total": 100 * ones,
            "n_pixels": 4 * ones, "flux": 1000 * ones, "flux_codes": 1000 * ones,
            "flux_latents": 1000 * ones, "noise": ones, "circle": circles,
            "circle_codes": circles, "circle_latents": circles, "fwhm": 1.5 * ones,
            "fwhm_codes": 1.5 * ones, "fwhm_latents": 1.5 * ones, "star": np.ones(n, bool),
            "hidden": None, "counts": np.ones(4, int), "n_whole": n, "n_uncoded": 0,
            "n_outside": 0, "n_short": 0,
        }  # fmt: skip
        return ImageSample(**{**values, **changes})

    return make
