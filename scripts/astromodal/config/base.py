"""What all groups of settings are made of."""

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
    """``A,B`` of a command line is the list [A, B], and what is no list one of a single entry."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",")]
    return [value] if isinstance(value, (int, float, date)) else value


def by_name(fields: Any) -> Any:
    """Fields of a list or mapping in the order of their names, in whichever they were given."""
    if isinstance(fields, dict):
        return dict(sorted(fields.items()))
    return None if fields is None else tuple(sorted(fields))


def once(names: tuple[str, ...]) -> tuple[str, ...]:
    """Names of which none stands twice: a second column, band or group would be its own."""
    twice = [name for i, name in enumerate(names) if name in names[:i]]
    if twice:
        raise ValueError(f"must name each once, got {twice[0]!r} twice; leave one out")
    return names


FIELD_NAME = r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,99}"
"""What a field may be called: its name becomes part of paths and of commands."""
A_FIELD_NAME = "a name of letters, digits and _ . + - that starts with a letter or digit"
"""The same in words."""
FieldName = Annotated[str, Field(pattern=rf"^{FIELD_NAME}$")]
FieldPattern = Annotated[str, Field(pattern=r"^[A-Za-z0-9*?\[][A-Za-z0-9_.+*?\[\]!-]{0,99}$")]
"""A field's name, in which ``*``, ``?`` and ``[...]`` may stand for others as in a shell."""
FieldNames = Annotated[
    Annotated[tuple[FieldPattern, ...], Field(min_length=1)] | None,
    BeforeValidator(split_at_commas),
    AfterValidator(by_name),
]
Once = (AfterValidator(once), Field(json_schema_extra={"uniqueItems": True}))
"""Annotations of a list in which no name stands twice."""
ColumnName = Annotated[str, Field(min_length=1)]
ColumnNames = Annotated[tuple[ColumnName, ...], *Once]
SomeColumns = Annotated[tuple[ColumnName, ...], Field(min_length=1), *Once]
"""At least one."""
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[int, Field(ge=1)]
NotNegative = Annotated[float, Field(ge=0)]
SEEDS = 2**64
"""Seeds that PyTorch takes are below this."""
Seed = Annotated[int, Field(ge=0)]
"""What NumPy's generators take; of any size."""


class Settings(BaseModel):
    """A frozen group of settings that refuses keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _null(cls, values: Any) -> Any:
        """Read the text ``null`` as YAML does: Snakemake leaves it so in ``--config``."""
        if not isinstance(values, Mapping):
            return values
        return {name: None if value == "null" else value for name, value in values.items()}
