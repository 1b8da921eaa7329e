"""Stand-ins for the programs of documented lines: they check a call, and change nothing.

``install`` puts them into a folder for `PATH`. Snakemake itself plans, with ``-n`` behind what was
typed; `make` prints its recipe; `pip` reads its options; others have a parser here.
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
QUICK = ("astromodal", "astromodal.training.budget", "astromodal.jobs.resources")
"""Modules that `python -m` runs for real."""


def snakemake(words: list[str]) -> None:
    """Plan; what has no plan (`--unlock`, `--report`, `--lint`) is done."""
    from snakemake.cli import main, parse_args

    options = parse_args(words)[1]
    done = options.unlock or options.report or options.lint
    if not (done or options.dryrun or options.cores or options.jobs):
        # A plan needs no cores, and so would hide this.
        sys.exit("typed without -n, this ends with: cores have to be specified")
    main(words if done else [*words, "-n"])


def make(words: list[str]) -> None:
    """Print what the targets would run."""
    folders = os.environ["PATH"].split(os.pathsep)
    others = [folder for folder in folders if folder != os.environ["STAND_INS"]]
    real = shutil.which("make", path=os.pathsep.join(others))
    if real is None:
        sys.exit("make must be installed")
    os.execv(real, ["make", "--dry-run", *words])


def pip(words: list[str]) -> None:
    """Let pip read the options; look whether files and extras are there, and names are names."""
    read = [sys.executable, "-m", "pip", *words, "--help"]
    subprocess.run(read, check=True, stdout=subprocess.DEVNULL)
    flags = "--quiet --no-cache-dir --require-hashes --no-deps --no-build-isolation"
    parser = _parser("pip", "-c --constraint -e --editable -r --requirement", flags)
    parser.add_argument("--progress-bar")
    parser.add_argument("command", choices=["install"])
    parser.add_argument("packages", nargs="*")
    given = parser.parse_intermixed_args(words)
    for package in given.packages:
        Requirement(package)
    for path in filter(None, (given.c, given.r)):
        _require(path)
    if given.e:
        folder, _, extras = given.e.removesuffix("]").partition("[")
        project = tomllib.loads(_require(f"{folder}/pyproject.toml").read_text())["project"]
        unknown = {*filter(None, extras.split(","))} - project["optional-dependencies"].keys()
        if unknown:
            sys.exit(f"no extra: {unknown}")


def python(words: list[str]) -> None:
    """Make an environment without pip, run a quick module, or find a slow one."""
    if words[0] != "-m":
        _require_main(_require(words[0]))
        return
    name, *rest = words[1:]
    if name == "pip":
        pip(rest)
    elif name == "venv":
        os.execv(sys.executable, [sys.executable, "-m", "venv", "--without-pip", *rest])
    elif name in QUICK:
        os.execv(sys.executable, [sys.executable, *words])
    else:
        sys.path.insert(0, os.getcwd())
        found = importlib.util.find_spec(name)
        if found is not None and found.submodule_search_locations:
            found = importlib.util.find_spec(f"{name}.__main__")
        if found is None or found.origin is None:
            sys.exit(f"no module {name}")
        _require_main(Path(found.origin))


def astromodal(words: list[str]) -> None:
    """Run it for real: it only looks."""
    os.execv(sys.executable, [sys.executable, "-m", "astromodal", *words])


def _require_main(path: Path) -> None:
    """A module that does something when it is run: it ends with a call of its own."""
    last = ast.parse(path.read_text()).body[-1]
    if not isinstance(last, ast.If if path.name != "__main__.py" else (ast.If, ast.Expr)):
        sys.exit(f"{path} does nothing when it is run")


def git(words: list[str]) -> None:
    """Clone the checkout that this file is in."""
    from helpers.console import checkout

    command, source, folder = words
    if command != "clone" or not Path(source).samefile(ROOT):
        sys.exit(f"git {command} {source}: give this stand-in a way to check it")
    checkout(Path(folder))


def snakedeploy(words: list[str]) -> None:
    """Look for what it copies, and for the tag of this version."""
    import astromodal

    parser = _parser("snakedeploy", "--tag")
    parser.add_argument("command", choices=["deploy-workflow"])
    parser.add_argument("source")
    parser.add_argument("folder")
    given = parser.parse_args(words)
    for name in ("Snakefile", "config/config.yaml", "profiles/default/config.yaml"):
        _require(str(ROOT / name))
    if not given.source.startswith("https://") or given.tag != f"v{astromodal.__version__}":
        sys.exit(f"{given.source} has no {given.tag}")


def uv(words: list[str]) -> None:
    """Look for the lock, whose hashes are required."""
    parser = _parser("uv", "--torch-backend -r", "--require-hashes")
    parser.add_argument("commands", nargs=2, choices=["pip", "install"])
    given = parser.parse_args(words)
    if "--hash=" not in _require(given.r).read_text() or not given.require_hashes:
        sys.exit(f"{given.r} has no hashes")


def apptainer(words: list[str]) -> None:
    """Say the version, as a plan asks it; make a file of the image where Docker has saved it."""
    if words == ["--version"]:
        print("apptainer version 1.3.4")
        return
    command, made, source = words
    kind, _, path = source.partition(":")
    if command != "build" or kind != "docker-archive":
        sys.exit(f"apptainer {words}: give this stand-in a way to check it")
    _require(path)
    Path(made).touch()


def docker(words: list[str]) -> None:
    """Look for what an image is built from; plan as the container would, in the mounted folder."""
    command, *rest = words
    if command == "build":
        parser = _parser("docker", "-f -t --build-arg")
        parser.add_argument("folder", type=_require)
        given = parser.parse_args(rest)
        recipe = _require(given.f).read_text()
        if given.build_arg and f"ARG {given.build_arg.split('=')[0]}=" not in recipe:
            sys.exit(f"the image has no {given.build_arg}")
        return
    if command == "save":
        image, option, path = rest
        if (image, option) != ("astromodal", "-o"):
            sys.exit(f"docker save {image}: give this stand-in a way to check it")
        Path(path).touch()
        return
    parser = _parser("docker", "--user -v", "--rm")
    parser.add_argument("command", choices=["run"])
    parser.add_argument("image")
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    given = parser.parse_args(words)
    folder, _, mounted = given.v.partition(":")
    if mounted != "/data" or given.image.partition(":")[0] != "astromodal":
        sys.exit(f"nothing is known of {given.v} in {given.image}")
    os.chdir(folder)
    snakemake(["--snakefile", str(ROOT / "Snakefile"), *given.arguments])


def conda(words: list[str]) -> None:
    """Tell of a conda that is new enough, as a plan asks it."""
    if words == ["--version"]:
        print("conda 25.1.0")
        return
    answers = {
        "info": {"conda_prefix": "/opt/conda", "conda_version": "25.1.0", "platform": "linux-64"},
        "config": {"get": {"channel_priority": "strict"}},
    }
    print(json.dumps(answers[words[0]]))


def editor(words: list[str]) -> None:
    """Look for the files."""
    for path in words:
        _require(path)


def pip_audit(words: list[str]) -> None:
    """Look for the file; its advisories are on the network."""
    parser = _parser("pip-audit", "--requirement", "--no-deps --disable-pip")
    _require(parser.parse_args(words).requirement)


def squeue(words: list[str]) -> None:
    """Read the options."""
    _parser("squeue", "--states --format", "--me").parse_args(words)


def sinfo(words: list[str]) -> None:
    """Read the option."""
    _parser("sinfo", "", "-s").parse_args(words)


def scontrol(words: list[str]) -> None:
    """Read the command."""
    if words not in (["show", "config"], ["show", "partition"]):
        sys.exit(f"scontrol {words}: give this stand-in a way to check it")


def _parser(name: str, valued: str, flags: str = "") -> argparse.ArgumentParser:
    """A parser of options by their names; the short and the long name of pip's are one."""
    parser = argparse.ArgumentParser(prog=name, add_help=False)
    names = valued.split()
    while names:
        one = [names.pop(0)]
        if len(one[0]) == 2 and names and names[0].startswith(f"-{one[0]}"):
            one.append(names.pop(0))
        parser.add_argument(*one, dest=one[0].strip("-").replace("-", "_"))
    for flag in flags.split():
        parser.add_argument(flag, action="store_true")
    return parser


def _require(path: str) -> Path:
    if not Path(path).exists():
        sys.exit(f"no {path}")
    return Path(path)


PROGRAMS: dict[str, Callable[[list[str]], None]] = {
    "astromodal": astromodal,
    "snakemake": snakemake,
    "make": make,
    "pip": pip,
    "python": python,
    "python3.11": python,
    "git": git,
    "snakedeploy": snakedeploy,
    "docker": docker,
    "apptainer": apptainer,
    "uv": uv,
    "conda": conda,
    "editor": editor,
    "pip-audit": pip_audit,
    "squeue": squeue,
    "sinfo": sinfo,
    "scontrol": scontrol,
}


def install(folder: Path) -> Path:
    """Put the stand-ins into a folder, for `PATH`."""
    folder.mkdir()
    for name in PROGRAMS:
        path = folder / name
        path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{__file__}" {name} "$@"\n')
        path.chmod(0o755)
    return folder


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[1])
    PROGRAMS[sys.argv[1]](sys.argv[2:])
