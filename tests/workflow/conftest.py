from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from astromodal.core.paths import Layout
from helpers.workflow import Workflow, made_once, run_further, run_once, tiny


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Workflow:
    """The tiny sky, run to the end once for all tests that only look at it."""
    return run_once(tmp_path_factory, "tiny")


@pytest.fixture(scope="session")
def used(tmp_path_factory) -> Workflow:
    """The finished workflow, with its model put to use, and compared with variants of it."""
    targets = ("embed", "predict", "export", "index", "atlas", "hats", "photoz", "ablations")
    return run_further(tmp_path_factory, "used", lambda run: run.run(*targets))


@pytest.fixture(scope="session")
def tuned(tmp_path_factory) -> Workflow:
    """The finished tiny sky with two fine-tuned models, and their predictions of one field."""
    return run_further(tmp_path_factory, "tuned", _finetune)


def _finetune(run: Workflow) -> None:
    """Fine-tune the tiny sky's model to its classes, and to a table of numbers with errors."""
    paths, rows = Layout(str(run.results)), []
    for field in ("T-1", "T-2", "T-3"):
        table = pq.read_table(paths.cube(field), columns=["id", "mag_pstotal_r"])
        rows += zip(table["id"].to_pylist(), table["mag_pstotal_r"].to_pylist(), strict=True)
    names, light = zip(*((i, m) for i, m in rows if m is not None and m == m), strict=True)
    columns = {
        "source": [name.decode() if isinstance(name, bytes) else name for name in names],
        "brightness": pa.array(light, pa.float64()),
        "sigma": np.full(len(light), 0.1),
    }
    pq.write_table(pa.table(columns), run.folder / "labels.parquet")
    run.config["fields"] = ["T-3"]
    run.config["evaluation"]["downstream"] = {"given": ["scalar"], "label_fractions": [0.5, 1.0]}
    run.config["finetune"] = {
        "head_epochs": 2,
        "epochs": 1,
        "labels": {
            "kind": {"column": "specz_class_spec"},
            "brightness": {
                "table": "labels.parquet",
                "id": "source",
                "value": "brightness",
                "error": "sigma",
                "unit": "mag",
                "hidden": ["mag_pstotal_r"],
            },
        },
    }
    run.run("finetune")


@pytest.fixture
def fresh(tmp_path) -> Workflow:
    """The tiny sky before anything has run."""
    return tiny(tmp_path)


@pytest.fixture(scope="session")
def lacking(tmp_path_factory) -> tuple[Layout, str]:
    """Two cubes of one's own: ids of another name, no redshift, no image in the field that trains.

    The labels named are columns that no cube has. Light curves are among the groups. Beside the
    paths stands what the run printed.
    """
    workflow = made_once(tmp_path_factory, "lacking", _run_what_lacks)
    return Layout(str(workflow.folder / "own")), (workflow.folder / "said.txt").read_text()


def _run_what_lacks(folder: Path) -> None:
    """Make the cubes, run the workflow to the report, and keep what it prints."""
    workflow = tiny(folder)
    simulate = workflow.config.pop("simulate") | {"n_sources": 40, "light_curve_fraction": 0.8}
    absent = {"W-1": ["specz", "desi", "images"], "W-2": ["specz", "desi"]}
    simulate["fields"] = {name: {"absent": surveys} for name, surveys in absent.items()}
    tokenizers = workflow.config["tokenizers"]
    tokenizers["fields"] = ["W-1"]
    tokenizers["spectrum"] |= {"groups": ["gaiaxp_bp", "ztf_g", "ztf_r"], "max_epochs": 96}
    tokenizers["image"]["bands"] = ["G", "R"]
    workflow.config["simulate"] = simulate
    workflow.simulate("cubes")
    for name in absent:
        path = folder / f"cubes/datacube_{name}.parquet"
        table = pq.read_table(path)
        names = ["source" if column == "id" else column for column in table.column_names]
        pq.write_table(table.rename_columns(names), path)
    del workflow.config["simulate"]
    workflow.config["paths"] = {
        "results": "own",
        "datacube_template": "cubes/datacube_{field}.parquet",
    }
    workflow.config["columns"] = {"id": "source"}
    labels = {"redshift": "my_z", "kind": "my_class", "stellar": ["my_teff"], "tied": []}
    sections = ["scalars", "spectra", "images", "transformer", "downstream", "embeddings"]
    downstream = {"given": ["scalar"]}
    workflow.config["evaluation"] |= {
        "sections": sections, "labels": labels, "downstream": downstream
    }  # fmt: skip
    (folder / "said.txt").write_text(workflow.run(Layout("own").report).text)
