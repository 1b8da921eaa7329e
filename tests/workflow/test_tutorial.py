"""The tutorial, block by block, with the tiny run in the demo's place."""

import sys
from pathlib import Path

import pytest

from helpers.console import demo_checkout, fences, run, spans

pytestmark = pytest.mark.workflow

PAGE = "docs/tutorial.md"
BEFORE = ("make demo",)
"""Lines that the finished run stands for."""


def type_in(folder: Path, line: str) -> None:
    """Type a line as it stands; it must end without an error, and train nothing again."""
    done = run(line, folder, Path(sys.executable).parent)
    assert done.returncode == 0, done.stdout[-6000:]
    assert "rule train_" not in done.stdout


def test_the_tutorial_runs(finished, tmp_path, monkeypatch):
    """Every block works as written, after the ones before it."""
    folder = demo_checkout(tmp_path / "astromodal", finished)
    monkeypatch.chdir(folder)
    names = {}
    for fence in fences(PAGE):
        if fence.language == "python":
            exec(compile(fence.text, fence.name, "exec"), names)
            continue
        for line in fence.text.splitlines():
            typed = line.removeprefix("$ ")
            if typed not in BEFORE:
                type_in(folder, typed)
    for name in ("decoded.png", "redshifts.png"):
        assert (folder / name).stat().st_size > 0
    assert names["predicted"].mean.shape == names["true"].shape
    kinds = names["kinds"]
    assert kinds.probabilities.shape == (len(names["objects"]), len(kinds.classes))
    (call,) = [span.text for span in spans(PAGE) if span.text.startswith("model.")]
    assert eval(call, names).bundle.temperatures == {"scalar": 1.16}
