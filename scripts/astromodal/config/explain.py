"""Messages for pydantic's validation errors, in the grammar of errors and the words of YAML."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from astromodal.config.base import A_FIELD_NAME
from astromodal.config.files import KEY, spelling
from astromodal.config.schema import Config
from astromodal.errors import must_be, nearest

_MUST = {
    "string_type": "text",
    "string_too_short": "text that is not empty",
    "string_pattern_mismatch": A_FIELD_NAME,
    "too_short": "a list that is not empty",
    "tuple_type": "a list",
    "model_type": "a group of settings",
    "dict_type": "a group of settings",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
}
"""Valid values by pydantic's type of error, in place of pydantic's words for Python types."""
_RENAMED = {"evaluation.parts": "evaluation.sections"}
"""Settings of earlier versions, and their names now."""
_REMOVED = dict.fromkeys(
    ("predict.prior_mass", "predict.max_candidates"),
    "columns are predicted in one run of the model, without candidates; remove it",
)
"""Settings of earlier versions that are not needed any more, and why."""
_QUOTED = ("string_pattern_mismatch", "string_too_short")


def explain(detail: ErrorDetails, files: Sequence[str | Path] = ()) -> str:
    """Return the message for one validation error of pydantic, in one line.

    Parameters
    ----------
    detail : ErrorDetails
        The error.
    files : sequence of path
        Files of the settings, for the spelling of a value.
    """
    loc = tuple(map(str, detail["loc"]))
    where = [_printable(part) for part in loc if part != KEY]
    name, kind, got = ".".join(where) or "config", detail["type"], detail["input"]
    if kind == "extra_forbidden" and name in _RENAMED:
        return f"{name} is no setting any more; write {_RENAMED[name]}"
    if kind == "extra_forbidden" and name in _REMOVED:
        return f"{name} is no setting any more: {_REMOVED[name]}"
    if kind == "extra_forbidden":
        return f"{name} is no setting" + _hint(where)
    if kind == "string_type" and isinstance(got, (int, float, date)):
        return _no_text(name, got, loc, files)
    if kind == "value_error":
        text = detail["msg"].removeprefix("Value error, ")
        return f"{name}{' ' if text.startswith('must') else ': '}{text}" + (
            "" if "got" in text else f", got {got!r}"
        )
    if kind == "missing":
        return must_be(name, "given", "nothing")
    must = _MUST.get(kind, detail["msg"].removeprefix("Input should be "))
    if kind.startswith(("int", "float", "greater", "less")):
        must = _bounds(where) or must
    return must_be(name, must, repr(got) if kind in _QUOTED else got)


def shown(bound: float) -> str:
    """Format a bound; large powers of 2 as 2^64, not 1.84467e+19."""
    size = abs(int(bound))
    if size >= 1 << 31 and size & (size - 1) == 0:
        return f"{'-' if bound < 0 else ''}2^{size.bit_length() - 1}"
    return f"{bound:g}" if abs(bound) < 1e5 else str(bound)


def _no_text(name: str, got: Any, loc: tuple[str, ...], files: Sequence[str | Path]) -> str:
    """Return the message for text that YAML or Snakemake's command line read as another type."""
    read = (
        f"{'true' if got else 'false'}"
        if isinstance(got, bool)
        else f"the {'date' if isinstance(got, date) else 'number'} {got}"
    )
    found = spelling(files, loc, got)
    if found is not None:
        return must_be(
            name, "text", f"{found}, which YAML reads as {read}", f"write '{found.text}'"
        )
    do = "write it in quotes in a file, in brackets on the command line: --config 'fields=[0001]'"
    return must_be(name, "text", read, do)


def _printable(text: str) -> str:
    """Return text with characters that cannot be printed escaped."""
    return text if text.isprintable() else repr(text)[1:-1]


def _model_at(where: list[str]) -> tuple[type[BaseModel], str | None]:
    """Return the last settings class on a dotted path, and the rest of the path or None."""
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
    """Return the nearest valid key with its dotted name, or all valid keys, for a message."""
    known = sorted(_model_at(where[:-1])[0].model_fields)
    close = nearest(where[-1], known)
    return (
        f"; nearest: {'.'.join([*where[:-1], close])!r}"
        if close
        else f"; known: {', '.join(known)}"
    )


def _bounds(where: list[str]) -> str | None:
    """Return the valid values of a number, such as ``an int in [2, 65535]``."""
    model, name = _model_at(where)
    if name is None:
        return None
    schema = model.model_json_schema()["properties"][name]
    parts = [schema, *schema.get("anyOf", []), schema.get("items", {})]
    options = [part for part in parts if part.get("type") in ("integer", "number")]
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
    return otherwise if value is None else shown(value)
