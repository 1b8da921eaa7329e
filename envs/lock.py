"""Write `lock.txt` and `lock-gpu.txt`: all packages, at the constraints' versions, with hashes.

``lock.txt`` has what all computers share, ``lock-gpu.txt`` torch with CUDA. The hashes of torch
without CUDA, in ``lock-cpu.txt``, are not on the package index; they are entered by hand.
"""

import re
import subprocess
import sys
from pathlib import Path

ENVS = Path(__file__).parent
COMMAND = "pip compile pyproject.toml --extra slurm --constraint envs/constraints.txt"
OPTIONS = "--universal --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet"
CUDA = re.compile(r"(nvidia|cuda)-.*|triton")
"""Packages that torch brings for a GPU alone."""
HEAD = """\
# {what}, on Linux and macOS with Python 3.11 to 3.13: versions and hashes.
# Made by: make lock
"""


def locked() -> list[tuple[str, str]]:
    """Return the name of each package of the project's requirements, with its lines of the lock."""
    uv = [sys.executable, "-m", "uv", *COMMAND.split(), *OPTIONS.split()]
    done = subprocess.run(uv, cwd=ENVS.parent, check=True, stdout=subprocess.PIPE, text=True)
    entries = re.split(r"^(?=[a-z0-9])", done.stdout, flags=re.MULTILINE)
    return [(entry.partition("==")[0], entry) for entry in entries if entry.strip()]


def write(path: Path, head: str, entries: list[str]) -> None:
    """Write entries below a head."""
    path.write_text(head + "".join(entries), encoding="utf-8")


def main() -> None:
    """Resolve once, and divide the result."""
    of_gpu, shared = [], []
    for name, entry in locked():
        (of_gpu if name == "torch" or CUDA.fullmatch(name) else shared).append(entry)
    write(ENVS / "lock.txt", HEAD.format(what="Everything but torch"), shared)
    gpu = HEAD.format(what="Everything, and torch with CUDA") + "-r lock.txt\n"
    write(ENVS / "lock-gpu.txt", gpu, of_gpu)


if __name__ == "__main__":
    main()
