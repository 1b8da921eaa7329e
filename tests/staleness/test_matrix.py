"""What is stale: change something and run, undo it and run, and see which jobs ran."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from helpers.workflow import Workflow

from .conftest import GROUPS

ENCODERS = ("encode_scalars", "encode_spectra", "encode_images")
EVALUATIONS = {"evaluate_scalars", "evaluate_spectra", "evaluate_images"}
REPORTED = {"evaluate_transformer", "render_report"}
TRAINED = {"train_transformer"} | REPORTED


def of(rules: str, fields: str) -> set[str]:
    """Jobs of rules, each of fields: ``of("encode_scalars", "AB")``."""
    return {f"{rule} {field}" for rule in rules.split() for field in fields}


CODEBOOKS = {f"train_spectrum_codebook {group}" for group in GROUPS}
REFITTED_SPECTRA = (
    CODEBOOKS
    | {"assemble_spectrum_tokenizer", "build_vocabulary", "evaluate_spectra"}
    | of("encode_spectra pack_sequences", "ABC")
    | TRAINED
)


def rewrite(path: Path, change=lambda table: table, **options) -> None:
    """Write a cube again."""
    table = pq.read_table(path)
    pq.write_table(change(table), path, **options)


def column(name: str, value):
    """A change of a table: `value(old)` in the first row that has something in a column."""

    def change(table: pa.Table) -> pa.Table:
        values = table.column(name).to_pylist()
        row = next(i for i, v in enumerate(values) if v is not None and v == v)
        values[row] = value(values[row])
        place = table.column_names.index(name)
        return table.set_column(place, name, pa.array(values, table.column(name).type))

    return change


@dataclass
class Case:
    """A change and the jobs that it makes run; `change` gets the survey and returns its undoing."""

    name: str
    change: object
    runs: set[str]
    undone: set[str] | None = None
    """Jobs that run when it is undone, where they are others."""
    thorough: bool = False
    """Whether another case makes the same kinds of jobs run, so that CI leaves this one out."""


def cube(field: str, name: str, value):
    """Change a value of a cube's column; undone by the very file there was before."""

    def change(survey: Workflow):
        path = survey.folder / f"cubes/datacube_{field}.parquet"
        kept = path.with_suffix(".before")
        shutil.copy2(path, kept)
        rewrite(path, column(name, value))
        return lambda: shutil.copy(kept, path)

    return change


def setting(*names: str, value):
    """Change a setting."""

    def change(survey: Workflow):
        place = survey.config
        for name in names[:-1]:
            place = place.setdefault(name, {})
        before = place.get(names[-1])
        place[names[-1]] = value

        def undo():
            if before is None:
                del place[names[-1]]
            else:
                place[names[-1]] = before

        return undo

    return change


def source(module: str, old: str, new: str):
    """Change the code of a module."""

    def change(survey: Workflow):
        path = survey.folder / f"scripts/astromodal/{module}.py"
        before = path.read_text()
        assert before.count(old) == 1, f"{module}: {old!r} stands {before.count(old)} times"
        path.write_text(before.replace(old, new))
        return lambda: path.write_text(before)

    return change


def new_field(survey: Workflow):
    """A cube that was not there."""
    path = survey.folder / "cubes/datacube_D.parquet"
    shutil.copy2(survey.folder / "datacube_D.parquet", path)
    return path.unlink


CASES = [
    Case(
        "spectra of a held-out cube", cube("C", "desi_flux_b", lambda flux: [2 * f for f in flux]),
        of("summarize_field encode_spectra pack_sequences", "C") | {"evaluate_spectra"} | REPORTED,
    ),
    Case(
        "scalars of a held-out cube", cube("C", "fwhm_n_det", lambda fwhm: fwhm + 1),
        of("summarize_field encode_scalars pack_sequences", "C")
        | {"evaluate_scalars", "evaluate_images"} | REPORTED,
        thorough=True,
    ),
    Case(
        "images of a held-out cube", cube("C", "splus_cut_R", lambda cut: [p + 1 for p in cut]),
        of("summarize_field encode_images pack_sequences", "C") | {"evaluate_images"} | REPORTED,
        thorough=True,
    ),
    Case(
        "positions of a held-out cube", cube("C", "ra", lambda ra: ra + 0.001),
        of("split_field summarize_field pack_sequences", "C")
        | {f"{rule} C" for rule in ENCODERS} | EVALUATIONS | REPORTED,
        thorough=True,
    ),
    Case(
        "the class of a held-out source", cube("C", "specz_class_spec", lambda kind: "OTHER"),
        of("summarize_field", "C") | {"render_report"},
    ),
    Case(
        "spectra of a training cube", cube("A", "desi_flux_b", lambda flux: [2 * f for f in flux]),
        of("summarize_field sample_spectra", "A") | REFITTED_SPECTRA,
    ),
    Case(
        "a new field", new_field,
        of("split_field summarize_field pack_sequences", "D")
        | {f"{rule} D" for rule in ENCODERS} | EVALUATIONS | REPORTED,
        undone=EVALUATIONS | REPORTED,
    ),
    Case(
        "the learning rate", setting("training", "learning_rate", value=1e-3), TRAINED,
    ),
    Case(
        "bins of scalars", setting("tokenizers", "scalar", "n_bins", value=20),
        {"train_scalar_tokenizer", "assemble_spectrum_tokenizer", "train_image_codebook"}
        | {"build_vocabulary"} | of("pack_sequences", "ABC")
        | {f"{rule} {field}" for rule in ENCODERS for field in "ABC"} | EVALUATIONS | TRAINED,
    ),
    Case(
        "Lloyd steps of spectra", setting("tokenizers", "spectrum", "iterations", value=4),
        REFITTED_SPECTRA,
        thorough=True,
    ),
    Case(
        "examples of the report", setting("evaluation", "n_examples", value=4),
        EVALUATIONS | {"render_report"},
        thorough=True,
    ),
    Case(
        "a function that encodes scalars",
        source(
            "tokenizers/scalars/tokenizer", "    values = cube.scalars(tokenizer.columns)[row]",
            "    columns = tokenizer.columns\n    values = cube.scalars(columns)[row]",
        ),
        of("encode_scalars pack_sequences", "ABC") | {"evaluate_scalars"} | TRAINED,
    ),
    Case(
        "a function that nothing calls",
        source(
            "evaluation/report/render", "def render_report(",
            "def _not_called() -> None: ...\n\n\ndef render_report(",
        ),
        set(),
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=case.name, marks=[pytest.mark.thorough] if case.thorough else [])
        for case in CASES
    ],
)
def test_a_change_runs_the_jobs_that_depend_on_it(survey, case):
    """Forwards and backwards; in between and afterwards there is nothing to do."""
    undo = case.change(survey)
    assert survey.ran() == case.runs
    assert survey.ran() == set()
    undo()
    assert survey.ran() == (case.runs if case.undone is None else case.undone)
    assert survey.ran() == set()


def touched(path: Path) -> None:
    """A newer time: this moment's. Snakemake takes inputs of the future for a clock that is off."""
    os.utime(path)


def copied_back(path: Path) -> None:
    """The same bytes in another file."""
    shutil.copy(path, path.with_suffix(".copy"))
    path.unlink()
    path.with_suffix(".copy").rename(path)


def rewritten(path: Path) -> None:
    """The same values, in other row groups with another compression."""
    rewrite(path, row_group_size=7, compression="zstd")


def by_pandas(path: Path) -> None:
    """The same values, read and written by pandas."""
    import pandas as pd

    pd.read_parquet(path, dtype_backend="pyarrow").to_parquet(path)
    touched(path)


@pytest.mark.parametrize("way", [touched, copied_back, rewritten, by_pandas])
def test_the_same_values_in_another_file_plan_nothing(survey, way):
    """A cube of any field, touched, copied back or rewritten, is the cube that it was."""
    for field in "AC":
        way(survey.folder / f"cubes/datacube_{field}.parquet")
    assert survey.ran() == set()


@pytest.mark.parametrize("new", ["# a comment\n", '"""A note."""\n', "\n\n"])
def test_what_is_no_code_plans_nothing(survey, new):
    """A comment, a bare text, an empty line; nor does a newer time of every file of code."""
    for path in (survey.folder / "scripts").rglob("*.py"):
        path.write_text(path.read_text() + new)
    assert survey.ran() == set()


def test_frozen_parts_are_kept(survey):
    """With both frozen, a training field's other spectra are encoded, and nothing trains."""
    survey.config["freeze"] = ["tokenizers", "transformer"]
    assert survey.ran() == {"render_report"}  # whose page shows the config
    model = (survey.results / "runs_tokens_transformer/final_model.pt").read_bytes()
    cube("A", "desi_flux_b", lambda flux: [2 * f for f in flux])(survey)
    wanted = of("summarize_field encode_spectra pack_sequences", "A") | REPORTED
    assert survey.ran() == wanted
    assert (survey.results / "runs_tokens_transformer/final_model.pt").read_bytes() == model
    assert "tokenizers frozen: kept as made on" in survey.call("-n").text


def test_inputs_made_again_the_same_do_not_train_again(survey):
    """The training's job runs, sees that its inputs are the same, and ends with those weights."""
    final = survey.results / "runs_tokens_transformer/final_model.pt"
    before = torch.load(final)["model_state_dict"]
    ran = survey.ran("--forcerun", "encode_scalars")
    assert "train_transformer" in ran
    log = (survey.results / "logs/train_transformer/train_transformer.log").read_text()
    assert "goes on from checkpoint_step_" in log
    assert "split=train" not in log
    after = torch.load(final)["model_state_dict"]
    assert all(torch.equal(value, after[name]) for name, value in before.items())
