"""Reading of YAML and JSON files of settings, with errors for settings that are given twice."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from astromodal.errors import ConfigError, must_be

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # CSafeLoader is ten times as fast
_MERGE = "tag:yaml.org,2002:merge"

KEY = "[key]"
"""Last part of a path to a key instead of its value, as in pydantic's errors."""

Where = tuple[str, ...]
"""Path of a setting: keys, and positions in lists; it ends in `KEY` for the key itself."""


@dataclass(frozen=True)
class Spelling:
    """Text of a value or key in a file, with its line."""

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
        If it is neither, does not hold a mapping, or gives a setting twice.
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
    """Raise `ConfigError` if a file gives a setting twice; YAML would keep only the last.

    Parameters
    ----------
    paths : iterable of path
        Files of settings; those that cannot be read again, such as pipes, are not checked.
    """
    messages = [
        must_be(
            ".".join(each.where),
            f"given once in {path}",
            f"lines {each.first} and {each.second}",
            "join the two",
        )
        for path in paths
        if (root := _root(path)) is not None
        for each in _repeated(root, (), {}, set())
    ]
    if messages:
        raise ConfigError("\n".join(messages))


def spelling(paths: Sequence[str | Path], where: Where, value: object) -> Spelling | None:
    """Return how a value is spelt in the last file that has it, or None if no file has it.

    Parameters
    ----------
    paths : sequence of path
        Files of settings.
    where : tuple of str
        Path of the value.
    value : object
        The value as YAML reads it.
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
    """Parse a file to nodes with line numbers; return None if it cannot be parsed again."""
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
        # YAML rejects tabs, which JSON allows between values.
        return yaml.compose(text.replace("\t", " "), Loader=_Loader)
    except yaml.YAMLError:
        return None


class _Entry(NamedTuple):
    """A key of a mapping, split at dots, with the nodes of the key and of its value."""

    name: Where
    key: yaml.ScalarNode
    value: yaml.Node


def _entries(node: yaml.Node, top: bool) -> Iterator[_Entry]:
    """Yield the entries of a mapping; only keys at the top of a file are split at dots.

    Merged mappings (``<<``) are left out: their settings may be given again.
    """
    for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
        if isinstance(key, yaml.ScalarNode) and key.tag != _MERGE:
            yield _Entry(tuple(key.value.split(".")) if top else (key.value,), key, value)


class _Given(NamedTuple):
    """A place where a setting is given: its line, its mapping, and whether it is a group."""

    line: int
    mapping: int
    is_group: bool


class _Repeated(NamedTuple):
    """A setting that is given on two lines of a file."""

    where: Where
    first: int
    second: int


def _repeated(
    node: yaml.Node, above: Where, seen: dict[Where, _Given], visited: set[int]
) -> Iterator[_Repeated]:
    """Yield settings that are given twice, in one group or once by a dotted name."""
    if id(node) in visited:  # the node of an anchor
        return
    visited.add(id(node))
    for name, key, value in _entries(node, not above):
        where = (*above, *name)
        here = _Given(key.start_mark.line + 1, id(node), isinstance(value, yaml.MappingNode))
        before = seen.setdefault(where, here)
        groups = before.is_group and here.is_group
        if before is not here and not (groups and before.mapping != here.mapping):
            yield _Repeated(where, before.line, here.line)
        else:
            yield from _repeated(value, where, seen, visited)


def _at(node: yaml.Node, where: Where, top: bool = True) -> yaml.Node | None:
    """Return the node at a path; the last one if there are several."""
    if not where or (where == ("0",) and isinstance(node, yaml.ScalarNode)):
        return node
    if isinstance(node, yaml.SequenceNode):
        number = int(where[0]) if where[0].isdigit() else len(node.value)
        return _at(node.value[number], where[1:], False) if number < len(node.value) else None
    found: yaml.Node | None = None
    for name, key, value in _entries(node, top):
        if where == (_plain(key), KEY):
            found = key
        elif name == where[: len(name)] or (not top and where[0] == _plain(key)):
            found = _at(value, where[len(name) :], False) or found
    return found


def _plain(node: yaml.ScalarNode) -> str:
    """Return the value that YAML reads, as text: 1 for ``0001``."""
    return str(_Loader("").construct_object(node))
