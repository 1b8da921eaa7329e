"""With this folder on PYTHONPATH, a job of Snakemake's is killed, or writes late, on request.

Of Snakemake itself, which makes the plan, only the faults of a rule ``plan`` are requested: it is
killed before its n-th write. With a folder ``jobs``, it notes its number of writes, too.

Requests and notes are files of the folder ``INTERRUPTIONS``:

- ``faults/RULE/N.json`` is for the first job of the rule that finds it: ``{"after": seconds}``
  kills it at that time, ``{"write": n}`` before the n-th time that it opens a file to be written,
  renames or deletes one in the results. ``killed.jsonl`` has a line of each that was killed.
- If there is a folder ``jobs``, each job leaves a copy of its script there, with which it can be
  run without Snakemake, and ``ended.jsonl`` has a line of each: its outputs, how many writes and
  seconds it took, and how many bytes of address space until its imports were done, and at most.
- ``group`` holds a path into which the job writes its number, to be in a control group.
- ``late`` and ``skew`` hold seconds: what is renamed into place appears that much later, or has a
  time that is that much ahead.
"""

import atexit
import json
import os
import re
import shutil
import signal
import sys
import time
from pathlib import Path

script = Path(" ".join(sys.orig_argv[-1:]))
folder = Path(os.environ.get("INTERRUPTIONS", "/nowhere"))
results = os.path.join(os.getcwd(), "results", "")


def writes(event, values):
    """Whether an audit event is a write below the results, of anything but a log."""
    if event == "open":
        writing = values[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    else:
        writing = event in ("os.rename", "os.remove")
    if not writing or not isinstance(values[0], (str, bytes, os.PathLike)):
        return False
    path = os.path.abspath(os.fsdecode(values[0]))
    return path.startswith(results) and not path.startswith(f"{results}logs/")


def note(name, **values):
    """Add a line to a file; one write, since jobs run side by side."""
    with (folder / name).open("a") as stream:
        stream.write(json.dumps({"rule": rule, "job": job, **values}) + "\n")


def fault():
    """The first fault for this rule that no other job has taken."""
    for path in sorted((folder / "faults" / rule).glob("*.json")):
        taken = path.with_suffix(".taken")
        try:
            path.rename(taken)
        except FileNotFoundError:
            continue
        return json.loads(taken.read_text())
    return {}


def kill_after(seconds, parent):
    """Kill the job at a time of its life, from a process beside it."""
    if os.fork():
        return
    os.closerange(0, 3)  # or whoever reads the job's output would wait for this process
    end = time.monotonic() + seconds
    while time.monotonic() < end and os.getppid() == parent:
        time.sleep(0.01)
    if os.getppid() == parent:
        note("killed.jsonl", after=seconds)
        os.kill(parent, signal.SIGKILL)
    os._exit(0)


def kill_at_write(number):
    """Kill the job before a write; before its end where there are fewer."""
    seen = 0

    def die():
        note("killed.jsonl", write=number)
        os.kill(os.getpid(), signal.SIGKILL)

    def count(event, values):
        nonlocal seen
        if writes(event, values):
            seen += 1
            if seen == number:
                die()

    sys.addaudithook(count)
    atexit.register(die)


def peak():
    """The most address space that the process has had (byte)."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmPeak:\s+(\d+) kB", status)[1]) << 10


def record():
    """Keep the script, and count its writes and seconds."""
    shutil.copy(script, folder / "jobs" / f"{rule}.{job}.py")
    began, seen, imported = time.monotonic(), 0, 0

    def count(event, values):
        nonlocal seen, imported
        if not imported and event == "open" and str(values[0]).endswith(f"{rule}/{job}.log"):
            imported = 1  # what looks for the peak opens a file, too
            imported = peak()
        seen += writes(event, values)

    def write():
        seconds, outputs = time.monotonic() - began, list(sys.modules["__main__"].snakemake.output)
        took = {"seconds": seconds, "imported": imported, "peak": peak()}
        note("ended.jsonl", writes=seen, outputs=outputs, **took)

    sys.addaudithook(count)
    atexit.register(write)


def renamed(replace, late, skew):
    """A rename into the results that another node sees late, or that has the time of its clock."""

    def rename(source, target, **options):
        if late:
            kept = f"{os.fspath(source)}.late"
            replace(source, kept)
            if not os.fork():
                os.setsid()
                os.closerange(0, 3)
                time.sleep(late)
                replace(kept, target)
                os._exit(0)
        else:
            replace(source, target, **options)
            moment = time.time() + skew
            os.utime(target, (moment, moment))

    return rename


def requested(name):
    """The seconds that stand in a file; 0 without it."""
    path = folder / name
    return float(path.read_text()) if path.exists() else 0.0


def count_plan():
    """Count the writes of a plan."""
    seen = 0

    def count(event, values):
        nonlocal seen
        seen += writes(event, values)

    sys.addaudithook(count)
    atexit.register(lambda: note("plans.jsonl", writes=seen))


if "snakemake" in sys.orig_argv and "--mode" not in sys.orig_argv and folder.is_dir():
    rule = job = "plan"
    results = os.path.join(folder.parent, "results", "")  # it is started in another folder
    if (folder / "jobs").is_dir():
        count_plan()
    match fault():
        case {"write": number}:
            kill_at_write(number)
elif ".snakemake/scripts" in str(script) and folder.is_dir():
    # Its log is named in what Snakemake writes before the script.
    rule, job = re.search(rb"results/logs/(\w+)/([\w.+-]+)\.log", script.read_bytes()).groups()
    rule, job = rule.decode(), job.decode()
    if (folder / "group").exists():
        Path((folder / "group").read_text()).write_text(str(os.getpid()))
    if (folder / "jobs").is_dir():
        record()
    if requested("late") or requested("skew"):
        os.replace = renamed(os.replace, requested("late"), requested("skew"))
    match fault():
        case {"after": seconds}:
            kill_after(seconds, os.getpid())
        case {"write": number}:
            kill_at_write(number)
