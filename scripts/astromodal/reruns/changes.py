"""The settings and definitions that changed since the last successful run.

Snakemake reports only that the parameters of a job changed. A plan lists which setting changed, or
which function, and the rules that use it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from astromodal.config.load import load_config
from astromodal.config.schema import Config
from astromodal.core.fields import RunFields
from astromodal.errors import FormatError, must_be
from astromodal.reruns.definitions import Code
from astromodal.storage.json_files import read_json, write_json

_SHOWN = 10
"""Lines of one kind, at most."""


def write_record(
    path: str | Path, config: Config, code: Code, fields: RunFields | None = None
) -> None:
    """Record the settings, the code and the fields of a run.

    Parameters
    ----------
    path : path
        The record.
    config : Config
        The settings.
    code : mapping
        By rule, the digests of definitions.
    fields : RunFields, optional
        The fields of the run, which `read_record` needs.
    """
    run = {"config": config.model_dump(mode="json"), "fields": asdict(fields) if fields else None}
    write_json(path, {**_state(config, code), **run})


def read_record(path: str | Path) -> tuple[Config, RunFields]:
    """Return the settings and the fields of the last successful run.

    Raises
    ------
    FormatError
        If there is no record, or it is damaged or of an earlier release.
    """
    must, do = "the record of a finished run", "run snakemake to the end, and audit then"
    try:
        stored = read_json(path)
        fields = {use: tuple(names) for use, names in stored["fields"].items()}
        return load_config(stored["config"]), RunFields(**fields)
    except FileNotFoundError as error:
        raise FormatError(must_be(str(path), must, "no file", do)) from error
    except (KeyError, TypeError, AttributeError) as error:
        raise FormatError(must_be(str(path), must, "one of an earlier release", do)) from error


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


def differences(a: Any, b: Any, above: str = "") -> dict[str, tuple[Any, Any]]:
    """Return the values that differ in two nested mappings, by dotted name; None where absent."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        found: dict[str, tuple[Any, Any]] = {}
        for name in dict.fromkeys((*a, *b)):
            found |= differences(a.get(name), b.get(name), f"{above}.{name}" if above else name)
        return found
    return {} if a == b else {above: (a, b)}


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
