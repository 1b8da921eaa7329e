"""A run is the same in any surroundings."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from helpers.hostile import surround
from helpers.workflow import tiny
from interruptions.sky import contents

pytestmark = pytest.mark.workflow

RULES = (
    "simulate_field", "split_field", "encode_scalars", "encode_spectra", "pack_sequences",
    "train_transformer", "evaluate_scalars", "evaluate_transformer", "render_report",
)  # fmt: skip
REMADE = (
    "cubes/datacube_T-3.parquet", "splits/datacube_T-3_split.npz",
    "outputs/scalar_tokens/datacube_T-3_scalar_tokens.npz",
    "outputs/spectrum_tokens/datacube_T-3_spectrum_tokens.npz",
    "outputs/sequences/datacube_T-3_sequences.safetensors",
    "runs_tokens_transformer/[!v]*", "evaluation/scalars.json", "evaluation/transformer.json",
    "evaluation/figures/scalars", "evaluation/figures/transformer", "report/report.html",
)  # fmt: skip
"""What these rules make: of a field that is held out, of the model, and figures of both."""


def remove(path: Path) -> None:
    """A file, or a folder with all that is in it."""
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def test_the_same_bytes_in_hostile_surroundings(finished, tmp_path):
    """A notebook's backend, a foreign locale, stale modules, warnings that are errors, no home.

    Results and figures are those of a plain run, and their owner can read them.
    """
    copy = tiny(tmp_path / "copy")
    shutil.copytree(finished.folder, copy.folder)
    expected = contents(copy.results)
    for pattern in REMADE:
        for path in list(copy.results.glob(pattern)):
            remove(path)
    assert len(expected) - len(contents(copy.results)) > 20
    surround(copy, tmp_path / "user")
    copy.run("results/report/report.html", "--allowed-rules", *RULES)
    found = contents(copy.results)
    names = sorted({*found, *expected})
    assert [name for name in names if found.get(name) != expected.get(name)] == []
    modes = {path: path.stat().st_mode for path in copy.results.rglob("*")}
    assert [path for path, mode in modes.items() if mode & 0o600 != 0o600] == []
