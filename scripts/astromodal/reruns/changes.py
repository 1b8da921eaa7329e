"""What changed since the last run that ended well: settings, and definitions with their rules.

Snakemake says that a job's parameters changed. Which setting or function that was, this tells.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from astromodal.config.schema import Config
from astromodal.errors import FormatError
from astromodal.storage.hashing import hash_values
from astromodal.storage.json_files import read_json, write_json

_SHOWN = 10
"""Lines of a kind that are shown at most."""

Code = Mapping[str, Mapping[str, str]]
"""Digests of definitions by name, by rule."""


def write_record(path: str | Path, config: Config, code: Code) -> None:
    """Note down what a run was made with.

    Parameters
    ----------
    path : path
        The record.
    config : Config
        The settings.
    code : mapping
        By rule what ``astromodal.reruns.code_graph.code_digests`` gave.
    """
    write_json(path, _state(config, code))


def changes(path: str | Path, config: Config, code: Code) -> Iterator[str]:
    """A line for each setting and definition that is not what it was; none without a record.

    Parameters are those of `write_record`.
    """
    try:
        before = read_json(path)
        settings, definitions = before["settings"], before["definitions"]
    except (OSError, FormatError, KeyError, TypeError):
        return
    now = _state(config, code)
    yield from _cut([
        f"{name}: {_shown(settings.get(name))} became {_shown(value)}"
        for name, value in now["settings"].items()
        if settings.get(name) != value
    ])  # fmt: skip
    yield from _cut([
        f"{name}, which {_rules(code, name)} use"
        for name, digest in now["definitions"].items()
        if definitions.get(name) != digest
    ])  # fmt: skip


def digest(code: Mapping[str, str]) -> str:
    """One digest of all definitions that a rule's script reaches."""
    return hash_values(dict(code))


def _state(config: Config, code: Code) -> dict[str, dict[str, Any]]:
    found = {name: value for table in code.values() for name, value in table.items()}
    return {
        "settings": dict(_leaves(config.model_dump(mode="json"))),
        "definitions": dict(sorted(found.items())),
    }


def _leaves(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def _rules(code: Code, name: str) -> str:
    """The rules whose code reaches a definition."""
    using = [rule for rule, table in code.items() if name in table]
    return "all rules" if len(using) == len(code) else ", ".join(using)


def _shown(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _cut(lines: list[str]) -> Iterator[str]:
    for line in lines[:_SHOWN]:
        yield f"changed since the last run: {line}"
    if len(lines) > _SHOWN:
        yield f"changed since the last run: {len(lines) - _SHOWN} more"
