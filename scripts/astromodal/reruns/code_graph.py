"""Digests of the code that a job runs: of the functions, classes and constants that it can reach.

Passed to a rule as a parameter, they make Snakemake redo just the jobs whose code changed, and say
what it was. Where code cannot be followed by reading it, all that it might use counts: a job that
runs once too often costs time, one that does not run gives wrong results.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

from astromodal.reruns.definitions import Module, digest_of, read_module, read_script
from astromodal.reruns.references import PACKAGE, References, Target

Node = tuple[str, str]
"""A module and a name in it, or what of the module is meant instead."""
RUN = ""
"""In place of a name: that the module is imported, which runs its body."""
WHOLE = "*"
"""In place of a name: everything in the module."""
FILE = "/"
"""Before the path of a file that belongs to a package, and is no code."""
LAZY = "__getattr__"
"""The function of a module that finds names on first use."""
_OF_EVERY_MODULE = {"__file__", "__doc__", "__path__", "__package__"}
"""Attributes of modules that say nothing of their code; of ``__name__`` it may be started."""


def code_digests(script: Path, root: Path) -> dict[str, str]:
    """Digests of `script` and of what it can reach in the package.

    Parameters
    ----------
    script : Path
        An entry script.
    root : Path
        The folder that holds the package.

    Returns
    -------
    dict
        The script's own stem, then in alphabetical order the dotted names of all top-level
        definitions that it can reach (``astromodal.core.paths.layout``), of modules for their
        other statements, and of templates. Each has the first 12 hexadecimal digits of a SHA-256,
        of code over its syntax tree without comments, docstrings and descriptions of settings.
    """
    package = _package(root)
    own = read_script(script)
    reached: set[Node] = set()
    pending = package.references(None, own.refers)
    while pending:
        node = pending.pop()
        if node not in reached:
            reached.add(node)
            pending |= package.uses(node)
    digests = {_key(*node): package.digest(node) for node in reached}
    return {script.stem: own.digest} | {
        name: digest for name, digest in sorted(digests.items()) if digest
    }


@cache
def _package(root: Path) -> _Package:
    """The package's code, read once however many rules ask."""
    return _Package(root)


class _Package:
    """The package as a graph, from each piece of its code to those that it uses."""

    def __init__(self, root: Path) -> None:
        paths = (root / PACKAGE).rglob("*.py")
        self._files = {_dotted(path.relative_to(root)): path for path in paths}
        self._modules: dict[str, Module] = {}
        self._uses: dict[Node, set[Node]] = {}
        self._open: set[tuple[str, ...]] = set()

    def digest(self, node: Node) -> str:
        """Digest of a piece of code; empty where there is none, as in a module of definitions."""
        module, name = node
        if name == WHOLE:
            return ""
        if name == RUN:
            return self._module(module).body.digest
        if name.startswith(FILE):
            return digest_of((self._files[module].parent / name.removeprefix(FILE)).read_bytes())
        return self._module(module).units[name].digest

    def uses(self, node: Node) -> set[Node]:
        """What a piece of code uses itself; nothing is left out that it could use."""
        if node not in self._uses:
            self._uses[node] = set() if node[1].startswith(FILE) else self._find_uses(*node)
        return self._uses[node]

    def references(self, module: str | None, refers: References) -> set[Node]:
        """What code of a module, or of a script, refers to."""
        found = {(name, RUN) for name in refers.modules if name in self._files}
        found |= {(name, WHOLE) for name in refers.texts if name in self._files}
        found |= {(target.module, WHOLE) for target in refers.binds.get("*", ())}
        if refers.computed:
            found |= {(name, WHOLE) for name in self._files}
        for chain in refers.chains:
            for target in refers.binds.get(chain[0], ()):
                found |= self._behind(target, chain[1:])
            if module:
                found |= self._named(module, chain)
        return {node for node in found if node[0] in self._files}

    def _find_uses(self, name: str, unit: str) -> set[Node]:
        module = self._module(name)
        if unit == RUN:
            above = name.rpartition(".")[0]
            parent: set[Node] = {(above, RUN)} if above in self._files else set()
            return parent | self.references(name, module.body.refers)
        if unit == WHOLE:
            return self._everything(name)
        refers = module.units[unit].refers
        if unit in self._lazy_units(name):
            # Followed for the name that is asked for, in `_found_lazily`.
            refers = replace(refers, texts=set(), computed=False)
        return {(name, RUN)} | self.references(name, refers)

    def _everything(self, name: str) -> set[Node]:
        """All that a module, or a package with its files, could give to who has it in hand."""
        module = self._module(name)
        found = {(name, each) for each in (RUN, *module.units, *_data(self._files[name]))}
        for each in module.body.refers.binds:
            found |= self._named(name, (each,))
        for unit in self._lazy_units(name):
            found |= self.references(name, module.units[unit].refers)
        return found

    def _named(self, module: str, chain: tuple[str, ...]) -> set[Node]:
        """What a name that code of `module` uses may stand for: built-in ones for nothing."""
        first, rest = chain[0], chain[1:]
        content = self._module(module)
        found: set[Node] = {(module, first)} if first in content.units else set()
        for target in content.body.refers.binds.get(first, ()):
            found |= self._behind(target, rest)
        return found

    def _behind(self, target: Target, rest: tuple[str, ...]) -> set[Node]:
        """What an imported name, with the attributes after it, stands for."""
        if target.module not in self._files:
            return set()
        chain = (target.name, *rest) if target.name else rest
        return self._member(target.module, chain) if chain else {(target.module, WHOLE)}

    def _member(self, module: str, chain: tuple[str, ...]) -> set[Node]:
        """What attributes of a module stand for, through modules that import it from others."""
        key = (module, *chain)
        if key in self._open:  # modules that import a name from each other in a circle
            return set()
        self._open.add(key)
        found = self._find_member(module, chain[0], chain[1:])
        self._open.remove(key)
        return found | {(module, RUN)}

    def _find_member(self, module: str, name: str, rest: tuple[str, ...]) -> set[Node]:
        content = self._module(module)
        inner = f"{module}.{name}"
        if name in content.units or name in content.body.refers.binds:
            return self._named(module, (name, *rest))
        if inner in self._files:
            # An import first asks the package for the name, and then looks for a module.
            asked = {(module, unit) for unit in self._lazy_units(module)}
            return asked | (self._member(inner, rest) if rest else {(inner, WHOLE)})
        if name in content.assigned or name in _OF_EVERY_MODULE:
            return set()
        if LAZY in content.units:
            return self._found_lazily(module, name, rest)
        return {(module, WHOLE)}

    def _found_lazily(self, module: str, name: str, rest: tuple[str, ...]) -> set[Node]:
        """A name that a module finds on first use, in one of the modules that it writes out."""
        units = self._lazy_units(module)
        texts = {text for unit in units for text in self._module(module).units[unit].refers.texts}
        homes = {text for text in texts if text in self._files}
        having = {home for home in homes if name in self._module(home).units}
        found = {(module, unit) for unit in units}
        for home in having:
            found |= self._member(home, (name, *rest))
        return found | {(home, WHOLE) for home in (() if having else homes or self._files)}

    def _lazy_units(self, module: str) -> set[str]:
        """What a module finds names on first use with."""
        units = self._module(module).units
        found, pending = set[str](), {LAZY} & units.keys()
        while pending:
            unit = pending.pop()
            found.add(unit)
            pending |= {chain[0] for chain in units[unit].refers.chains} & units.keys() - found
        return found

    def _module(self, name: str) -> Module:
        if name not in self._modules:
            self._modules[name] = read_module(self._files[name], name)
        return self._modules[name]


def _dotted(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def _key(module: str, name: str) -> str:
    """How a piece of code is called in the digests."""
    return f"{module}{name}" if name.startswith(FILE) else ".".join(filter(None, (module, name)))


def _data(path: Path) -> Iterator[str]:
    """Files without code that belong to a package, templates say, below its folder."""
    if path.stem != "__init__":
        return
    for each in path.parent.rglob("*"):
        inside = next(p for p in each.parents if (p / path.name).is_file())
        if each.is_file() and each.suffix not in (".py", ".pyc") and inside == path.parent:
            yield f"{FILE}{each.relative_to(path.parent).as_posix()}"
