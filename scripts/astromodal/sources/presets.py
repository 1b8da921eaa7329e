"""Presets: YAML files with the names of a survey's columns, and the cube's columns they become.

The Snakefile imports this module: it needs neither astropy nor pyarrow.
"""

from __future__ import annotations

from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from astromodal.config.files import read_settings
from astromodal.config.sources import Preset
from astromodal.errors import ConfigError, must_be, suggestion

FOLDER: Final = Path(__file__).with_name("presets")
PRESETS: Final = tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))
"""Names of the presets of astromodal."""
_SUFFIXES = (".yaml", ".yml", ".json")


def preset_path(name_or_path: str) -> Path:
    """Return the file of a preset, by its name or path.

    Raises
    ------
    ConfigError
        If there is no such preset or file; the nearest name is in the message.
    """
    if name_or_path in PRESETS:
        return FOLDER / f"{name_or_path}.yaml"
    path = Path(name_or_path)
    if path.is_file():
        return path
    must = f"one of {', '.join(PRESETS)} or the path of a YAML file"
    is_path = "/" in name_or_path or path.suffix in _SUFFIXES
    near = "; there is no such file" if is_path else suggestion(name_or_path, PRESETS)
    raise ConfigError(must_be("preset", must, repr(name_or_path)) + near)


def load_preset(name_or_path: str) -> Preset:
    """Return a preset.

    Parameters
    ----------
    name_or_path : str
        Name of a preset of astromodal, or the path of a YAML file.

    Returns
    -------
    Preset
        The columns of the catalogue; rules for all bands are written out.

    Raises
    ------
    ConfigError
        If there is no such preset, or it has an unknown key (the message names the nearest) or an
        invalid value.
    """
    path = preset_path(name_or_path)
    try:
        return Preset.model_validate(read_settings(path))
    except ValidationError as error:
        lines = dict.fromkeys(f"preset {path}: {_explained(e)}" for e in error.errors())
        raise ConfigError("\n".join(lines)) from None


def _explained(detail: ErrorDetails) -> str:
    """Return the message for one validation error."""
    loc = [str(part) for part in detail["loc"]]
    name, kind, got = ".".join(loc) or "the file", detail["type"], detail["input"]
    if kind == "extra_forbidden":
        known = sorted(_model_at(loc[:-1]).model_fields)
        return f"{name} is no key" + (suggestion(loc[-1], known) or f"; known: {', '.join(known)}")
    if kind == "missing":
        return must_be(name, "given", "nothing")
    text = detail["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    if kind == "value_error":
        return f"{name} {text}" + ("" if "got" in text else f", got {got!r}")
    return must_be(name, text, repr(got))


def _model_at(loc: list[str]) -> type[BaseModel]:
    """Return the settings at a path of keys; keys of mappings and places in lists are passed."""
    model: type[BaseModel] = Preset
    for part in loc:
        if part in model.model_fields:
            inner = _models(model.model_fields[part].annotation)
            model = inner[0] if inner else model
    return model


def _models(kind: Any) -> list[type[BaseModel]]:
    """Return the settings classes in a type."""
    if isinstance(kind, type) and get_origin(kind) is None and issubclass(kind, BaseModel):
        return [kind]
    if get_origin(kind) in (Union, UnionType, Annotated, dict, tuple):
        return [model for part in get_args(kind) for model in _models(part)]
    return []
