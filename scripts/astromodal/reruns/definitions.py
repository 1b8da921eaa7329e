"""The definitions of a module: a digest of each, and the names that each refers to.

A file is parsed once. Comments, docstrings, formatting and the descriptions of settings enter no
digest, because they change nothing that the code does.
"""

from __future__ import annotations

import ast
import copy
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

PACKAGE = "astromodal"
DIGEST_LENGTH = 12
SETTINGS = "Settings"
"""Base class of all groups of settings."""
REGISTRY = "Registry"
"""Class of the registries that a user's files extend."""
MAIN = "__main__"
"""Name of the unit that runs only where its module is started as a program."""
Code = Mapping[str, Mapping[str, str]]
"""By rule, the digests of definitions by name."""
_IGNORED = {"ctx", "kind", "type_comment", "type_ignores"}
_FIELDS: dict[type[ast.AST], tuple[str, ...]] = {}


class Target(NamedTuple):
    """The object that an import binds a name to: a module, or a name in a module."""

    module: str
    name: str = ""


@dataclass
class References:
    """The names that a piece of code uses.

    Attributes
    ----------
    chains : set of tuple of str
        Names and the attributes after them: ``np.random.rand`` is ``("np", "random", "rand")``.
    binds : dict
        The possible targets of each name that its imports bind.
    modules : set of str
        Modules that its imports may run. Some may turn out to be a name in a module.
    texts : set of str
        Strings in it that may be the dotted name of a module.
    computed : bool
        Whether it imports a module whose name is not written out.
    """

    chains: set[tuple[str, ...]] = field(default_factory=set)
    binds: dict[str, set[Target]] = field(default_factory=dict)
    modules: set[str] = field(default_factory=set)
    texts: set[str] = field(default_factory=set)
    computed: bool = False


class Reader:
    """A reader of syntax trees, which collects their text and the names in them in one pass.

    Attributes
    ----------
    parts : list of str
        The syntax tree as text, which does not depend on the version of Python.
    references : References
        The names in the code.
    """

    def __init__(self, package: str) -> None:
        self.package = package
        self.parts: list[str] = []
        self.references = References()

    def read(self, nodes: Iterable[ast.AST]) -> Reader:
        """Read statements, and return the reader."""
        for node in nodes:
            self.visit(node)
        return self

    def visit(self, node: ast.AST) -> None:
        """Read a node and all nodes below it."""
        kind = type(node)
        special = _SPECIAL.get(kind)
        if special is not None and special(self, node):
            return
        self.parts.append(f"({kind.__name__}")
        for name in _fields(kind):
            value = getattr(node, name, None)
            # Later versions of Python add fields, empty where they are not used.
            if value is None or value == []:
                continue
            self.parts.append(name)
            for item in value if isinstance(value, list) else [value]:
                if isinstance(item, ast.AST):
                    self.visit(item)
                else:
                    self.parts.append(repr(item))
        self.parts.append(")")

    def _name(self, node: ast.Name) -> bool:
        self.parts.append(node.id)
        self.references.chains.add((node.id,))
        return True

    def _attribute(self, node: ast.Attribute) -> bool:
        chain, value = [node.attr], node.value
        while isinstance(value, ast.Attribute):
            chain.append(value.attr)
            value = value.value
        if not isinstance(value, ast.Name):
            return False
        chain.append(value.id)
        chain.reverse()
        self.parts.append(".".join(chain))
        self.references.chains.add(tuple(chain))
        return True

    def _constant(self, node: ast.Constant) -> bool:
        self.parts.append(repr(node.value))
        if isinstance(node.value, str) and node.value.startswith(f"{PACKAGE}."):
            self.references.texts.add(node.value)
        return True

    def _expression(self, node: ast.Expr) -> bool:
        """Skip a docstring, or the description below a constant."""
        return isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)

    def _call(self, node: ast.Call) -> bool:
        called = node.func
        name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
        if name == "Field":
            node.keywords = [k for k in node.keywords if k.arg != "description"]
        elif name in ("import_module", "__import__"):
            self.references.computed |= not (node.args and isinstance(node.args[0], ast.Constant))
        return False

    def _imports(self, node: ast.Import) -> bool:
        for alias in node.names:
            # `import a.b` binds `a`.
            bound = Target(alias.name if alias.asname else alias.name.partition(".")[0])
            self.references.binds.setdefault(alias.asname or bound.module, set()).add(bound)
            self.references.modules.add(alias.name)
        return False

    def _imports_from(self, node: ast.ImportFrom) -> bool:
        above = self.package.split(".")[: -node.level + 1 or None] if node.level else []
        module = ".".join([*above, *filter(None, [node.module])])
        self.references.modules.add(module)
        for alias in node.names:
            bound = Target(module, alias.name)
            self.references.binds.setdefault(alias.asname or alias.name, set()).add(bound)
            self.references.modules.add(f"{module}.{alias.name}")
        return False

    def _nothing(self, node: ast.Pass) -> bool:
        return True


_SPECIAL: dict[type, Callable[[Reader, Any], bool]] = {
    ast.Name: Reader._name,
    ast.Attribute: Reader._attribute,
    ast.Constant: Reader._constant,
    ast.Expr: Reader._expression,
    ast.Call: Reader._call,
    ast.Import: Reader._imports,
    ast.ImportFrom: Reader._imports_from,
    ast.Pass: Reader._nothing,
}
"""Readers of particular nodes. Each returns whether it has read the node, with all nodes below."""


def _fields(kind: type[ast.AST]) -> tuple[str, ...]:
    if kind not in _FIELDS:
        _FIELDS[kind] = tuple(name for name in kind._fields if name not in _IGNORED)
    return _FIELDS[kind]


_PLAIN = (ast.Name, ast.Tuple, ast.List, ast.Starred, ast.Store)


@dataclass(frozen=True)
class Unit:
    """A piece of code: its digest, and the names in it."""

    digest: str
    refers: References


@dataclass(frozen=True)
class Module:
    """The pieces of a module.

    Attributes
    ----------
    units : dict
        Functions, classes and assigned names. `MAIN` is the code that runs only as a program.
    body : Unit
        All other statements, which an import of the module runs. Without any its digest is empty.
    assigned : set of str
        Names that statements of the body assign.
    registries : set of str
        Units that are a registry.
    """

    units: dict[str, Unit]
    body: Unit
    assigned: frozenset[str]
    registries: frozenset[str]


def read_module(path: Path, name: str) -> Module:
    """Read the pieces of a module.

    Parameters
    ----------
    path : Path
        The file of the module.
    name : str
        Its dotted name, which relative imports start from.
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
    body.parts.clear()  # an import enters the digests of the units that use its names
    body.read(rest)
    binds = body.references.binds
    units = {each: _definition(package, nodes, binds) for each, nodes in defined.items()}
    used = body.references.chains.union(*(unit.refers.chains for unit in units.values()))
    body.parts += _for_effect(binds, {chain[0] for chain in used})
    assigned = frozenset(name for node in rest for name in _stored(node))
    registries = frozenset(name for name, nodes in defined.items() if any(map(_is_registry, nodes)))
    return Module(units, _unit(body, binds), assigned, registries)


def read_script(path: Path) -> Unit:
    """Read an entry script, or a file of a user, as one unit."""
    return _unit(Reader("").read(ast.parse(path.read_bytes()).body), {})


def _defines(statement: ast.stmt) -> tuple[str, ...] | None:
    """Return the names that a top-level statement defines.

    None of a statement that defines no name; an empty tuple of a statement that never runs.
    """
    match statement:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return (name,)
        case ast.Assign(targets=targets):
            return _plain_names(statement, targets)
        case ast.AnnAssign(target=target) | ast.AugAssign(target=target):
            return _plain_names(statement, [target])
        case ast.If(test=ast.Name(id="TYPE_CHECKING"), orelse=[]):
            # Only annotations use these imports, and annotations are never evaluated.
            return ()
        case ast.If(test=ast.Compare(left=ast.Name(id="__name__"))):
            return (MAIN,)
    return None


def _is_registry(statement: ast.stmt) -> bool:
    """Whether a statement assigns a new ``Registry(...)`` or ``Registry[...](...)``."""
    value = getattr(statement, "value", None)
    called = value.func if isinstance(value, ast.Call) else None
    if isinstance(called, ast.Subscript):
        called = called.value
    name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
    return name == REGISTRY


def _plain_names(statement: ast.stmt, targets: list[ast.expr]) -> tuple[str, ...] | None:
    """Return the names among `targets`; None where a target is not a plain name."""
    names = tuple(name for target in targets for name in _stored(target))
    parts = [node for target in targets for node in ast.walk(target)]
    inner = any(isinstance(node, ast.NamedExpr) for node in ast.walk(statement))
    plain = all(isinstance(node, _PLAIN) for node in parts) and not inner
    return names if plain and "_" not in names else None


def _stored(node: ast.AST) -> Iterator[str]:
    """Yield all names that a piece of code assigns or defines, at any depth."""
    for each in ast.walk(node):
        if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store):
            yield each.id
        elif isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield each.name


def _definition(package: str, nodes: list[ast.stmt], binds: dict[str, set[Target]]) -> Unit:
    """Return the unit of a name.

    The fields of a group of settings do not enter its digest: a job receives their values as
    parameters, which Snakemake compares.
    """
    whole = _unit(Reader(package).read(nodes), binds)
    methods = [_methods(node) for node in nodes]
    if methods == nodes:
        return whole
    return Unit(_unit(Reader(package).read(methods), binds).digest, whole.refers)


def _methods(node: ast.stmt) -> ast.stmt:
    """Return a class of settings without its fields, or any other statement unchanged."""
    match node:
        case ast.ClassDef(bases=[ast.Name(id=base)], body=body) if base == SETTINGS:
            stripped = copy.copy(node)
            stripped.body = [each for each in body if not isinstance(each, ast.AnnAssign)]
            return stripped
    return node


def _for_effect(binds: dict[str, set[Target]], used: set[str]) -> list[str]:
    """Return the imports from other packages that no code uses: they are there for their effect."""
    unused = {target for name in binds.keys() - used for target in binds[name]}
    mere_names = ("__future__", "typing", PACKAGE)
    return [str(t) for t in sorted(unused) if t.module.partition(".")[0] not in mere_names]


def _unit(read: Reader, binds: dict[str, set[Target]]) -> Unit:
    """Return the unit of code that was read, with the targets of its names in the digest."""
    if not read.parts:
        return Unit("", read.references)
    bound = {f"{chain[0]}={t}" for chain in read.references.chains for t in binds.get(chain[0], ())}
    return Unit(digest_of("\n".join([*read.parts, *sorted(bound)]).encode()), read.references)


def digest_of(content: bytes) -> str:
    """Return the first 12 hexadecimal digits of the SHA-256 of `content`."""
    return hashlib.sha256(content).hexdigest()[:DIGEST_LENGTH]
