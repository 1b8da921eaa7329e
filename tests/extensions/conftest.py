"""A run on cubes of one's own that lack much, with light curves."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from astromodal.core.paths import Layout
from helpers.workflow import made_once, tiny


@pytest.fixture(scope="session")
def lacking(tmp_path_factory) -> tuple[Layout, str]:
    """Two cubes of one's own: ids of another name, no redshift, no image in the field that trains.

    The labels named are columns that no cube has. Light curves are among the groups. Beside the
    paths stands what the run printed.
    """
    workflow = made_once(tmp_path_factory, "lacking", make)
    return Layout(str(workflow.folder / "own")), (workflow.folder / "said.txt").read_text()


def make(folder: Path) -> None:
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
