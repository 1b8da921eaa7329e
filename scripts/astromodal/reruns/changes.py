"""The settings and definitions that changed since the last successful run.

Snakemake reports only that the parameters of a job changed. A plan lists which setting changed, or
which function, and the rules that use it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from astromodal.config.schema import Config
from astromodal.errors import FormatError
from astromodal.reruns.definitions import Code
from astromodal.storage.json_files import read_json, write_json

_SHOWN = 10
"""Lines of one kind, at most."""


def write_record(path: str | Path, config: Config, code: Code) -> None:
    """Record the settings and the code of a run.

    Parameters
    ----------
    path : path
        The record.
    config : Config
        The settings.
    code : mapping
        By rule, the digests of definitions.
    """
    write_json(path, _state(config, code))


def changes(path: str | Path, config: Config, code: Code) -> Iterator[str]:
    """Yield one line per setting and definition that changed; nothing without a record.

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
        f"{name}, used by {_rules(code, name)}"
        for name, digest in now["definitions"].items()
        if definitions.get(name) != digest
    ])  # fmt: skip


def _state(config: Config, code: Code) -> dict[str, dict[str, Any]]:
    definitions = {name: each for table in code.values() for name, each in table.items()}
    return {
        "settings": dict(_leaves(config.model_dump(mode="json"))),
        "definitions": dict(sorted(definitions.items())),
    }


def _leaves(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def _rules(code: Code, name: str) -> str:
    """Return the rules whose code reaches a definition, as text."""
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
