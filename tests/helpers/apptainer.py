"""A stand-in for Apptainer, which Debian does not package: it writes down how it was called.

An image that is a folder becomes the root of the command's file system, with what is mounted in
Apptainer and nothing else of this computer; that needs root. Any other image is this computer.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

CALLS = "APPTAINER_CALLS"
"""Variable that names the file of the calls."""
MOUNTED = ("/tmp", "/proc", "/dev", "/sys")
"""What every container has of the computer."""


@dataclass(frozen=True)
class Call:
    """One start of a container: its image and command, its home folder and what is mounted."""

    image: str
    command: str
    home: str
    binds: list[str]


def install(folder: Path) -> dict[str, str]:
    """Put the stand-in into a folder; the variables of a user who has it on the path."""
    folder.mkdir()
    program = folder / "apptainer"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{__file__}" "$@"\n')
    program.chmod(0o755)
    path = [str(folder), str(Path(sys.executable).parent), os.environ["PATH"]]
    return {"PATH": os.pathsep.join(path), CALLS: str(folder / "calls.jsonl")}


def calls(folder: Path) -> list[Call]:
    """Every start of a container so far."""
    written = folder / "calls.jsonl"
    lines = written.read_text().splitlines() if written.exists() else []
    return [Call(**json.loads(line)) for line in lines]


def parse(words: list[str]) -> Call:
    """Read a call; what Apptainer would not know is an error."""
    parser = argparse.ArgumentParser(prog="apptainer", allow_abbrev=False)
    parser.add_argument("--quiet", action="store_true")
    parser.add_argument("--silent", action="store_true")
    parser.add_argument("action", choices=["exec"])
    parser.add_argument("--home", required=True)
    parser.add_argument("--bind", action="append", default=[])
    parser.add_argument("--nv", action="store_true")
    parser.add_argument("image")
    parser.add_argument("shell", choices=["sh", "bash"])
    parser.add_argument("-c", dest="command", required=True)
    given = parser.parse_args(words)
    by_variable = [p for p in os.environ.get("APPTAINER_BIND", "").split(",") if p]
    return Call(given.image, given.command, given.home, [*given.bind, *by_variable])


def entering(call: Call) -> str:
    """The shell's lines that make the image the root, and start the command in the same folder."""
    root, here = shlex.quote(os.path.realpath(call.image)), shlex.quote(os.getcwd())
    lines = ["set -e", "mount --make-rprivate /"]
    for bind in dict.fromkeys([*MOUNTED, call.home, *call.binds]):
        source, _, target = bind.partition(":")
        inside = f"{root}{shlex.quote(target or source)}"
        lines += [f"mkdir -p {inside}", f"mount --rbind {shlex.quote(source)} {inside}"]
    start = shlex.join(["bash", "-c", f"cd {here} && {call.command}"])
    return "\n".join([*lines, f"exec chroot {root} {start}"])


def main(words: list[str]) -> None:
    """Say the version, or write the call down and run it."""
    if words == ["--version"]:
        print("apptainer version 1.3.4")
        return
    call = parse(words)
    with open(os.environ[CALLS], "a", encoding="utf-8") as file:
        file.write(json.dumps(vars(call)) + "\n")
    command = ["bash", "-c", call.command]
    if Path(call.image).is_dir():
        os.environ |= {"PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": call.home}
        command = ["unshare", "--mount", "/bin/sh", "-c", entering(call)]
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
