"""Resources of jobs: those that a run used, by Snakemake's benchmark records, and those to request.

``python -m astromodal.jobs.resources results`` prints a table, and the ``set-resources`` of a
profile. Snakemake samples memory twice a second at first and every 30 s later. It can miss a short
peak, which the factor allows for.
"""

from __future__ import annotations

import argparse
import ast
import glob
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from astromodal.core.paths import Layout
from astromodal.errors import AstromodalError, ConfigError, FormatError, must_be

UNMEASURED = ("NA", "-")  # Snakemake's values of a job too short to be sampled
REMAKE = "repair it, or run its job again: no result depends on it"


@dataclass(frozen=True)
class Record:
    """The resources that one run of a job used.

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
        The records of each rule, at least one, in the order of the rules' names.

    Raises
    ------
    ConfigError
        Where the folder does not exist, or has no record.
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
    """Read a job's benchmark file, with one record per repeat.

    Raises
    ------
    FormatError
        Where the file is damaged.
    """
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
    """Return the sum of the sizes (MB) of a job's input files, which Snakemake writes by file."""
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
SNAKEMAKE_MEMORY = 300  # MB of Snakemake in a Slurm job, which records leave out
MIN_SIZES = 4  # different input sizes that an estimate of growth needs
HEADINGS = ("rule", "jobs", "median s", "longest s", "max_rss MB", "load %", "with its input")


@dataclass(frozen=True)
class RuleUse:
    """The resources that a rule's jobs used.

    Attributes
    ----------
    rule : str
        Name of the rule.
    jobs : int
        Number of records.
    median_seconds, longest_seconds : float
        Wall time.
    memory : float, optional
        Largest resident memory of a job in MB; None where no job was sampled.
    load : float, optional
        Mean load over the time of all sampled jobs, in percent of one core.
    growth : float, optional
        Additional seconds per MB of input; 0 where the time does not grow, None where unknown.
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
        """Summarise the records of a rule, at least one."""
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
        """Return the MB to request: largest times `factor`, plus Snakemake's; None if unknown."""
        if self.memory is None:
            return None
        return max(MEMORY_FLOOR, _up(self.memory * factor + SNAKEMAKE_MEMORY, MEMORY_STEP))

    def runtime(self, factor: float) -> int:
        """Return the minutes to request: the longest time times `factor`."""
        return max(RUNTIME_STEP, _up(self.longest_seconds / 60 * factor, RUNTIME_STEP))


def _up(value: float, step: int) -> int:
    """Return the next multiple of `step`, after rounding errors are removed."""
    return step * math.ceil(round(value / step, 9))


def growth(records: Iterable[Record]) -> float | None:
    """Return the additional seconds of a job per additional MB of input.

    Returns
    -------
    float or None
        Slope of the least-squares line; 0 where it is not above zero at a level of 5 percent
        (one-sided t-test). None where fewer than four input sizes are known.
    """
    from scipy.stats import linregress  # here: plans import this module

    known = [(r.input_size, r.seconds) for r in records if r.input_size is not None]
    sizes, times = [size for size, _ in known], [seconds for _, seconds in known]
    if len(set(sizes)) < MIN_SIZES:
        return None
    line = linregress(sizes, times, alternative="greater")
    return float(line.slope) if line.pvalue < 0.05 else 0.0


def table(uses: Iterable[RuleUse]) -> str:
    """Return one line per rule: jobs, wall time, memory, load, growth of time with the input."""
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


def training_resources(gpus: int, nodes: int) -> dict[str, int | str | Callable[..., int]]:
    """Return the resources of a training rule: one task per node, which starts all processes there.

    The time limit is a day. Slurm sends SIGTERM two minutes before the limit. The training then
    saves a checkpoint, and a retry continues from it.

    Parameters
    ----------
    gpus : int
        GPUs per node.
    nodes : int
        Number of nodes.
    """

    def mem_mb(wildcards: Any, attempt: int) -> int:
        return 64000 * attempt

    resources: dict[str, int | str | Callable[..., int]] = {"gpu": gpus, "runtime": 1440}
    resources |= {"slurm_extra": "--signal=TERM@120", "mem_mb": mem_mb}
    if gpus * nodes > 1:
        resources["tasks_per_gpu"] = -1  # else Snakemake's Slurm plugin requests one task per GPU
    if nodes > 1:
        # `mpi`: the script runs once, on the first node, and calls srun itself.
        del resources["gpu"]
        resources |= {"gres": f"gpu:{gpus}", "nodes": nodes, "tasks": nodes, "mpi": "srun"}
    return resources


def _growing(slope: float | None) -> str:
    if slope is None:
        return "unknown"
    return f"grows by {slope:.2g} s/MB" if slope else "no growth seen"


def proposal(uses: Iterable[RuleUse], factor: float) -> str:
    """Return the ``set-resources`` of a Slurm profile as YAML; a retry requests more.

    Parameters
    ----------
    uses : iterable of RuleUse
        The resources that the jobs of each rule used.
    factor : float
        Ratio of the requested memory and time to the largest ones used, at least 1.

    Raises
    ------
    ConfigError
        Where `factor` is less than 1 or not finite.
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
    """Print the table of a results folder and the resources to request, or an error."""
    parser = argparse.ArgumentParser(
        prog="python -m astromodal.jobs.resources",
        description="Resources that a run's jobs used, and resources to request from a cluster.",
    )
    parser.add_argument("results", metavar="RESULTS_FOLDER", help="the run's results folder")
    parser.add_argument(
        "--factor",
        type=float,
        default=1.5,
        help="ratio of requested to used resources (default 1.5)",
    )
    given = parser.parse_args(arguments)
    try:
        resources = read_results(given.results)
        uses = [RuleUse.of(rule, records) for rule, records in resources.items()]
        text = f"{table(uses)}\n\n{proposal(uses, given.factor)}"
    except AstromodalError as error:
        raise SystemExit(f"error: {error}") from error
    print(text)


if __name__ == "__main__":
    main(sys.argv[1:])
