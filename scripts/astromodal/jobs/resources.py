"""What a run's jobs took, and what to ask a cluster for: Snakemake's benchmark records, by rule.

``python -m astromodal.jobs.resources results`` prints a table, and the ``set-resources`` of a
profile. Snakemake samples memory twice a second at first and every 30 s later: a short peak can go
unseen, which the factor is for.
"""

from __future__ import annotations

import argparse
import ast
import glob
import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from scipy.stats import linregress

from astromodal.core.paths import Layout
from astromodal.errors import AstromodalError, ConfigError, FormatError, must_be

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


MEMORY_STEP = 100  # MB
MEMORY_FLOOR = 500  # MB
RUNTIME_STEP = 5  # minutes
SNAKEMAKE_MEMORY = 300  # MB of the Snakemake around a script in a Slurm job, which no record counts
MIN_SIZES = 4  # different input sizes below which nothing is said about growth
HEADINGS = ("rule", "jobs", "median s", "longest s", "max_rss MB", "load %", "with its input")


@dataclass(frozen=True)
class RuleUse:
    """What a rule's jobs took.

    Attributes
    ----------
    rule : str
        The rule's name.
    jobs : int
        Number of records.
    median_seconds, longest_seconds : float
        Wall time.
    memory : float, optional
        The largest of all jobs, in MB; None where no job was sampled.
    load : float, optional
        Mean over the time of all jobs that were sampled, in percent of one core.
    growth : float, optional
        Seconds more a MB of input, 0 where time does not grow with it; None where that is unknown.
    """

    rule: str
    jobs: int
    median_seconds: float
    longest_seconds: float
    memory: float | None
    load: float | None
    growth: float | None

    @classmethod
    def of(cls, rule: str, records: Sequence[Record]) -> RuleUse:
        """Summarize a rule's records, of which there must be one at least."""
        times = [record.seconds for record in records]
        memories = [record.memory for record in records if record.memory is not None]
        loads = [(r.load, max(r.seconds, 1e-3)) for r in records if r.load is not None]
        whole = sum(seconds for _, seconds in loads)
        return cls(
            rule=rule,
            jobs=len(records),
            median_seconds=median(times),
            longest_seconds=max(times),
            memory=max(memories, default=None),
            load=sum(load * seconds for load, seconds in loads) / whole if loads else None,
            growth=growth(records),
        )

    def mem_mb(self, factor: float) -> int | None:
        """MB to ask for: the largest seen times `factor`, and Snakemake's; None if unmeasured."""
        if self.memory is None:
            return None
        return max(MEMORY_FLOOR, _up(self.memory * factor + SNAKEMAKE_MEMORY, MEMORY_STEP))

    def runtime(self, factor: float) -> int:
        """Minutes to ask for: the longest seen times `factor`."""
        return max(RUNTIME_STEP, _up(self.longest_seconds / 60 * factor, RUNTIME_STEP))


def _up(value: float, step: int) -> int:
    """The next multiple of `step`, not misled by the last digits of a product."""
    return step * math.ceil(round(value / step, 9))


def growth(records: Iterable[Record]) -> float | None:
    """Seconds more that a job takes for a MB more of input.

    Returns
    -------
    float or None
        Slope of the least-squares line; 0 where it is not above zero at a level of 5 percent
        (one-sided t-test). None where fewer than four input sizes are known.
    """
    known = [(r.input_size, r.seconds) for r in records if r.input_size is not None]
    sizes, times = [size for size, _ in known], [seconds for _, seconds in known]
    if len(set(sizes)) < MIN_SIZES:
        return None
    line = linregress(sizes, times, alternative="greater")
    return float(line.slope) if line.pvalue < 0.05 else 0.0


def table(uses: Iterable[RuleUse]) -> str:
    """A line a rule: jobs, wall time, memory, load, and whether time grows with the input."""
    rows: list[tuple[str, ...]] = [HEADINGS]
    for use in uses:
        times = f"{use.median_seconds:.1f}", f"{use.longest_seconds:.1f}"
        measured = ("-" if value is None else f"{value:.0f}" for value in (use.memory, use.load))
        rows.append((use.rule, str(use.jobs), *times, *measured, _growing(use.growth)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *numbers, last in rows:
        aligned = [f"{text:>{width}}" for text, width in zip(numbers, widths[1:-1], strict=True)]
        lines.append("  ".join([f"{first:<{widths[0]}}", *aligned, last]))
    return "\n".join(lines)


def _growing(slope: float | None) -> str:
    if slope is None:
        return "unknown"
    return f"grows by {slope:.2g} s/MB" if slope else "no growth seen"


def proposal(uses: Iterable[RuleUse], factor: float) -> str:
    """The ``set-resources`` of a Slurm profile, as YAML; a retry of a job asks for more.

    Parameters
    ----------
    uses : iterable of RuleUse
        What the rules' jobs took.
    factor : float
        How many times the largest memory and time seen to ask for, 1 at least.

    Raises
    ------
    ConfigError
        Where `factor` is less than 1 or no finite number.
    """
    if not 1 <= factor < math.inf:
        raise ConfigError(must_be("--factor", "a number from 1", factor))
    lines = ["set-resources:"]
    for use in uses:
        memory = use.mem_mb(factor)
        lines.append(f"  {use.rule}:")
        lines.append(f"    mem_mb: {memory} * attempt" if memory else "    # mem_mb: not measured")
        why = f"  # time {_growing(use.growth)} of input" if use.growth else ""
        lines.append(f"    runtime: {use.runtime(factor)} * attempt{why}")
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> None:
    """Print the table of a results folder and what to ask for; end with a message on an error."""
    parser = argparse.ArgumentParser(
        prog="python -m astromodal.jobs.resources",
        description="What a run's jobs took, and the resources to ask a cluster for.",
    )
    parser.add_argument("results", metavar="RESULTS_FOLDER", help="the run's results folder")
    parser.add_argument(
        "--factor", type=float, default=1.5, help="times the largest seen to ask for (default 1.5)"
    )
    given = parser.parse_args(arguments)
    try:
        found = read_results(given.results)
        uses = [RuleUse.of(rule, records) for rule, records in found.items()]
        text = f"{table(uses)}\n\n{proposal(uses, given.factor)}"
    except AstromodalError as error:
        raise SystemExit(f"error: {error}") from error
    print(text)


if __name__ == "__main__":
    main(sys.argv[1:])
