"""The locks hold the project's requirements, at the constraints' versions, with their hashes."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCKS = ("lock.txt", "lock-cpu.txt", "lock-gpu.txt")
HASH = r"--hash=sha256:[0-9a-f]{64}"
COMPUTERS = [
    {"sys_platform": system, "python_version": python, "python_full_version": f"{python}.0"}
    for system in ("linux", "darwin")
    for python in ("3.11", "3.12", "3.13")
]


@dataclass(frozen=True)
class Pin:
    """A package of a lock: its name, version, hashes, and the computers that it is for."""

    name: str
    version: str
    marker: str
    hashes: tuple[str, ...]

    def on(self, computer: dict[str, str]) -> bool:
        """Whether it is installed on a computer."""
        return not self.marker or Marker(self.marker).evaluate(computer)


def lines(lock: str) -> list[str]:
    """Lines of a lock without comments, continued ones joined."""
    text = re.sub(r"^#.*\n", "", (ROOT / "envs" / lock).read_text(), flags=re.MULTILINE)
    return re.sub(r" \\\n\s+", " ", text).splitlines()


def pins(lock: str) -> list[Pin]:
    """Every package of a lock, without those of the lock that it includes."""
    found = []
    for line in lines(lock):
        if line == "-r lock.txt":
            continue
        match = re.fullmatch(rf"([a-z0-9-]+)==(\S+?)(?: ; (.*?))?((?: {HASH})+)", line)
        assert match, line[:80]
        found.append(Pin(match[1], match[2], match[3] or "", tuple(match[4].split())))
    return found


def installed(lock: str, computer: dict[str, str]) -> dict[str, Pin]:
    """What a lock installs on a computer, by name."""
    both = [*pins("lock.txt"), *pins(lock)]
    chosen = [pin for pin in both if pin.on(computer)]
    assert len(chosen) == len({pin.name for pin in chosen})
    return {pin.name: pin for pin in chosen}


def constraints() -> dict[str, str]:
    """Versions of the constraints."""
    text = (ROOT / "envs/constraints.txt").read_text()
    pairs = re.findall(r"^([\w.-]+)==(\S+)$", text, re.MULTILINE)
    return {canonicalize_name(name): version for name, version in pairs}


@pytest.mark.parametrize("lock", LOCKS)
def test_versions_are_those_of_the_constraints(lock):
    """Whoever installs with hashes has what others have; `+cpu` names a build of a version."""
    pinned = constraints()
    assert [p for p in pins(lock) if p.version.removesuffix("+cpu") != pinned.get(p.name)] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_every_package_has_hashes(lock):
    """None is there twice; the pattern of a line requires at least one hash."""
    assert all(len(set(pin.hashes)) == len(pin.hashes) > 0 for pin in pins(lock))


@pytest.mark.parametrize("computer", COMPUTERS, ids=lambda c: " ".join(list(c.values())[:2]))
@pytest.mark.parametrize("lock", LOCKS[1:])
def test_every_requirement_is_locked(lock, computer):
    """On Linux and macOS, for each Python of the project; with the executor for Slurm."""
    names = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["slurm"], "setuptools>=77"]
    needed = {canonicalize_name(r.name): r.specifier for r in map(Requirement, names)}
    there = installed(lock, computer)
    assert [n for n, must in needed.items() if n not in there or there[n].version not in must] == []


def test_the_locks_differ_in_torch_and_cuda_alone():
    """Both include what is shared; CUDA is for Linux, and no part of the lock without it."""
    assert [pin.name for pin in pins("lock-cpu.txt")] == ["torch", "torch"]
    others = {pin.name for pin in pins("lock-gpu.txt")} - {"torch"}
    assert all(re.fullmatch(r"(nvidia|cuda)-.*|triton", name) for name in others)
    assert not others & installed("lock-gpu.txt", COMPUTERS[-1]).keys()
    assert all("-r lock.txt" in lines(lock) for lock in LOCKS[1:])


def test_torch_without_cuda_is_a_build_of_its_own():
    """Its hashes on Linux are no hashes of builds with CUDA; on macOS there is one build."""
    linux, macos = pins("lock-cpu.txt")
    (any_build,) = [pin for pin in pins("lock-gpu.txt") if pin.name == "torch"]
    assert linux.version == f"{any_build.version}+cpu"
    assert not {*linux.hashes} & {*any_build.hashes}
    assert macos.version == any_build.version
    assert {*macos.hashes} < {*any_build.hashes}


@pytest.mark.parametrize("lock", LOCKS)
def test_no_lock_names_an_index(lock):
    """Where packages come from is the user's setting."""
    assert not re.search(
        r"https?:|--(extra-)?index|--find-links", (ROOT / "envs" / lock).read_text()
    )
