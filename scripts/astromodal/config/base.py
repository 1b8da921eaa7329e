"""Base class and types of settings."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)


def split_at_commas(value: object) -> object:
    """Split text such as ``A,B`` at commas, and turn a single number or date into a list."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",")]
    return [value] if isinstance(value, (int, float, date)) else value


def by_name(fields: Any) -> Any:
    """Sort a list or mapping of fields by name."""
    if isinstance(fields, dict):
        return dict(sorted(fields.items()))
    return None if fields is None else tuple(sorted(fields))


def once(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return names after a check that none is repeated."""
    twice = [name for i, name in enumerate(names) if name in names[:i]]
    if twice:
        raise ValueError(f"must name each once, got {twice[0]!r} twice; leave one out")
    return names


FIELD_NAME = r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,99}"
"""Pattern of a field's name, which becomes part of paths and commands."""
A_FIELD_NAME = "a name of letters, digits and _ . + - that starts with a letter or digit"
"""Description of `FIELD_NAME` for messages."""
FieldName = Annotated[str, Field(pattern=rf"^{FIELD_NAME}$")]
FieldPattern = Annotated[str, Field(pattern=r"^[A-Za-z0-9*?\[][A-Za-z0-9_.+*?\[\]!-]{0,99}$")]
"""A field's name or a pattern of names with ``*``, ``?`` and ``[...]``, as in a shell."""
FieldNames = Annotated[
    Annotated[tuple[FieldPattern, ...], Field(min_length=1)] | None,
    BeforeValidator(split_at_commas),
    AfterValidator(by_name),
]
Once = (AfterValidator(once), Field(json_schema_extra={"uniqueItems": True}))
"""Annotations of a list without repeated names."""
ColumnName = Annotated[str, Field(min_length=1)]
ColumnNames = Annotated[tuple[ColumnName, ...], *Once]
SomeColumns = Annotated[tuple[ColumnName, ...], Field(min_length=1), *Once]
"""At least one column."""
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[int, Field(ge=1)]
NotNegative = Annotated[float, Field(ge=0)]
SEEDS = 2**64
"""Seeds of PyTorch are below this number."""
Seed = Annotated[int, Field(ge=0)]
"""A seed of NumPy's generators, of any size."""


class Settings(BaseModel):
    """A frozen group of settings, in which unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _null(cls, values: Any) -> Any:
        """Read the text ``null`` as None: Snakemake's ``--config`` passes it as text."""
        if not isinstance(values, Mapping):
            return values
        return {name: None if value == "null" else value for name, value in values.items()}
