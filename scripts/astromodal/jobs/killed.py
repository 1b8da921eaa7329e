"""Jobs that something killed, by Snakemake's log."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

_KILLED = re.compile(r"\.(\w+)\.py' died with <Signals\.SIGKILL: 9>")


def killed(logs: Iterable[str | Path]) -> Iterator[str]:
    """A line for each rule whose jobs were killed, with what that may mean.

    Parameters
    ----------
    logs : iterable of path
        Snakemake's logs of the run. Jobs on a cluster are not told there; their executor says why
        they ended.
    """
    texts = [Path(log).read_text(errors="replace") for log in logs]
    for rule, number in Counter(_KILLED.findall("".join(texts))).items():
        times = f" {number} times" if number > 1 else ""
        yield (
            f"rule {rule}: killed (SIGKILL){times}, as the kernel does where memory runs "
            "out; if so, run again with fewer --cores or on a machine with more memory"
        )
