"""YAML and JSON files of settings: how they are read, and what in them would be lost silently."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from astromodal.errors import ConfigError, must_be

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the first is ten times as fast
_MERGE = "tag:yaml.org,2002:merge"

KEY = "[key]"
"""Ends the way to a key itself, not to its value, as in pydantic's findings."""

Where = tuple[str, ...]
"""Keys, and numbers of entries of lists, that lead to a setting; `KEY` at its end for a key."""


@dataclass(frozen=True)
class Spelling:
    """How a value, or the name of one, is written in a file."""

    text: str
    path: str
    line: int

    def __str__(self) -> str:
        return f"{self.text} (line {self.line} of {self.path})"


def read_settings(path: str | Path) -> dict[str, Any]:
    """Read a YAML or JSON file of settings.

    Raises
    ------
    ConfigError
        Where it is neither, holds no mapping, or gives a setting twice.
    """
    check_given_once([path])
    text = _text(path)
    try:
        values = json.loads(text)
    except ValueError:
        try:
            values = yaml.load(text, Loader=_Loader)
        except (yaml.YAMLError, ValueError) as error:
            raise _no_yaml(path, error) from error
    if values is not None and not isinstance(values, dict):
        raise ConfigError(must_be(str(path), "a mapping of settings", type(values).__name__))
    return values or {}


def check_given_once(paths: Iterable[str | Path]) -> None:
    """Raise `ConfigError` where a file gives a setting twice: YAML would drop all but the last.

    Parameters
    ----------
    paths : iterable of path
        Files that were read before; those that cannot be read twice, as pipes, are left out.
    """
    said = [
        must_be(
            ".".join(where), f"given once in {path}", f"lines {first} and {second}", "join the two"
        )
        for path in paths
        if (root := _root(path)) is not None
        for where, first, second in _twice(root, (), {}, set())
    ]
    if said:
        raise ConfigError("\n".join(said))


def spelling(paths: Sequence[str | Path], where: Where, value: object) -> Spelling | None:
    """How a value is written in the last of some files that has it there; None where none has.

    Parameters
    ----------
    paths : sequence of path
        The files.
    where : tuple of str
        What leads to it.
    value : object
        What YAML reads it as.
    """
    for path in reversed(paths):
        root = _root(path)
        node = None if root is None else _at(root, where)
        if isinstance(node, yaml.ScalarNode) and _plain(node) == str(value):
            return Spelling(node.value, str(path), node.start_mark.line + 1)
    return None


def _text(path: str | Path) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(must_be(str(path), "UTF-8 text", str(error))) from error


def _no_yaml(path: str | Path, error: Exception) -> ConfigError:
    return ConfigError(must_be(str(path), "a YAML file", str(error)))


def _root(path: str | Path) -> yaml.Node | None:
    """What a file holds, with its line numbers; None where it cannot be parsed twice."""
    if not Path(path).is_file():
        return None
    text = _text(path)
    try:
        return yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as error:
        try:
            json.loads(text)
        except ValueError:
            raise _no_yaml(path, error) from error
    try:
        # Tabs, which stand between a JSON file's values only, are what YAML most often rejects.
        return yaml.compose(text.replace("\t", " "), Loader=_Loader)
    except yaml.YAMLError:
        return None


def _pairs(node: yaml.Node, top: bool) -> Iterator[tuple[Where, yaml.ScalarNode, yaml.Node]]:
    """A mapping's keys, those of the whole file divided at dots, with their nodes and values.

    What is merged (``<<``) is left out: it may be given again.
    """
    for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
        if isinstance(key, yaml.ScalarNode) and key.tag != _MERGE:
            yield tuple(key.value.split(".")) if top else (key.value,), key, value


def _twice(
    node: yaml.Node, above: Where, seen: dict[Where, tuple[int, int, bool]], visited: set[int]
) -> Iterator[tuple[Where, int, int]]:
    """Settings that are given twice, with both lines: in one group, or also by a dotted name."""
    if id(node) in visited:  # an anchor's
        return
    visited.add(id(node))
    for name, key, value in _pairs(node, not above):
        where = (*above, *name)
        here = (key.start_mark.line + 1, id(node), isinstance(value, yaml.MappingNode))
        before = seen.setdefault(where, here)
        groups = before[2] and here[2]
        if before is not here and not (groups and before[1] != here[1]):
            yield where, before[0], here[0]
        else:
            yield from _twice(value, where, seen, visited)


def _at(node: yaml.Node, where: Where, top: bool = True) -> yaml.Node | None:
    """The node that keys lead to; the last one where several do."""
    if not where or (where == ("0",) and isinstance(node, yaml.ScalarNode)):
        return node
    if isinstance(node, yaml.SequenceNode):
        number = int(where[0]) if where[0].isdigit() else len(node.value)
        return _at(node.value[number], where[1:], False) if number < len(node.value) else None
    found: yaml.Node | None = None
    for name, key, value in _pairs(node, top):
        if where == (_plain(key), KEY):
            found = key
        elif name == where[: len(name)] or (not top and where[0] == _plain(key)):
            found = _at(value, where[len(name) :], False) or found
    return found


def _plain(node: yaml.ScalarNode) -> str:
    """What YAML reads a value as, as text: 1 where ``0001`` is written."""
    return str(_Loader("").construct_object(node))
