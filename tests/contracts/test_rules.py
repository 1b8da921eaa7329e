"""Rules and entry scripts keep the house's rules."""

import ast
import re
from collections.abc import Iterable
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from astromodal.storage.formats import MAKERS

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted((ROOT / "scripts").glob("*.py"))
MODULES = sorted((ROOT / "scripts/astromodal").rglob("*.py"))
LAYERS = ["surveys", "config", "core", "storage", "data", "tokenizers", "sequences", "training"]
LAYERS += ["inference", "evaluation"]
MOST_MODULES = 217
MOST_WITH_ONE_IMPORTER = 25
REGISTRY = "astromodal.sources.readers"
"""Module that lists the readers of raw files: one for each kind, which nothing else imports."""
SECTION = re.compile(r"astromodal\.evaluation\.\w+\.\w+")
"""Modules of the report's sections, whose folders all have the same ones."""


def rules() -> set[str]:
    text = "".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))
    return set(re.findall(r'"\.\./scripts/(\w+)\.py"', text))


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def test_every_script_has_a_rule_of_its_name():
    """Entry scripts and rules stand one to one."""
    assert rules() == {path.stem for path in SCRIPTS}


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_entry_scripts_are_thin(path):
    """At most 40 lines, and none of them defines a function."""
    text = path.read_text()
    assert len(text.splitlines()) <= 40
    assert not [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef)]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_entry_scripts_import_the_start_of_a_job_first(path):
    """What they import after it costs no search for garbage."""
    names = [n.module for n in ast.parse(path.read_text()).body if isinstance(n, ast.ImportFrom)]
    assert next(n for n in names if n.startswith("astromodal.")) == "astromodal.jobs.entry"


@pytest.mark.parametrize("path", [*(ROOT / "rules").glob("*.smk"), ROOT / "Snakefile"], ids=str)
def test_rule_files_are_short(path):
    """Rule files stay below 200 lines, the Snakefile below 60."""
    assert len(path.read_text().splitlines()) < (60 if path.name == "Snakefile" else 200)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT / "scripts")))
def test_modules_are_short(path):
    """No module of the package reaches 400 lines."""
    assert len(path.read_text().splitlines()) < 400


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT / "scripts")))
def test_imports_run_one_way(path):
    """A layer imports only those below it, and models import torch alone."""
    parts = path.relative_to(ROOT / "scripts/astromodal").parts
    own = {name.split(".")[1] for name in imports(path) if name.startswith("astromodal.")}
    own -= {"errors", "extensions"}  # these stand below everything
    if parts[0] == "models":
        assert own <= {"models"}
    elif parts[0] in LAYERS:
        above = set(LAYERS[LAYERS.index(parts[0]) + 1 :])
        assert not own & above


@pytest.mark.parametrize("path", [*MODULES, *SCRIPTS], ids=lambda p: p.stem)
def test_nothing_is_unpickled(path):
    """No code reads a pickle, asserts, or swallows every exception."""
    text = path.read_text()
    for forbidden in ("joblib.load", "pickle.load", "allow_pickle=True", "weights_only=False"):
        assert forbidden not in text
    tree = ast.parse(text)
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Assert)]
    bare = [n for n in ast.walk(tree) if isinstance(n, ast.ExceptHandler) and n.type is None]
    assert not bare


def test_every_format_has_a_rule():
    """What makes a file again is known of every format, and is a rule."""
    text = "".join(path.read_text() for path in MODULES)
    written = set(re.findall(r'"format": "(\w+)"', text)) | {"sequences", "transformer"}
    assert written == set(MAKERS)
    assert set(MAKERS.values()) <= rules()


@cache
def modules() -> dict[str, ast.Module]:
    """Syntax trees of the package's modules, by dotted name."""
    names = (path.relative_to(ROOT / "scripts").with_suffix("").parts for path in MODULES)
    dotted = (".".join(parts).removesuffix(".__init__") for parts in names)
    return {name: ast.parse(path.read_text()) for name, path in zip(dotted, MODULES, strict=True)}


def imported(nodes: Iterable[ast.AST]) -> set[str]:
    """Modules of the package that import statements among these nodes name."""
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            members = {alias.name: f"{node.module}.{alias.name}" for alias in node.names}
            found |= {m if m in modules() else node.module for m in members.values()}
    return found & modules().keys()


def test_the_package_has_few_modules():
    """Fewer than 217 modules; a package's ``__init__.py``, which names its subject, is none."""
    assert len([path for path in MODULES if path.name != "__init__.py"]) < MOST_MODULES


def test_few_modules_have_one_importer():
    """Fewer than 25 modules are imported by exactly one other.

    Left out are packages' own, those of the report's sections, and those that a registry lists.
    """
    users = {name: imported(ast.walk(tree)) - {name} for name, tree in modules().items()}
    plain = [
        name
        for name, path in zip(modules(), MODULES, strict=True)
        if path.name != "__init__.py"
        and sum(name in used for used in users.values()) == 1
        and name not in users[REGISTRY]
        and not SECTION.fullmatch(name)
    ]
    assert len(plain) < MOST_WITH_ONE_IMPORTER, plain


def test_no_modules_import_each_other():
    """Imports at the top level of modules form no cycle."""
    graph = {name: imported(tree.body) - {name} for name, tree in modules().items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"modules import each other: {' <- '.join(error.args[1])}")
