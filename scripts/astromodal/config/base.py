"""What all groups of settings are made of."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def split_at_commas(value: object) -> object:
    """``A,B`` of a command line is the list [A, B]."""
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


FieldName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]{0,99}$")]
FieldPattern = Annotated[str, Field(pattern=r"^[A-Za-z0-9*?\[][A-Za-z0-9_.+*?\[\]!-]{0,99}$")]
"""A field's name, in which ``*``, ``?`` and ``[...]`` may stand for others as in a shell."""
FieldNames = Annotated[tuple[FieldPattern, ...] | None, BeforeValidator(split_at_commas)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[int, Field(ge=1)]
NotNegative = Annotated[float, Field(ge=0)]


class Settings(BaseModel):
    """A frozen group of settings that refuses keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, allow_inf_nan=False)
