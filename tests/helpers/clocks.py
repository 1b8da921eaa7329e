"""Nodes of a throw-away Slurm whose clocks are wrong."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from helpers.slurm import Cluster, munged, wait_for

SOURCE = Path(__file__).with_name("clock.c")


@dataclass(frozen=True)
class Clock:
    """A clock that is ahead by some seconds, or behind.

    Attributes
    ----------
    library : path
        Made of clock.c by `build`.
    ahead : int
        Seconds.
    stamps : bool
        Whether the clock of the node that writes a file gives the file its time.
    """

    library: Path
    ahead: int
    stamps: bool = False

    def variables(self) -> dict[str, str]:
        """Variables with which a process has this clock."""
        stamps = {"CLOCK_STAMPS": "1"} if self.stamps else {}
        return {"LD_PRELOAD": str(self.library), "CLOCK_AHEAD": str(self.ahead), **stamps}


def build(folder: Path) -> Path:
    """The library that moves the clock of the processes that it is preloaded in."""
    library = folder / "clock.so"
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", library, SOURCE, "-ldl"], check=True)
    return library


@contextmanager
def clocks(cluster: Cluster, **nodes: Clock) -> Iterator[None]:
    """Inside, nodes of these names have wrong clocks: their daemons, munged, and jobs."""
    folders = [cluster.folder / f"clock-{node}" for node in nodes]
    for node, folder in zip(nodes, folders, strict=True):
        cluster.end(node)
        _start(cluster, node, nodes[node], folder)
    try:
        for node in nodes:
            wait_for(lambda node=node: cluster.state_of(node) == "idle", f"node {node}")
        yield
    finally:
        cluster.wait_until_idle()
        for node, folder in zip(nodes, folders, strict=True):
            cluster.end(node)
            cluster.end(f"munged-{node}")
            shutil.rmtree(folder)
            cluster.start_node(node)


def _start(cluster: Cluster, node: str, clock: Clock, folder: Path) -> None:
    """Start a node with a configuration of its own, by which its jobs get its clock, too."""
    variables = clock.variables()
    folder.mkdir()
    for name in ("munge.key", "gres.conf", "cgroup.conf"):
        shutil.copy(cluster.folder / name, folder / name)
    cluster.daemon(f"munged-{node}", munged(folder), variables)
    wait_for((folder / "munge.socket").exists, "munged's socket")
    prolog = folder / "prolog"
    lines = (shlex.quote(f"export {name}={value}") for name, value in variables.items())
    prolog.write_text("#!/bin/sh\n" + "".join(f"echo {line}\n" for line in lines))
    prolog.chmod(0o755)
    conf = (cluster.folder / "slurm.conf").read_text()
    conf = conf.replace(f"socket={cluster.folder}/", f"socket={folder}/")
    (folder / "slurm.conf").write_text(f"{conf}TaskProlog={prolog}\n")
    cluster.start_node(node, variables | {"SLURM_CONF": str(folder / "slurm.conf")})
