"""Digests of the functions, classes and constants that a job's code can reach.

A rule passes them as a parameter, so that Snakemake reruns only the jobs whose code changed and
names the change. Where the code does not say which definition it uses, all possible ones count: a
superfluous rerun costs time, a missing one gives wrong results.

They are computed once per run and inherited by its jobs. Snakemake's main process records the
parameters of a job, the digest of its rule's code among them, and compares them when it plans. A
job on a cluster reads the rules again, in a process of its own. It inherits the digests of the plan
in an environment variable, with a hash of the sizes and times of all source files. Where a source
file has changed since, the job computes the digests itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from dataclasses import astuple, replace
from functools import cache
from pathlib import Path
from typing import Final

from astromodal.reruns.definitions import (
    PACKAGE,
    Code,
    Module,
    References,
    Target,
    Unit,
    digest_of,
    read_module,
    read_script,
)
from astromodal.storage.hashing import FileVersion, hash_values

Node = tuple[str, str]
"""A module and the name of a unit in it, or one of the marks below in place of the name."""
RUN = ""
"""Mark: an import of the module, which runs its body."""
WHOLE = "*"
"""Mark: everything in the module."""
FILE = "/"
"""Mark: a file of a package that is not code; its path follows."""
LAZY = "__getattr__"
"""The function of a module that looks a name up on first use."""
_OF_EVERY_MODULE = {"__file__", "__doc__", "__path__", "__package__"}
"""Attributes of modules that do not depend on their code."""


def code_digests(script: Path, root: Path, extensions: Iterable[str | Path] = ()) -> dict[str, str]:
    """Return the digests of `script` and of all code that it can reach.

    Parameters
    ----------
    script : Path
        An entry script.
    root : Path
        The folder that holds the package.
    extensions : iterable of path
        Python files of a user. A file counts for each script that reaches a registry of a module
        that the file imports from, and for every script where it imports from no such module.

    Returns
    -------
    dict
        The script's stem, the names of the extension files that count, then in alphabetical order
        the dotted names of all top-level definitions that the script can reach
        (``astromodal.core.paths.layout``), of modules for their other statements, and of
        templates. Each value is the first 12 hexadecimal digits of a SHA-256. That of code is over
        its syntax tree without comments, docstrings and descriptions of settings.
    """
    package = _package(root)
    own = read_script(script)
    reached = package.reach(package.references(None, own.refers))
    waiting = {path.name: package.extension(path) for path in map(Path, extensions)}
    digests = {script.stem: own.digest}
    # The code of one file can reach the registry that another file extends.
    while extending := [n for n, file in waiting.items() if package.extends(file.refers, reached)]:
        for name in extending:
            file = waiting.pop(name)
            digests[name] = file.digest
            reached |= package.reach(package.references(None, file.refers))
    named = {_key(*node): package.digest(node) for node in reached}
    return digests | {name: digest for name, digest in sorted(named.items()) if digest}


@cache
def _package(root: Path) -> _Package:
    """Return the graph of the package, which is read once for all rules."""
    return _Package(root)


class _Package:
    """The package as a graph: an edge leads from a piece of code to each piece that it uses."""

    def __init__(self, root: Path) -> None:
        paths = (root / PACKAGE).rglob("*.py")
        self._files = {_dotted(path.relative_to(root)): path for path in paths}
        self._modules: dict[str, Module] = {}
        self._uses: dict[Node, set[Node]] = {}
        self._open: set[tuple[str, ...]] = set()
        self._extensions: dict[Path, Unit] = {}

    def reach(self, nodes: Iterable[Node]) -> set[Node]:
        """Return these pieces of code, and all that they use, directly or not."""
        reached, pending = set[Node](), set(nodes)
        while pending:
            node = pending.pop()
            if node not in reached:
                reached.add(node)
                pending |= self.uses(node)
        return reached

    def extension(self, path: Path) -> Unit:
        """Return a user's file as one unit."""
        if path not in self._extensions:
            self._extensions[path] = read_script(path)
        return self._extensions[path]

    def extends(self, refers: References, reached: set[Node]) -> bool:
        """Whether a user's file of these references changes what the reached code does."""
        modules = {module for module, _ in self.references(None, refers)}
        registries = {(name, each) for name in modules for each in self._module(name).registries}
        return not registries or not registries.isdisjoint(reached)

    def digest(self, node: Node) -> str:
        """Return the digest of a piece of code; empty where a module is nothing but its units."""
        module, name = node
        if name == WHOLE:
            return ""
        if name == RUN:
            return self._module(module).body.digest
        if name.startswith(FILE):
            return digest_of((self._files[module].parent / name.removeprefix(FILE)).read_bytes())
        return self._module(module).units[name].digest

    def uses(self, node: Node) -> set[Node]:
        """Return every piece of code that a piece of code may use directly."""
        if node not in self._uses:
            self._uses[node] = set() if node[1].startswith(FILE) else self._find_uses(*node)
        return self._uses[node]

    def references(self, module: str | None, refers: References) -> set[Node]:
        """Return the pieces of code that a module's code, or a script, refers to."""
        nodes = {(name, RUN) for name in refers.modules if name in self._files}
        nodes |= {(name, WHOLE) for name in refers.texts if name in self._files}
        nodes |= {(target.module, WHOLE) for target in refers.binds.get("*", ())}
        if refers.computed:
            nodes |= {(name, WHOLE) for name in self._files}
        for chain in refers.chains:
            for target in refers.binds.get(chain[0], ()):
                nodes |= self._behind(target, chain[1:])
            if module:
                nodes |= self._named(module, chain)
        return {node for node in nodes if node[0] in self._files}

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
            # `_found_lazily` follows it, for the requested name only.
            refers = replace(refers, texts=set(), computed=False)
        return {(name, RUN)} | self.references(name, refers)

    def _everything(self, name: str) -> set[Node]:
        """Return everything that code can get from a module object, or from a package's files."""
        module = self._module(name)
        nodes = {(name, each) for each in (RUN, *module.units, *_data(self._files[name]))}
        for each in module.body.refers.binds:
            nodes |= self._named(name, (each,))
        for unit in self._lazy_units(name):
            nodes |= self.references(name, module.units[unit].refers)
        return nodes

    def _named(self, module: str, chain: tuple[str, ...]) -> set[Node]:
        """Return the possible meanings of a name in the code of `module`."""
        first, rest = chain[0], chain[1:]
        content = self._module(module)
        nodes: set[Node] = {(module, first)} if first in content.units else set()
        for target in content.body.refers.binds.get(first, ()):
            nodes |= self._behind(target, rest)
        return nodes

    def _behind(self, target: Target, rest: tuple[str, ...]) -> set[Node]:
        """Return the possible meanings of an imported name with the attributes after it."""
        if target.module not in self._files:
            return set()
        chain = (target.name, *rest) if target.name else rest
        return self._member(target.module, chain) if chain else {(target.module, WHOLE)}

    def _member(self, module: str, chain: tuple[str, ...]) -> set[Node]:
        """Return the possible meanings of a module's attributes, also of re-exported ones."""
        key = (module, *chain)
        if key in self._open:  # two modules import a name from each other
            return set()
        self._open.add(key)
        nodes = self._find_member(module, chain[0], chain[1:])
        self._open.remove(key)
        return nodes | {(module, RUN)}

    def _find_member(self, module: str, name: str, rest: tuple[str, ...]) -> set[Node]:
        content = self._module(module)
        inner = f"{module}.{name}"
        if name in content.units or name in content.body.refers.binds:
            return self._named(module, (name, *rest))
        if inner in self._files:
            # An import calls the function of the package before it looks for a module.
            called = {(module, unit) for unit in self._lazy_units(module)}
            return called | (self._member(inner, rest) if rest else {(inner, WHOLE)})
        if name in content.assigned or name in _OF_EVERY_MODULE:
            return set()
        if LAZY in content.units:
            return self._found_lazily(module, name, rest)
        return {(module, WHOLE)}

    def _found_lazily(self, module: str, name: str, rest: tuple[str, ...]) -> set[Node]:
        """Return the possible meanings of a name that a module looks up in the modules it lists."""
        units = self._lazy_units(module)
        texts = {text for unit in units for text in self._module(module).units[unit].refers.texts}
        homes = {text for text in texts if text in self._files}
        having = {home for home in homes if name in self._module(home).units}
        nodes = {(module, unit) for unit in units}
        for home in having:
            nodes |= self._member(home, (name, *rest))
        return nodes | {(home, WHOLE) for home in (() if having else homes or self._files)}

    def _lazy_units(self, module: str) -> set[str]:
        """Return the units with which a module looks names up on first use."""
        units = self._module(module).units
        names, pending = set[str](), {LAZY} & units.keys()
        while pending:
            name = pending.pop()
            names.add(name)
            pending |= {chain[0] for chain in units[name].refers.chains} & units.keys() - names
        return names

    def _module(self, name: str) -> Module:
        if name not in self._modules:
            self._modules[name] = read_module(self._files[name], name)
        return self._modules[name]


def _dotted(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def _key(module: str, name: str) -> str:
    """Return the name of a piece of code in the digests."""
    return f"{module}{name}" if name.startswith(FILE) else ".".join(filter(None, (module, name)))


def _data(path: Path) -> Iterator[str]:
    """Yield the files of a package that are not code, such as templates."""
    if path.stem != "__init__":
        return
    for each in path.parent.rglob("*"):
        inside = next(p for p in each.parents if (p / path.name).is_file())
        if each.is_file() and each.suffix not in (".py", ".pyc") and inside == path.parent:
            yield f"{FILE}{each.relative_to(path.parent).as_posix()}"


VARIABLE: Final = "ASTROMODAL_CODE"
"""Environment variable of jobs: a hash of the sources, then lines ``rule=digest``."""


def digest(code: Mapping[str, str]) -> str:
    """Return one digest of all definitions that a rule's script reaches.

    The names of the extension files among them follow: ``0123456789abcdef/my_survey.py``.
    """
    return "/".join([hash_values(dict(code)), *(name for name in code if name.endswith(".py"))])


def plan_digests(
    scripts: Path, extensions: Iterable[str | Path], environment: MutableMapping[str, str]
) -> Code:
    """Compute the digests of all rules, and hand them down to jobs.

    Parameters
    ----------
    scripts : path
        The folder of the entry scripts and of the package.
    extensions : iterable of path
        Python files of a user, as in `code_digests`.
    environment : mapping
        ``os.environ``; jobs inherit it.

    Returns
    -------
    mapping
        The digests of definitions by rule.
    """
    extensions = tuple(extensions)
    # Before the files are read, so that an edit meanwhile makes the hash differ from the job's.
    sources = _hash_sources(scripts, extensions)
    code = {path.stem: code_digests(path, scripts, extensions) for path in _entry_scripts(scripts)}
    items = (f"{rule}={digest(table)}" for rule, table in code.items())
    environment[VARIABLE] = "\n".join([sources, *items])
    return code


def job_digests(
    scripts: Path, extensions: Iterable[str | Path], environment: MutableMapping[str, str]
) -> dict[str, str]:
    """Return one digest per rule: the plan's while the sources are the same, else new ones.

    Parameters are those of `plan_digests`.
    """
    extensions = tuple(extensions)
    sources, *items = environment.get(VARIABLE, "").split("\n")
    if sources == _hash_sources(scripts, extensions):
        return dict(item.split("=", 1) for item in items)
    code = plan_digests(scripts, extensions, environment)
    return {rule: digest(table) for rule, table in code.items()}


def _entry_scripts(scripts: Path) -> list[Path]:
    return sorted(scripts.glob("*.py"))


def _hash_sources(scripts: Path, extensions: Iterable[str | Path]) -> str:
    """Return a hash of the paths, sizes and times of all files that digests are made from."""
    folder = scripts.resolve()
    files = [*map(str, _entry_scripts(folder)), *_files_below(folder / PACKAGE)]
    files += [str(Path(path).resolve()) for path in extensions]
    return hash_values([[path, *_version(path)] for path in sorted(files)])


def _version(path: str) -> tuple[int, ...]:
    """Return the size and time of a file; nothing of an editor's link to no file."""
    try:
        return astuple(FileVersion.of(path))
    except FileNotFoundError:
        return ()


def _files_below(folder: Path) -> Iterator[str]:
    """Yield the files of a package, compiled ones left out."""
    for above, _, names in os.walk(folder):
        if os.path.basename(above) != "__pycache__":
            yield from (os.path.join(above, name) for name in names)
