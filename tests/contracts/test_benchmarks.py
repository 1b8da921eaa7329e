"""The benchmarks' table says what was measured, and which marks hold."""

import ast
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """Benchmarks stand beside the package, not in it."""
    monkeypatch.syspath_prepend(str(ROOT))


@pytest.mark.parametrize(
    ("value", "at_most", "holds"),
    [(8.0, False, True), (7.9, False, False), (8.0, True, True), (8.1, True, False)],
)
def test_a_mark_is_a_bound(value, at_most, holds):
    """From below, or from above; the mark itself holds."""
    from benchmarks.harness import Row

    assert Row("s", "w", "a", value, mark=8, at_most=at_most).holds is holds


def test_a_row_without_a_mark_holds():
    """It explains the others."""
    from benchmarks.harness import Row

    assert Row("s", "w", "a", 0.0).holds


def test_a_missed_mark_is_said_in_the_table():
    """The page counts marks, not rows, and marks what was missed."""
    from benchmarks.__main__ import line
    from benchmarks.harness import Row

    assert "| ≥ 8 | **no** |" in line(Row("s", "w", "a", 7.0, mark=8))
    assert "| ≤ 600 | yes |" in line(Row("s", "w", "a", 7.0, "MB", mark=600, at_most=True))


def test_both_ways_are_timed_in_turn():
    """One call each that does not count, then one after the other."""
    from benchmarks.harness import paired

    calls = []
    pair = paired(lambda: calls.append("a"), lambda: calls.append("b"), repeats=2)
    assert "".join(calls) == "ababab"
    assert pair.ratio == pair.theirs / pair.ours


def test_a_slow_way_needs_no_call_that_does_not_count():
    """Ours is called once before, theirs is not."""
    from benchmarks.harness import paired

    calls = []
    paired(lambda: calls.append("a"), lambda: calls.append("b"), repeats=2, warm=False)
    assert "".join(calls) == "aabab"


def test_memory_of_another_process_is_measured():
    """100 MB that are held and let go count."""
    from benchmarks.harness import peak_memory

    held = peak_memory("import numpy as np", "np.ones(12_500_000).sum()")
    assert 95 < held < 150


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks").glob("*.py")), ids=lambda p: p.stem)
def test_what_a_benchmark_imports_is_there(path):
    """Every name that it imports from the package: no other test runs a benchmark."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("astromodal"):
            module = import_module(node.module)
            missing = [name.name for name in node.names if not hasattr(module, name.name)]
            assert not missing, f"{node.module} has no {', '.join(missing)}"
