"""A stand-in for conda, whose channels are on the network: py-rattler solves and installs for it.

Its channel is a folder. What conda would take from conda-forge has the names and versions of
packages there, and holds what this computer has: its Python, its pip, and torch out of a wheel.
Other versions of the same names hold nothing. What the environments take from pip is installed by
pip, from a folder of wheels.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import platform
import subprocess
import sys
import tarfile
import zipfile
from importlib.util import find_spec
from pathlib import Path

import yaml

FOLDER = "CONDA_STAND_IN"
"""Variable that names the folder of the stand-in."""
SITE = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
ACTIVATE = '#!/bin/sh\nCONDA_PREFIX="$1"\nPATH="$1/bin:$PATH"\nexport CONDA_PREFIX PATH\n'
OTHERS = ("python-3.10.9", "python-3.14.2", "pytorch-cpu-2.12.0", "pytorch-cpu-2.14.0")
"""Packages of the channel that no environment may get."""


def missing() -> str | None:
    """Return why the stand-in cannot work here, or None."""
    if find_spec("rattler") is None:
        return "needs py-rattler: pip install -c envs/constraints.txt py-rattler"
    return None


def install(folder: Path, wheels: Path) -> dict[str, str]:
    """Put the stand-in and its channel into a folder; the variables of a user who has it."""
    (folder / "bin").mkdir(parents=True)
    program, activate = folder / "bin/conda", folder / "bin/activate"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{__file__}" "$@"\n')
    activate.write_text(ACTIVATE)
    program.chmod(0o755)
    (folder / "wheels").symlink_to(wheels)
    _fill_channel(folder)
    path = [str(folder / "bin"), os.environ["PATH"]]
    return {"PATH": os.pathsep.join(path), FOLDER: str(folder)}


def _fill_channel(folder: Path) -> None:
    """Write the channel's packages and their index."""
    from rattler.index import index_fs

    (torch_wheel,) = folder.glob("wheels/torch-*.whl")
    zipfile.ZipFile(torch_wheel).extractall(folder / "torch")
    torch_version = torch_wheel.name.split("-")[1].partition("+")[0]
    channel = folder / "channel/noarch"
    channel.mkdir(parents=True)
    python = {
        "pyvenv.cfg": f"home = {Path(sys.base_prefix, 'bin')}\n",
        "bin/python": Path(sys.base_prefix, "bin/python3"),
    }
    _write_package(channel, f"python-{platform.python_version()}", python)
    with_torch = {f"{SITE}/torch.pth": f"{folder / 'torch'}\n"}
    _write_package(channel, f"pytorch-cpu-{torch_version}", with_torch)
    from ensurepip import _bundled

    (pip_wheel,) = Path(_bundled.__path__[0]).glob("pip-*.whl")
    with_pip = {f"{SITE}/pip.pth": f"{pip_wheel}\n"}
    _write_package(channel, f"pip-{pip_wheel.name.split('-')[1]}", with_pip)
    for name in OTHERS:
        _write_package(channel, name, {})
    asyncio.run(index_fs(channel.parent))


def _write_package(channel: Path, named: str, files: dict[str, str | Path]) -> None:
    """Write a package of texts and links."""
    name, _, version = named.rpartition("-")
    index = {"name": name, "version": version, "build": "0", "build_number": 0, "depends": []}
    index |= {"subdir": "noarch", "noarch": "generic", "timestamp": 1_700_000_000_000}
    texts = {"info/index.json": json.dumps(index), "info/files": "\n".join(files)}
    with tarfile.open(channel / f"{named}-0.tar.bz2", "w:bz2") as archive:
        for path, content in {**texts, **files}.items():
            entry = tarfile.TarInfo(path)
            if isinstance(content, Path):
                entry.type, entry.linkname = tarfile.SYMTYPE, str(content)
                archive.addfile(entry)
            else:
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content.encode()))


async def _create(file: Path, prefix: Path, folder: Path) -> None:
    """Make the environment of a file, as `conda env create` does."""
    import rattler

    listed = yaml.safe_load(file.read_text())
    if listed["channels"] != ["conda-forge", "nodefaults"]:
        sys.exit(f"{file}: channels are not those of the stand-in")
    specs = [item for item in listed["dependencies"] if isinstance(item, str)]
    (by_pip,) = [item["pip"] for item in listed["dependencies"] if isinstance(item, dict)]
    channel = (folder / "channel").as_uri()
    records = await rattler.solve([channel], specs, platforms=["linux-64", "noarch"])
    await rattler.install(records, prefix, cache_dir=folder / "cache", show_progress=False)
    pip = [str(prefix / "bin/python"), "-m", "pip", "install", "--no-index", "--find-links"]
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "PYTHON"))}
    subprocess.run([*pip, str(folder / "wheels"), "--upgrade", *by_pip], check=True, env=clean)


def main(words: list[str]) -> None:
    """Answer what Snakemake asks, or make an environment."""
    folder = Path(os.environ[FOLDER])
    if words == ["--version"]:
        print("conda 25.1.0")
    elif words[0] == "info":
        print(json.dumps({"conda_prefix": str(folder), "platform": "linux-64"}))
    elif words[0] == "config":
        print(json.dumps({"get": {"channel_priority": "strict"}}))
    elif words[:2] == ["env", "create"]:
        given = dict(zip(words, words[1:], strict=False))
        asyncio.run(_create(Path(given["--file"]), Path(given["--prefix"]), folder))
    elif words[0] != "clean":
        sys.exit(f"conda {words}: the stand-in cannot do this")


if __name__ == "__main__":
    main(sys.argv[1:])
