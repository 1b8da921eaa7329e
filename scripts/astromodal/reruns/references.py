"""What code does and what it names, read from its syntax tree in one pass.

Comments, docstrings, formatting and the descriptions of settings are left out: they do nothing.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

PACKAGE = "astromodal"
_IGNORED = {"ctx", "kind", "type_comment", "type_ignores"}
_FIELDS: dict[type[ast.AST], tuple[str, ...]] = {}


class Target(NamedTuple):
    """What an import binds a name to: a module, or a name in one."""

    module: str
    name: str = ""


@dataclass
class References:
    """What a piece of code names.

    Attributes
    ----------
    chains : set of tuple of str
        Names and the attributes after them: ``np.random.rand`` is ``("np", "random", "rand")``.
    binds : dict
        Names that imports in it bind, to what they may be bound to.
    modules : set of str
        Modules that its imports may run; some are no module but a name in one.
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
    """Reads code once, for what it does and for what it names.

    Attributes
    ----------
    parts : list of str
        The syntax tree in writing, the same in every version of Python that parses it alike.
    found : References
        What the code names.
    """

    def __init__(self, package: str) -> None:
        self.package = package
        self.parts: list[str] = []
        self.found = References()

    def read(self, nodes: Iterable[ast.AST]) -> Reader:
        """Read some statements."""
        for node in nodes:
            self.visit(node)
        return self

    def visit(self, node: ast.AST) -> None:
        """Read a node and all below it."""
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
        self.found.chains.add((node.id,))
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
        self.found.chains.add(tuple(chain))
        return True

    def _constant(self, node: ast.Constant) -> bool:
        self.parts.append(repr(node.value))
        if isinstance(node.value, str) and node.value.startswith(f"{PACKAGE}."):
            self.found.texts.add(node.value)
        return True

    def _expression(self, node: ast.Expr) -> bool:
        """Docstrings, and notes below a constant, do nothing."""
        return isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)

    def _call(self, node: ast.Call) -> bool:
        called = node.func
        name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
        if name == "Field":
            node.keywords = [k for k in node.keywords if k.arg != "description"]
        elif name in ("import_module", "__import__"):
            self.found.computed |= not (node.args and isinstance(node.args[0], ast.Constant))
        return False

    def _imports(self, node: ast.Import) -> bool:
        for alias in node.names:
            # `import a.b` binds `a`.
            bound = Target(alias.name if alias.asname else alias.name.partition(".")[0])
            self.found.binds.setdefault(alias.asname or bound.module, set()).add(bound)
            self.found.modules.add(alias.name)
        return False

    def _imports_from(self, node: ast.ImportFrom) -> bool:
        above = self.package.split(".")[: -node.level + 1 or None] if node.level else []
        module = ".".join([*above, *filter(None, [node.module])])
        self.found.modules.add(module)
        for alias in node.names:
            bound = Target(module, alias.name)
            self.found.binds.setdefault(alias.asname or alias.name, set()).add(bound)
            self.found.modules.add(f"{module}.{alias.name}")
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
"""Readers of nodes that name something or do nothing; each says whether it has read the node."""


def _fields(kind: type[ast.AST]) -> tuple[str, ...]:
    if kind not in _FIELDS:
        _FIELDS[kind] = tuple(name for name in kind._fields if name not in _IGNORED)
    return _FIELDS[kind]
