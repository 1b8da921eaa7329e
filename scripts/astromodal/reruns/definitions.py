"""A module in pieces: what stands at its top level, each with a digest and what it refers to."""

from __future__ import annotations

import ast
import copy
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from astromodal.reruns.references import PACKAGE, Reader, References, Target

DIGEST_LENGTH = 12
SETTINGS = "Settings"
"""Name of the class that groups of settings are made from."""
MAIN = "__main__"
"""Name of the unit that runs only where its module is started as a program."""
_PLAIN = (ast.Name, ast.Tuple, ast.List, ast.Starred, ast.Store)


@dataclass(frozen=True)
class Unit:
    """A piece of code: its digest, and what it refers to."""

    digest: str
    refers: References


@dataclass(frozen=True)
class Module:
    """A module in pieces.

    Attributes
    ----------
    units : dict
        Functions, classes and assigned names; `MAIN` is what runs only as a program.
    body : Unit
        All other statements: importing the module runs them. Its digest is empty without any.
    assigned : set of str
        Names that statements of the body assign.
    """

    units: dict[str, Unit]
    body: Unit
    assigned: frozenset[str]


def read_module(path: Path, name: str) -> Module:
    """Take a module to pieces.

    Parameters
    ----------
    path : Path
        The module's file.
    name : str
        Its dotted name, from which relative imports start.
    """
    package = name if path.stem == "__init__" else name.rpartition(".")[0]
    defined: dict[str, list[ast.stmt]] = {}
    imports: list[ast.stmt] = []
    rest: list[ast.stmt] = []
    for statement in ast.parse(path.read_bytes()).body:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            imports.append(statement)
            continue
        names = _defines(statement)
        for each in names or ():
            defined.setdefault(each, []).append(statement)
        if names is None:
            rest.append(statement)
    body = Reader(package).read(imports)
    body.parts.clear()  # an import matters to those that use what it binds
    body.read(rest)
    binds = body.found.binds
    units = {each: _definition(package, nodes, binds) for each, nodes in defined.items()}
    used = body.found.chains.union(*(unit.refers.chains for unit in units.values()))
    body.parts += _for_effect(binds, {chain[0] for chain in used})
    assigned = frozenset(name for node in rest for name in _stored(node))
    return Module(units, _unit(body, binds), assigned)


def read_script(path: Path) -> Unit:
    """An entry script, one unit as a whole."""
    return _unit(Reader("").read(ast.parse(path.read_bytes()).body), {})


def _defines(statement: ast.stmt) -> tuple[str, ...] | None:
    """Names that a top-level statement defines; none for what never runs, None for other code."""
    match statement:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return (name,)
        case ast.Assign(targets=targets):
            return _plain_names(statement, targets)
        case ast.AnnAssign(target=target) | ast.AugAssign(target=target):
            return _plain_names(statement, [target])
        case ast.If(test=ast.Name(id="TYPE_CHECKING"), orelse=[]):
            # Only annotations can use what it imports, and as text: they are never evaluated.
            return ()
        case ast.If(test=ast.Compare(left=ast.Name(id="__name__"))):
            return (MAIN,)
    return None


def _plain_names(statement: ast.stmt, targets: list[ast.expr]) -> tuple[str, ...] | None:
    """The names among `targets`; None where something else is assigned too, or nothing by name."""
    names = tuple(name for target in targets for name in _stored(target))
    parts = [node for target in targets for node in ast.walk(target)]
    inner = any(isinstance(node, ast.NamedExpr) for node in ast.walk(statement))
    plain = all(isinstance(node, _PLAIN) for node in parts) and not inner
    return names if plain and "_" not in names else None


def _stored(node: ast.AST) -> Iterator[str]:
    """Names that a piece of code assigns or defines, wherever in it."""
    for each in ast.walk(node):
        if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store):
            yield each.id
        elif isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield each.name


def _definition(package: str, nodes: list[ast.stmt], binds: dict[str, set[Target]]) -> Unit:
    """The unit of a name.

    What a group of settings declares reaches a job as values, which Snakemake compares: of such a
    class the methods count, not the fields.
    """
    whole = _unit(Reader(package).read(nodes), binds)
    methods = [_methods(node) for node in nodes]
    if methods == nodes:
        return whole
    return Unit(_unit(Reader(package).read(methods), binds).digest, whole.refers)


def _methods(node: ast.stmt) -> ast.stmt:
    """A class of settings without its fields; any other statement as it is."""
    match node:
        case ast.ClassDef(bases=[ast.Name(id=base)], body=body) if base == SETTINGS:
            stripped = copy.copy(node)
            stripped.body = [each for each in body if not isinstance(each, ast.AnnAssign)]
            return stripped
    return node


def _for_effect(binds: dict[str, set[Target]], used: set[str]) -> list[str]:
    """Imports from elsewhere that nothing uses: they can only be there for what they do."""
    unused = {target for name in binds.keys() - used for target in binds[name]}
    mere_names = ("__future__", "typing", PACKAGE)
    return [str(t) for t in sorted(unused) if t.module.partition(".")[0] not in mere_names]


def _unit(read: Reader, binds: dict[str, set[Target]]) -> Unit:
    """What was read, together with what the module's imports bind its names to."""
    if not read.parts:
        return Unit("", read.found)
    bound = {f"{chain[0]}={t}" for chain in read.found.chains for t in binds.get(chain[0], ())}
    return Unit(digest_of("\n".join([*read.parts, *sorted(bound)]).encode()), read.found)


def digest_of(content: bytes) -> str:
    """The first 12 hexadecimal digits of a SHA-256."""
    return hashlib.sha256(content).hexdigest()[:DIGEST_LENGTH]
