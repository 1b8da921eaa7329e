"""The container's recipe keeps the project's pins, and leaves nothing in it that need not be."""

import json
import re
import tomllib
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[2]
RECIPE = (ROOT / "envs/Dockerfile").read_text()
IGNORED = (ROOT / "envs/Dockerfile.dockerignore").read_text().splitlines()


def instructions(*names: str) -> list[str]:
    """What follows each instruction of those names, continued lines joined."""
    code = "\n".join(line for line in RECIPE.splitlines() if not line.startswith("#"))
    lines = re.sub(r"\\\n\s*", "", code).splitlines()
    pairs = [line.partition(" ") for line in lines if line]
    return [text for name, _, text in pairs if name in names]


def commands() -> list[str]:
    """Every shell command of the recipe."""
    return [part.strip() for text in instructions("RUN") for part in re.split(r";|&&", text)]


def test_every_install_is_of_a_lock():
    """Packages have the hashes of a lock, and the project brings none; uv is removed again."""
    installs = [text for text in commands() if "pip install" in text]
    uv, cpu, gpu, project = installs
    assert uv.endswith(" -c envs/constraints.txt uv")
    assert "python -m pip uninstall --yes uv" in " ".join(commands())
    assert cpu.endswith(" --require-hashes -r envs/lock-cpu.txt")
    assert gpu.endswith(" --require-hashes -r envs/lock-gpu.txt")
    assert project.endswith(" --no-deps --no-build-isolation -e .")


def test_its_python_is_one_that_the_project_allows():
    """The image's Python is of the project's range."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (version,) = [text.split("=")[1] for text in instructions("ARG") if text.startswith("PYTHON=")]
    assert instructions("FROM") == ["python:${PYTHON}-slim"]
    assert version in SpecifierSet(project["requires-python"])


def test_it_is_for_a_cpu_unless_asked():
    """CUDA comes by a build argument; an unknown build is refused."""
    assert "BUILD=cpu" in instructions("ARG")
    (choice,) = [text for text in instructions("RUN") if 'case "$BUILD"' in text]
    assert re.findall(r"(cpu|gpu|\*)\) ?", choice) == ["cpu", "gpu", "*"]
    assert "--torch-backend cpu" in choice
    assert "exit 1" in choice


def test_it_does_not_run_as_root():
    """The user is set once everything is installed, and not to root."""
    assert instructions("USER") == ["astromodal"]
    assert RECIPE.index("\nUSER") > RECIPE.rindex("\nRUN")


def test_snakemake_is_its_entry():
    """Arguments of `docker run` go to Snakemake, on the image's own Snakefile."""
    (entry,) = instructions("ENTRYPOINT")
    assert json.loads(entry) == ["snakemake", "--snakefile", "/opt/astromodal/Snakefile"]
    assert "/opt/astromodal" in instructions("WORKDIR")


def test_no_cache_is_left():
    """Neither pip's and uv's downloads nor Debian's lists stay in a layer."""
    assert all("--no-cache" in text for text in commands() if "pip install" in text)
    for text in instructions("RUN"):
        assert ("apt-get update" in text) == ("rm -rf /var/lib/apt/lists/*" in text)


def test_it_is_given_no_secret():
    """No variable of the recipe names a secret."""
    named = " ".join(instructions("ARG", "ENV"))
    assert not re.search(r"TOKEN|SECRET|PASSWORD|KEY|CREDENTIAL", named, flags=re.IGNORECASE)


@pytest.mark.parametrize("text", instructions("COPY"))
def test_it_copies_named_parts_of_the_project(text):
    """No folder as a whole: what else lies in a checkout stays out of the image."""
    *sources, _ = text.split()
    assert "." not in sources
    assert all((ROOT / source).exists() for source in sources)
    assert IGNORED[1] == "*"
    assert all(f"!{source.split('/')[0]}" in IGNORED for source in sources)


def test_what_the_workflow_needs_is_copied():
    """Everything that the Snakefile, rules and profiles refer to is in the image."""
    copied = {name for text in instructions("COPY") for name in text.split()[:-1]}
    assert copied >= {"Snakefile", "rules", "scripts", "envs", "config", "profiles"}
