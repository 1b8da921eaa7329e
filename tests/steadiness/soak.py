"""A long run: many fields on two cores, with jobs and Snakemakes killed and the config changed.

It ends with an error where not everything is up to date, a file is left over, memory or open files
grow, or the time of a plan does more than grow in proportion.

    python tests/steadiness/soak.py --fields 200 --folder results/soak
"""

from __future__ import annotations

import argparse
import math
import os
import random
import re
import resource
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from helpers.watching import Seen, Watch, running_jobs
from helpers.workflow import Workflow, tiny

TARGETS = ("all", "predict")
RECORDS = (  # files under the results that are no job's output
    r"(last_run|inventory)\.json",
    r"runs_tokens_transformer/(checkpoint_step_\d+\.pt|checkpoints\.json)",
    r"benchmarks/\w+/[\w-]+\.tsv",
)
GROWTH = 1.25
"""How much more memory the last quarter may take than the one before the middle."""
MORE_FILES = 8
"""How many more files may be open in the last quarter."""


@dataclass
class Call:
    """A call of Snakemake, and what was done to it."""

    what: str
    watch: Watch
    seconds: float = 0.0
    jobs: int = 0
    restarts: int = 0
    killed: Counter = field(default_factory=Counter)
    status: int = 0


class Soak:
    """The run.

    Parameters
    ----------
    folder : Path
        Made anew for it.
    n_fields : int
        Fields of the sky.
    seed : int
        Seed of what is killed, and when.
    every : float
        Jobs that end, on average, between two kills of one.
    """

    def __init__(self, folder: Path, n_fields: int, seed: int, every: float) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self.workflow: Workflow = tiny(folder, "soak")
        self.fields = [f"S-{i:03d}" for i in range(n_fields)]
        trained = self.workflow.config["tokenizers"]["fields"]
        sources = {name: {"n_sources": 40} if name in trained else {} for name in self.fields}
        self.workflow.config["simulate"]["fields"] = sources
        self.random, self.every = random.Random(seed), every
        self.calls: list[Call] = []

    def settle(self, what: str, killed_at: tuple[float, ...] = ()) -> None:
        """Run until everything is made, and kill Snakemake at such shares of its jobs."""
        for share in killed_at:
            self.call(f"{what}, until Snakemake is killed", share)
            self.workflow.run("--unlock")
        for attempt in range(5):
            again = ", again since a job was killed too often" if attempt else ""
            if self.call(what + again).status == 0:
                return
        raise SystemExit(f"{what}: five calls of Snakemake did not come to an end")

    def call(self, what: str, killed_at: float | None = None) -> Call:
        """Run Snakemake once, killing a job now and then, and all of it at a share of its jobs."""
        log = self.workflow.folder / f"call_{len(self.calls)}.log"
        options = ("--retries", "2", "--keep-going", "--rerun-incomplete", *TARGETS)
        began = time.monotonic()
        environment = self.workflow.environment()
        del environment["SETTINGS_FOLDER"]  # nothing is traced
        with log.open("w") as stream:
            process = subprocess.Popen(
                self.workflow.command(*options),
                env=environment,
                stdout=stream,
                stderr=subprocess.STDOUT,
            )
            call = Call(what, Watch(process.pid))
            call.watch.start()
            self._disturb(process, call, log, killed_at)
        call.watch.stop()
        text = log.read_text()
        call.seconds, call.status = time.monotonic() - began, process.returncode
        call.jobs, call.restarts = text.count("Finished jobid"), text.count("Trying to restart")
        self.calls.append(call)
        print(line_of(call), flush=True)
        return call

    def _disturb(
        self, process: subprocess.Popen, call: Call, log: Path, killed_at: float | None
    ) -> None:
        """Kill jobs until Snakemake ends, or has done its share and is killed with them."""
        root = psutil.Process(process.pid)
        following = self.random.expovariate(1 / self.every)
        while process.poll() is None:
            time.sleep(self.random.uniform(0, 2))
            ended, total = steps(log)
            if killed_at is not None and ended >= killed_at * total:
                root.suspend()  # it starts nothing more
                for each in (*root.children(recursive=True), root):
                    with suppress(psutil.Error):
                        each.kill()
                process.wait()
                return
            running = list(running_jobs(root))
            if ended >= following and running:
                following = ended + self.random.expovariate(1 / self.every)
                victim, rule = self.random.choice(running)
                with suppress(psutil.Error):
                    victim.kill()
                    call.killed[rule] += 1

    def plan(self, *options: str) -> tuple[str, float, float]:
        """A dry run: what it says, its seconds, and those of the processor."""
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        text = self.workflow.run("--dry-run", *options).text
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return text, time.monotonic() - began, used

    def plan_times(self) -> dict[int, tuple[float, float]]:
        """Seconds of the plan of a quarter, half and all of the fields, with nothing to do."""
        found = {}
        for n in (len(self.fields) // 4, len(self.fields) // 2, len(self.fields)):
            self.workflow.config["fields"] = self.fields[:n]
            text, *times = self.plan("encode", "predict")
            if "Nothing to be done" not in text:
                raise SystemExit(f"a plan of {n} fields found something to do:\n{text[-3000:]}")
            found[n] = tuple(times)
        del self.workflow.config["fields"]
        return found

    def orphans(self) -> list[str]:
        """Files among the results that are neither an output or log of a job nor a record."""
        rows = self.workflow.run("--summary", *TARGETS).text.splitlines()
        columns = [row.split("\t") for row in rows if row.count("\t") >= 5]
        known = {name for row in columns for name in (row[0], *row[3].split(","))}
        found = []
        for path in sorted(self.workflow.results.rglob("*")):
            name = path.relative_to(self.workflow.results).as_posix()
            above = {f"results/{parent}" for parent in Path(name).parents} | {f"results/{name}"}
            is_record = any(re.fullmatch(pattern, name) for pattern in RECORDS)
            if not path.is_dir() and not known & above and not is_record:
                found.append(name)
        return found


def steps(log: Path) -> tuple[int, float]:
    """How many jobs a Snakemake says it has done, and of how many."""
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - 100_000))
        tail = stream.read().decode(errors="replace")
    found = re.findall(r"^(\d+) of (\d+) steps", tail, re.MULTILINE)
    return (int(found[-1][0]), int(found[-1][1])) if found else (0, math.inf)


def line_of(call: Call) -> str:
    """A row of the table of calls."""
    quarters = call.watch.main.quarters() if call.watch.main.looks else []
    memory = ", ".join(f"{megabytes:.0f}" for megabytes, _ in quarters)
    files = ", ".join(str(n) for _, n in quarters)
    killed = sum(call.killed.values())
    return (
        f"| {call.what} | {call.seconds / 60:.1f} | {call.jobs} | {killed} | {call.restarts} "
        f"| {memory} | {files} |"
    )


def of_rules(calls: list[Call]) -> Iterator[tuple[str, list[Seen]]]:
    """The jobs that were seen, by rule, in the order in which they began."""
    jobs = [seen for call in calls for seen in call.watch.jobs.values()]
    for rule in sorted({seen.rule for seen in jobs}):
        yield rule, sorted((s for s in jobs if s.rule == rule), key=lambda s: s.began)


def first_and_last(jobs: list[Seen], value: Callable[[Seen], float]) -> tuple[float, float]:
    """The most of the first quarter of some jobs, and of the last."""
    n = max(1, len(jobs) // 4)
    return max(map(value, jobs[:n])), max(map(value, jobs[-n:]))


def faults(soak: Soak, plans: dict[int, tuple[float, float]]) -> Iterator[str]:
    """What is not as it must be."""
    text, *_ = soak.plan(*TARGETS)
    if "Nothing to be done" not in text:
        yield f"not everything is up to date:\n{text[-3000:]}"
    yield from (f"left over: {name}" for name in soak.orphans())
    for call in soak.calls:
        quarters = call.watch.main.quarters()
        if len(call.watch.main.looks) >= 100:
            if quarters[3][0] > GROWTH * quarters[1][0]:
                yield f"{call.what}: Snakemake's memory grew: {quarters}"
            if quarters[3][1] > quarters[1][1] + MORE_FILES:
                yield f"{call.what}: Snakemake's open files grew: {quarters}"
    for rule, jobs in of_rules(soak.calls):
        if len(jobs) >= 20:
            for value, most in ((lambda s: s.memory, GROWTH), (lambda s: s.files, GROWTH)):
                first, last = first_and_last(jobs, value)
                if last > most * first:
                    yield f"{rule}: its jobs took {first:.0f} at first and {last:.0f} at last"
    (few, (_, least)), *_, (many, (_, most)) = plans.items()
    if most / least > GROWTH * many / few:
        yield f"the plan of {many} fields takes {most:.1f} s, that of {few} {least:.1f} s"


def report(soak: Soak, plans: dict[int, tuple[float, float]]) -> Iterator[str]:
    """The tables."""
    yield "| call | minutes | jobs | killed | retried | MB, by quarter | files, by quarter |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    yield from map(line_of, soak.calls)
    yield ""
    yield "| rule | jobs seen | MB, first quarter | last | files, first quarter | last |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for rule, jobs in of_rules(soak.calls):
        memory, files = (first_and_last(jobs, v) for v in (lambda s: s.memory, lambda s: s.files))
        numbers = " | ".join(f"{value:.0f}" for value in (*memory, *files))
        yield f"| {rule} | {len(jobs)} | {numbers} |"
    yield ""
    yield "| fields | seconds of a plan | of the processor |"
    yield "| --- | --- | --- |"
    for n, (seconds, used) in plans.items():
        yield f"| {n} | {seconds:.1f} | {used:.1f} |"


def main() -> None:
    """Run, report, and end with an error where something is not as it must be."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--fields", type=int, default=200)
    parser.add_argument("--folder", type=Path, default=Path("results/soak"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--every", type=float, default=15.0, help="jobs between two kills")
    chosen = parser.parse_args()
    soak = Soak(chosen.folder.resolve(), chosen.fields, chosen.seed, chosen.every)
    print(f"process {os.getpid()}, {vars(chosen)}", flush=True)
    config = soak.workflow.config
    soak.settle("all fields", killed_at=(soak.random.uniform(0.2, 0.6),))
    config["predict"] = {"token_budget": 8192}
    soak.settle("another setting of predictions", killed_at=(soak.random.uniform(0.2, 0.6),))
    config["evaluation"]["seed"] = 6
    soak.settle("another setting of the evaluation")
    plans = soak.plan_times()
    lines = list(report(soak, plans))
    wrong = list(faults(soak, plans))
    lines += ["", *wrong] if wrong else ["", "Everything is up to date, and nothing is left over."]
    (chosen.folder / "soak.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    raise SystemExit(1 if wrong else 0)


if __name__ == "__main__":
    main()
