"""Jobs that may not have the memory that they need."""

from __future__ import annotations

import re
import resource
import signal
from functools import partial

import pytest

from interruptions.groups import memory_group
from interruptions.jobs import NOISE, remove, run_job, under
from interruptions.sky import contents

pytestmark = pytest.mark.workflow

ENCODINGS = ("encode_scalars", "encode_spectra", "encode_images", "pack_sequences")
LEVELS = (0.5, 0.7, 0.85, 0.95)
"""Of the address space that the job took when nothing limited it; no less than its imports took.

Where OpenBLAS, which SciPy loads later, finds no 32 MB for itself, it asks for them for ever.
"""
SHARES = (0.4, 0.7, 0.9)
"""Of the memory that the job took when nothing limited it, for the kernel's limit."""
MORE = "killed (SIGKILL), as the kernel does where memory runs out"
ENOUGH = "memory must be enough for the job, got "
ABORTED = {
    -signal.SIGABRT: "bad_alloc|LLVM ERROR: out of memory",
    127: "cannot allocate memory for thread-local data",
}
"""How C++, LLVM and the C library end a process before Python hears of it, and what they say."""


@pytest.mark.parametrize("rule", ENCODINGS)
def test_too_little_memory_in_each_encoding(rule, reference, finished, tally):
    """A job ends rightly, or says in one line that memory is not enough, and leaves nothing.

    In threads of C++ a library ends the process itself, and says why.
    """
    whole, wrong = contents(finished.results), []
    ended = reference.noted("ended.jsonl")
    (job,) = [line for line in ended if (line["rule"], line["job"]) == (rule, "T-2")]
    for level in LEVELS:
        remove(finished, job)
        room = max(job["imported"], int(level * job["peak"]))
        limit = partial(resource.setrlimit, resource.RLIMIT_AS, (room, room))
        done = run_job(finished, reference, f"{rule}.T-2", limit)
        left = under(contents(finished.results), job)
        print(f"{rule}, {room:,} byte: status {done.returncode}, left {list(left)}")
        if done.returncode in ABORTED:
            aborted = re.search(ABORTED[done.returncode], done.stderr)
            end = "library aborts" if aborted and not left else "lost"
        elif done.returncode:
            clear = done.stderr.count(ENOUGH) == 1 and not any(n in done.stderr for n in NOISE)
            end = "named error" if clear and not left else "lost"
        else:
            end = "same result" if left == under(whole, job) else "lost"
        tally("memory limit in an encoding", end)
        if end == "lost":
            wrong.append(f"{level}: status {done.returncode}, left {left}\n{done.stderr[-1500:]}")
    assert not wrong, "\n\n".join(wrong)
    remove(finished, job)
    finished.run(*job["outputs"])
    assert contents(finished.results) == whole


@pytest.mark.parametrize("rule", ENCODINGS)
def test_the_kernel_s_limit_in_each_encoding(rule, reference, finished, tally):
    """The kernel kills a job for its memory: nothing is left, and with more of it all is made."""
    whole = contents(finished.results)
    ended = reference.noted("ended.jsonl")
    (job,) = [line for line in ended if (line["rule"], line["job"]) == (rule, "T-2")]
    with memory_group("astromodal-test") as group:
        (finished.notes / "group").write_text(str(group.joining))
        remove(finished, job)
        finished.run(*job["outputs"])
        enough = group.peak()
        for share in SHARES:
            remove(finished, job)
            group.limit(int(share * enough))
            done = finished.call(*job["outputs"])
            left = under(contents(finished.results), job)
            print(f"{rule}, {share} of {enough:,} byte: status {done.returncode}, left {left}")
            if done.returncode:
                assert "died with <Signals.SIGKILL: 9>" in done.text
                assert MORE in done.text
                assert left == {}
            else:
                assert left == under(whole, job)
            tally("kernel's memory limit", "named error" if done.returncode else "same result")
        group.limit(None)
        finished.run(*job["outputs"])
    assert contents(finished.results) == whole
