"""The environments under envs/ and the project's requirements say the same."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]


def requirements() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [re.split(r"[<>=]", text)[0] for text in project["dependencies"]]


def pins() -> dict[str, str]:
    lines = (ROOT / "envs/constraints.txt").read_text().splitlines()
    pairs = [line.split("==") for line in lines if not line.startswith("#")]
    return {name.lower().replace("_", "-"): version for name, version in pairs}


def test_torch_is_pinned():
    """The constraints pin the torch that the tests ran with."""
    assert pins()["torch"] == "2.13.0"


def test_every_requirement_is_pinned():
    """No dependency is left to chance."""
    assert [name for name in requirements() if name not in pins()] == []


@pytest.mark.parametrize("name", ["cpu", "gpu"])
def test_conda_and_pip_agree(name):
    """Both routes install the same versions of what jobs import."""
    environment = yaml.safe_load((ROOT / f"envs/{name}.yaml").read_text())
    listed = dict(item.split("==") for item in environment["dependencies"][-1]["pip"])
    wanted = {key: pins()[key] for key in requirements() if key != "snakemake"}
    assert listed == wanted
