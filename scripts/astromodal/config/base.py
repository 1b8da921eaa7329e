"""What all groups of settings are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field


def split_at_commas(value: object) -> object:
    """``A,B`` of a command line is the list [A, B]."""
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


def by_name(fields: Any) -> Any:
    """Fields of a list or mapping in the order of their names, in whichever they were given."""
    if isinstance(fields, dict):
        return dict(sorted(fields.items()))
    return None if fields is None else tuple(sorted(fields))


FIELD_NAME = r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,99}"
"""What a field may be called: its name becomes part of paths and of commands."""
A_FIELD_NAME = "a name of letters, digits and _ . + - that starts with a letter or digit"
"""The same in words."""
FieldName = Annotated[str, Field(pattern=rf"^{FIELD_NAME}$")]
FieldPattern = Annotated[str, Field(pattern=r"^[A-Za-z0-9*?\[][A-Za-z0-9_.+*?\[\]!-]{0,99}$")]
"""A field's name, in which ``*``, ``?`` and ``[...]`` may stand for others as in a shell."""
FieldNames = Annotated[
    tuple[FieldPattern, ...] | None, BeforeValidator(split_at_commas), AfterValidator(by_name)
]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[int, Field(ge=1)]
NotNegative = Annotated[float, Field(ge=0)]


class Settings(BaseModel):
    """A frozen group of settings that refuses keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, allow_inf_nan=False)

    if not TYPE_CHECKING:  # for a type checker every attribute would be there

        def __getattr__(self, name: str) -> Any:
            """Say more of a setting that `partial_config` left out."""
            if name in type(self).model_fields:
                raise AttributeError(
                    f"{type(self).__name__}.{name} must be given to the job that reads it; "
                    "name it in the settings(...) of its rule"
                )
            return super().__getattr__(name)
