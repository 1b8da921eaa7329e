"""Reading a configuration: a user's YAML overrides only what it names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from astromodal.config.base import Settings
from astromodal.config.explain import explain
from astromodal.config.files import check_given_once, read_settings
from astromodal.config.schema import NO_COLUMN, Config
from astromodal.errors import ConfigError, must_be, suggestion
from astromodal.surveys.registry import GROUPS, spectrum_group


def load_config(
    source: str | Path | Mapping[str, Any] | None = None, files: Sequence[str | Path] = ()
) -> Config:
    """Load and check a configuration.

    Parameters
    ----------
    source : path or mapping, optional
        A YAML or JSON file, or its content as nested mappings (Snakemake's ``config``); nothing
        gives the defaults.
    files : sequence of path
        Files that the mapping is made of, one over the other: they are checked for what a mapping
        no longer shows, and named in errors.

    Returns
    -------
    Config
        All settings, frozen; those that `source` does not name have their defaults.

    Raises
    ------
    ConfigError
        Where a key is unknown (the nearest valid one is named) or stands twice, or a value is not
        what it must be.
    """
    if isinstance(source, Mapping):
        check_given_once(files)
        if files:
            _check_one_way(source)
        config = _validated(source, files)
    elif source is None:
        config = Config()
    else:
        config = _validated(read_settings(source), [source])
    check_together(config)
    return config


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
    config = _validated(values)
    _leave_out(config, _spelt_out(values))
    return config


def _validated(values: Mapping[str, Any], files: Sequence[str | Path] = ()) -> Config:
    """Settings each of which is what it must be."""
    try:
        return Config.model_validate(_spelt_out(values))
    except ValidationError as error:
        # A list of wrong entries is too short for pydantic, which counts the right ones.
        found = [d for d in error.errors() if d["type"] != "too_short" or not d["input"]]
        said = [explain(detail, files) for detail in found]
        raise ConfigError("\n".join(dict.fromkeys(said))) from None


def _leave_out(settings: Settings, given: Mapping[str, Any]) -> None:
    """Take away the settings that are not given, whose values are mere defaults."""
    for name in type(settings).model_fields:
        value = settings.__dict__[name]
        if name not in given:
            del settings.__dict__[name]
        elif isinstance(value, Settings):
            _leave_out(value, given[name])


def _spelt_out(values: Mapping[str, Any]) -> dict[str, Any]:
    """Nest keys with dots, as in ``training.epochs: 3``; of two values the later one counts."""
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
        place[last] = _merged(place.get(last), value)
    return nested


def _merged(old: Any, new: Any) -> Any:
    """A value over another one; groups are joined, and copied."""
    if not isinstance(new, Mapping):
        return new
    found = dict(old) if isinstance(old, Mapping) else {}
    return found | {name: _merged(found.get(name), value) for name, value in new.items()}


def _check_one_way(values: Mapping[str, Any]) -> None:
    """Raise `ConfigError` where a setting has two values, one by its dotted name.

    Of several files Snakemake joins equal keys; of others it does not know which is to count.
    """
    found: dict[str, Any] = {}
    for name, value in _leaves(values):
        if found.setdefault(name, value) != value:
            do = f"write it below {name.split('.')[0]}: in every file"
            raise ConfigError(must_be(name, "given once", f"{found[name]!r} and {value!r}", do))


def _leaves(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def check_together(config: Config) -> None:
    """Raise `ConfigError` where settings contradict each other, or name what is not registered."""
    _registered(config)
    columns = config.columns
    _distinct({"columns.id": columns.id, "columns.ra": columns.ra, "columns.dec": columns.dec})
    labels = config.evaluation.labels
    stellar = {f"evaluation.labels.stellar ({name})": name for name in labels.stellar}
    _distinct({"evaluation.labels.redshift": labels.redshift, **stellar})


def _registered(config: Config) -> None:
    """Raise `ConfigError` where a spectrum group is not registered, or a column is called like one.

    Jobs do not come here: they get the names of groups as values, and a job that reads no spectra
    must not depend on the code of every survey.
    """
    for name in config.tokenizers.spectrum.groups:
        spectrum_group(name)
    for name in config.tokenizers.scalar.columns:
        if name in GROUPS:
            raise ConfigError(f"tokenizers.scalar.columns {NO_COLUMN.format(name=name)}")


def _distinct(columns: dict[str, str | None]) -> None:
    """Raise `ConfigError` where two settings name the same column."""
    first: dict[str, str] = {}
    for setting, column in columns.items():
        if column is not None and first.setdefault(column, setting) != setting:
            must = f"another column than {first[column]}"
            raise ConfigError(must_be(setting, must, f"{column!r} in both"))
