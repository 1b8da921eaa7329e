"""The time and memory of jobs, as Snakemake's ``benchmark:`` directive records them.

A record is a line of a table: wall time ``s``, memory in MB, load in percent of one core, and with
``--benchmark-extended`` also ``input_size_mb``, a mapping from each input file to its size.
"""

from __future__ import annotations

import ast
import glob
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from astromodal.core.paths import Layout
from astromodal.errors import ConfigError, FormatError, must_be

UNMEASURED = ("NA", "-")  # what Snakemake writes for a job too short to be sampled
REMAKE = "mend it, or run its job again: no result depends on it"


@dataclass(frozen=True)
class Record:
    """What one run of a job took.

    Attributes
    ----------
    seconds : float
        Wall time.
    memory : float, optional
        Largest resident memory of the job's processes together, in MB; None if not sampled.
    load : float, optional
        Mean load in percent of one core; None if not sampled.
    input_size : float, optional
        Size of all input files in MB; None without ``--benchmark-extended``.
    """

    seconds: float
    memory: float | None
    load: float | None
    input_size: float | None


def read_results(results: str | Path) -> dict[str, list[Record]]:
    """Read every record below a results folder.

    Parameters
    ----------
    results : path
        The results folder of a run.

    Returns
    -------
    dict
        The records of each rule, of which there is one at least; rules by name.

    Raises
    ------
    ConfigError
        Where there is no such folder, or no record in it.
    FormatError
        Where a record is damaged.
    """
    if not Path(results).is_dir():
        do = "name the one that paths.results of the run's config names"
        raise ConfigError(must_be("the results folder", "a folder that exists", str(results), do))
    records: dict[str, list[Record]] = {}
    pattern = Layout(glob.escape(str(results))).benchmark("*")
    for path in sorted(map(Path, glob.glob(pattern))):
        records.setdefault(path.parent.name, []).extend(read_records(path))
    if not records:
        where = Layout(str(results)).benchmark("{rule}", "{job}")
        do = "run the workflow, or name another folder"
        raise ConfigError(must_be(where, "files that Snakemake's benchmarks wrote", "none", do))
    return records


def read_records(path: Path) -> list[Record]:
    """Read a job's benchmark file, one record a repeat; raise `FormatError` where it is damaged."""
    header, *lines = path.read_text(encoding="utf-8", errors="replace").splitlines() or [""]
    columns = header.split("\t")
    if not {"s", "max_rss", "mean_load"} <= set(columns):
        must = "a header with s, max_rss and mean_load"
        raise FormatError(must_be(f"{path}, line 1", must, f"{header!r:.60}", REMAKE))
    if not lines:
        raise FormatError(must_be(f"{path}, line 2", "a record", "the file's end", REMAKE))
    return [_record(f"{path}, line {n}", columns, line) for n, line in enumerate(lines, start=2)]


def _record(place: str, columns: Sequence[str], line: str) -> Record:
    cells = line.split("\t")
    if len(cells) != len(columns):
        raise FormatError(must_be(place, f"of {len(columns)} columns", len(cells), REMAKE))
    row = dict(zip(columns, cells, strict=True))
    seconds = _number(place, "s", row["s"])
    if seconds is None:
        raise FormatError(must_be(f"{place}: s", "a number", row["s"], REMAKE))
    memory, load = (_number(place, name, row[name]) for name in ("max_rss", "mean_load"))
    return Record(seconds, memory, load, _input_size(place, row.get("input_size_mb", "NA")))


def _number(place: str, name: str, cell: str) -> float | None:
    if cell in UNMEASURED:
        return None
    try:
        number = float(cell)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise FormatError(must_be(f"{place}: {name}", "a number from 0", f"{cell!r:.60}", REMAKE))
    return number


def _input_size(place: str, cell: str) -> float | None:
    """Sum of a mapping from file to size, as Snakemake writes it."""
    if cell in UNMEASURED:
        return None
    try:
        return math.fsum(ast.literal_eval(cell).values())
    except (ValueError, SyntaxError, AttributeError, TypeError) as error:
        name = f"{place}: input_size_mb"
        raise FormatError(must_be(name, "sizes by file", f"{cell!r:.60}", REMAKE)) from error
