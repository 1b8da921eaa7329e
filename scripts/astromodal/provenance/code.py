"""Digests of the code that a job runs, blind to comments, docstrings and formatting.

A digest covers an entry script and every module of the package that it imports, directly or not.
Passed to a rule as a parameter, it makes Snakemake redo just the jobs whose code changed.
"""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path

PACKAGE = "astromodal"
DIGEST_LENGTH = 12


def code_digests(script: Path, root: Path) -> dict[str, str]:
    """Digests of `script` and of the package's modules that it imports.

    Parameters
    ----------
    script : Path
        An entry script.
    root : Path
        The folder that holds the package.

    Returns
    -------
    dict
        Module name (the script's own stem first) to the first 12 hexadecimal digits of a SHA-256
        over the syntax tree; modules in alphabetical order.
    """
    digests = {script.stem: _digest(script)}
    pending, seen = list(_imports(script, root)), set[str]()
    while pending:
        module = pending.pop()
        if module in seen:
            continue
        seen.add(module)
        pending.extend(_imports(_module_file(module, root), root))
    return digests | {module: _digest(_module_file(module, root)) for module in sorted(seen)}


@cache
def _tree(path: Path) -> ast.Module:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [item for item in node.body if not _is_text(item)] or [ast.Pass()]
    return tree


def _is_text(node: ast.stmt) -> bool:
    """Whether a statement is a bare text, as docstrings and notes below a constant are."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


@cache
def _digest(path: Path) -> str:
    return hashlib.sha256(ast.dump(_tree(path)).encode()).hexdigest()[:DIGEST_LENGTH]


@cache
def _imports(path: Path, root: Path) -> tuple[str, ...]:
    """Modules of the package that a file imports anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names if _ours(alias.name))
        elif isinstance(node, ast.ImportFrom) and node.module and _ours(node.module):
            submodules = [f"{node.module}.{alias.name}" for alias in node.names]
            files = [name for name in submodules if _module_file(name, root).is_file()]
            found.update(files if len(files) == len(submodules) else [node.module, *files])
    return tuple(sorted(found))


def _ours(module: str) -> bool:
    return module == PACKAGE or module.startswith(f"{PACKAGE}.")


def _module_file(module: str, root: Path) -> Path:
    path = root.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
