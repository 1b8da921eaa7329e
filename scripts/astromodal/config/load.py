"""Reading a configuration: a user's YAML overrides only what it names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

import yaml
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from astromodal.config.base import A_FIELD_NAME, Settings
from astromodal.config.schema import Config
from astromodal.errors import ConfigError, must_be, nearest, suggestion


def load_config(source: str | Path | Mapping[str, Any] | None = None) -> Config:
    """Load and check a configuration.

    Parameters
    ----------
    source : path or mapping, optional
        A YAML file, or its content as nested mappings (Snakemake's ``config``); nothing gives the
        defaults.

    Returns
    -------
    Config
        All settings, frozen; those that `source` does not name have their defaults.

    Raises
    ------
    ConfigError
        Where a key is unknown (the nearest valid one is named) or a value is not what it must be.
    """
    values = source if isinstance(source, Mapping) else _read_yaml(source)
    try:
        return Config.model_validate(_spelt_out(dict(values)))
    except ValidationError as error:
        raise ConfigError("\n".join(_explain(detail) for detail in error.errors())) from None


def settings_at(name: str, config: Config) -> Any:
    """The group of settings, or the value, at a dotted name such as ``tokenizers.scalar``."""
    value: Any = config
    for part in name.split("."):
        fields = type(value).model_fields if isinstance(value, BaseModel) else {}
        if part not in fields:
            raise ConfigError(f"{name} is no setting{suggestion(part, fields)}")
        value = getattr(value, part)
    return value


def plain_settings(name: str, config: Config) -> Any:
    """`settings_at` as nested dicts, lists, text and numbers, as Snakemake tracks them."""
    return TypeAdapter(Any).dump_python(settings_at(name, config), mode="json")


def in_braces(names: Iterable[str]) -> list[str]:
    """Dotted names, where ``a.{b,c}`` stands for a.b and a.c, as in a shell."""
    found = []
    for name in names:
        group, _, leaves = name.partition("{")
        found += [group + leaf for leaf in leaves.removesuffix("}").split(",")]
    return found


def partial_config(values: Mapping[str, Any]) -> Config:
    """A configuration that holds only the settings given: it refuses to tell of any other.

    Parameters
    ----------
    values : mapping
        What `plain_settings` wrote out, by dotted name, or as nested mappings.
    """
    config = load_config(values)
    _leave_out(config, _spelt_out(dict(values)))
    return config


def _leave_out(settings: Settings, given: Mapping[str, Any]) -> None:
    """Take away the settings that are not given, whose values are mere defaults."""
    for name in type(settings).model_fields:
        value = settings.__dict__[name]
        if name not in given:
            del settings.__dict__[name]
        elif isinstance(value, Settings):
            _leave_out(value, given[name])


def _read_yaml(path: str | Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ConfigError(must_be(str(path), "a YAML file", str(error))) from error
    if values is not None and not isinstance(values, dict):
        raise ConfigError(must_be(str(path), "a mapping of settings", type(values).__name__))
    return values or {}


def _spelt_out(values: dict[str, Any]) -> dict[str, Any]:
    """Nest keys with dots (``training.epochs``), as ``--config training.epochs=3`` gives them."""
    nested: dict[str, Any] = {}
    for key, value in values.items():
        *parents, last = str(key).split(".")
        place = nested
        for parent in parents:
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                raise ConfigError(
                    must_be(key, "below a group of settings", f"{parent} = {place!r}")
                )
        old = place.get(last)
        if isinstance(old, dict) and isinstance(value, Mapping):
            value = {**old, **value}
        place[last] = value
    return nested


def _explain(detail: ErrorDetails) -> str:
    """One line for one of pydantic's findings, in the grammar of `must_be`."""
    where = [_printable(str(part)) for part in detail["loc"]]
    name = ".".join(where)
    if detail["type"] == "extra_forbidden":
        return f"{name} is no setting" + _hint(where)
    got = detail["input"]
    must = detail["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    if detail["type"] == "string_pattern_mismatch":
        must, got = A_FIELD_NAME, repr(got)
    bounds = _bounds(where)
    if bounds and detail["type"].startswith(("int", "float", "greater", "less")):
        must = bounds
    if detail["type"] == "value_error":
        return f"{name or 'config'} {must}, got {got!r}" if "got" not in must else f"{name}: {must}"
    return must_be(name, must, got)


def _printable(text: str) -> str:
    """Text in one line, whatever characters it holds."""
    return text if text.isprintable() else repr(text)[1:-1]


def _model_at(where: list[str]) -> tuple[type[BaseModel], str | None]:
    """The settings class that the path leads through last, and the name left over in it."""
    model: type[BaseModel] = Config
    left: str | None = None
    for part in where:
        field = model.model_fields.get(part)
        if field is None:
            continue
        kinds = [field.annotation, *get_args(field.annotation)]
        inner = [
            k
            for k in kinds
            if isinstance(k, type) and get_origin(k) is None and issubclass(k, BaseModel)
        ]
        model, left = (inner[0], None) if inner else (model, part)
    return model, left


def _hint(where: list[str]) -> str:
    """The nearest valid key, with its whole dotted name, or all valid keys."""
    known = sorted(_model_at(where[:-1])[0].model_fields)
    close = nearest(where[-1], known)
    return (
        f"; nearest: {'.'.join([*where[:-1], close])!r}"
        if close
        else f"; known: {', '.join(known)}"
    )


def _bounds(where: list[str]) -> str | None:
    """``an int in [2, 65535]``, for a bounded number."""
    model, name = _model_at(where)
    if name is None:
        return None
    schema = model.model_json_schema()["properties"][name]
    options = [
        s for s in [schema, *schema.get("anyOf", [])] if s.get("type") in ("integer", "number")
    ]
    if not options:
        return None
    option = options[0]
    kind = "an int" if option["type"] == "integer" else "a number"
    low = option.get("minimum", option.get("exclusiveMinimum"))
    high = option.get("maximum", option.get("exclusiveMaximum"))
    if low is None and high is None:
        return kind
    opening = "(" if "exclusiveMinimum" in option or low is None else "["
    closing = ")" if "exclusiveMaximum" in option or high is None else "]"
    return f"{kind} in {opening}{_number(low, '-inf')}, {_number(high, 'inf')}{closing}"


def _number(value: float | None, otherwise: str) -> str:
    return otherwise if value is None else f"{value:g}" if abs(value) < 1e5 else str(value)
