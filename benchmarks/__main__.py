"""Run every benchmark, or those named, and write ``benchmarks/RESULTS.md``.

``python -m benchmarks [NAME ...]``: the exit status is 1 where a row misses its mark.
"""

from __future__ import annotations

import importlib
import os
import platform
import sys
import time
from collections.abc import Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path

from benchmarks.harness import ROOT, Row

NAMES = tuple(
    sorted(p.stem.removeprefix("bench_") for p in Path(__file__).parent.glob("bench_*.py"))
)
PACKAGES = (
    "numpy",
    "numba",
    "scipy",
    "scikit-learn",
    "faiss-cpu",
    "pyarrow",
    "torch",
    "transformers",
    "GaiaXPy",
)
RESULTS = ROOT / "benchmarks/RESULTS.md"


def main(names: Sequence[str]) -> int:
    """Run the benchmarks of `names`, all where there are none; return the exit status."""
    rows: list[Row] = []
    for name in names or NAMES:
        started = time.perf_counter()
        print(f"== {name}", flush=True)
        for row in importlib.import_module(f"benchmarks.bench_{name}").rows():
            print(line(row), flush=True)
            rows.append(row)
        print(f"   {time.perf_counter() - started:.0f} s", flush=True)
    if not names:
        RESULTS.write_text(page(rows), encoding="utf-8")
        print(f"== wrote {RESULTS.relative_to(ROOT)}")
    missed = [row for row in rows if not row.holds]
    for row in missed:
        print(f"missed: {row.stage}, {row.what}: {shown(row)}, mark {mark(row)}")
    return 1 if missed else 0


def page(rows: Sequence[Row]) -> str:
    """The page of results."""
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    held = sum(row.holds for row in rows if row.mark is not None)
    marks = sum(row.mark is not None for row in rows)
    return f"""# Benchmarks

Written by `make bench` on {date.today()}: {held} of {marks} marks hold. Both sides of a ratio run
in turn in one process; times are medians of at least 5, peaks of memory of one run. A ratio (×) is
the baseline's time over ours. Rows without a mark explain the others; of the image networks the
marks are for the default one.

Machine: {_processor()}, {os.cpu_count()} cores, {platform.system()}, Python
{platform.python_version()}; {versions}.

{table(rows)}
"""


def table(rows: Sequence[Row]) -> str:
    """Rows below their headings."""
    heads = "| stage | what | against | measured | mark | holds | medians |"
    return "\n".join([heads, "|" + " --- |" * 7, *map(line, rows)])


def line(row: Row) -> str:
    """A row of the table."""
    verdict = "" if row.mark is None else "yes" if row.holds else "**no**"
    cells = (row.stage, row.what, row.against, shown(row), mark(row), verdict, row.detail)
    return "| " + " | ".join(cells) + " |"


def shown(row: Row) -> str:
    """A row's measurement with its unit."""
    number = f"{row.value:,.0f}" if abs(row.value) >= 100 else f"{row.value:.3g}"
    return f"{number} {row.unit}".strip()


def mark(row: Row) -> str:
    """A row's mark with its sign."""
    if row.mark is None:
        return ""
    return f"{'≤' if row.at_most else '≥'} {row.mark:g}"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    names = [
        text.split(":", 1)[1].strip()
        for text in (info.read_text().splitlines() if info.is_file() else [])
        if text.startswith("model name")
    ]
    return names[0] if names else platform.machine()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
