"""Conda, pip and the container install the same versions of what the project requires."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
BUILDS = ("cpu", "gpu")
# What conda calls otherwise than pip does.
PIP_NAMES = {"pytorch-cpu": "torch"}


def requirements() -> list[Requirement]:
    return [Requirement(text) for text in PROJECT["dependencies"]]


def pins() -> dict[str, str]:
    lines = (ROOT / "envs/constraints.txt").read_text().splitlines()
    pairs = [line.split("==") for line in lines if not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pairs}


def environment(build: str) -> tuple[dict[str, str], dict[str, str]]:
    """Versions in an environment's file by name: what conda installs, and what pip does."""
    listed = yaml.safe_load((ROOT / f"envs/{build}.yaml").read_text())["dependencies"]
    (by_pip,) = [item["pip"] for item in listed if isinstance(item, dict)]
    by_conda = [item.partition(" ") for item in listed if isinstance(item, str)]
    return (
        {name: version for name, _, version in by_conda},
        dict(item.split("==") for item in by_pip),
    )


def versions(build: str) -> dict[str, str]:
    """Versions of an environment by pip's names, without Python and pip themselves."""
    by_conda, by_pip = environment(build)
    own = {PIP_NAMES.get(name, name): v for name, v in by_conda.items()}
    exact = {name: v.removeprefix("=") for name, v in own.items() if name not in ("python", "pip")}
    assert not exact.keys() & by_pip.keys()
    return exact | by_pip


def test_torch_is_pinned():
    """The constraints pin the torch that the tests ran with."""
    assert pins()["torch"] == "2.13.0"


def test_every_requirement_is_pinned_to_what_it_allows():
    """Every dependency is pinned, and none below or above what it must be."""
    pinned = pins()
    wrong = [r for r in requirements() if pinned.get(r.name, "0") not in r.specifier]
    assert wrong == []


@pytest.mark.parametrize("build", BUILDS)
def test_conda_and_pip_agree(build):
    """An environment holds every requirement, at its pinned version, and nothing else."""
    assert versions(build) == {r.name: pins()[r.name] for r in requirements()}


@pytest.mark.parametrize("build", BUILDS)
def test_python_is_the_projects(build):
    """An environment's Python is of the range that the project allows."""
    assert SpecifierSet(environment(build)[0]["python"]) == SpecifierSet(PROJECT["requires-python"])


@pytest.mark.parametrize("build", BUILDS)
def test_channels_are_the_free_ones(build):
    """Packages come from conda-forge alone, whatever channels a user has set."""
    loaded = yaml.safe_load((ROOT / f"envs/{build}.yaml").read_text())
    assert loaded.keys() == {"channels", "dependencies"}
    assert loaded["channels"] == ["conda-forge", "nodefaults"]


def test_environments_differ_in_torch_alone():
    """On a CPU torch comes without CUDA, from conda; on a GPU with it, from pip."""
    (cpu_conda, cpu_pip), (gpu_conda, gpu_pip) = map(environment, BUILDS)
    assert cpu_conda.items() - gpu_conda.items() == {("pytorch-cpu", "=2.13.0")}
    assert gpu_pip.items() - cpu_pip.items() == {("torch", "2.13.0")}
    assert gpu_conda.items() <= cpu_conda.items()
    assert cpu_pip.items() <= gpu_pip.items()


@pytest.mark.parametrize("rules", sorted((ROOT / "rules").glob("*.smk")), ids=lambda p: p.stem)
def test_jobs_with_a_gpu_have_its_environment(rules):
    """A rule that asks for a GPU runs in gpu.yaml, and the files that rules name are there."""
    for rule in re.split(r"^rule ", rules.read_text(), flags=re.MULTILINE)[1:]:
        named = re.findall(r'"\.\./(envs/\w+\.yaml)"', rule)
        assert all((ROOT / name).is_file() for name in named)
        if re.search(r"gpu=1|training_resources\(\)", rule):
            assert named == ["envs/gpu.yaml"], rule.split(":")[0]
