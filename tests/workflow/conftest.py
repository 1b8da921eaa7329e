from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from astromodal.core.paths import Layout
from helpers.workflow import Workflow, run_further, run_once, tiny


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
