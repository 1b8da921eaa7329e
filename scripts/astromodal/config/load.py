"""Reading a configuration: a user's YAML overrides only what it names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import BaseModel, PrivateAttr, TypeAdapter, ValidationError, create_model

from astromodal.config.base import SEEDS, Settings
from astromodal.config.evaluate import AS_CONFIGURED, AblationSettings
from astromodal.config.explain import explain
from astromodal.config.files import check_given_once, read_settings
from astromodal.config.schema import Config
from astromodal.errors import ConfigError, must_be, suggestion


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


class SettingsView(Settings):
    """A group of settings of which only those that a job was given can be read.

    `partial_config` makes a subclass of this class and of the group's own for each group that was
    given in part. Type checkers see the group's own class.
    """

    _above: str = PrivateAttr("")
    """Dotted name of the group and a dot, for errors."""

    def __getattribute__(self, name: str) -> Any:
        if name in type(self).model_fields and name not in self.model_fields_set:
            raise AttributeError(name)  # Python then calls __getattr__
        return super().__getattribute__(name)

    def __getattr__(self, name: str) -> Any:
        if name in type(self).model_fields:
            raise AttributeError(
                f"{self._above}{name} must be given to the job that reads it; "
                "name it in the settings(...) of its rule"
            )
        return super().__getattr__(name)  # type: ignore[misc]

    def model_dump(self, **options: Any) -> dict[str, Any]:
        """Return the settings that were given as a dict; options as in pydantic."""
        return super().model_dump(**{"exclude_unset": True, **options})

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        return [pair for pair in super().__repr_args__() if pair[0] in self.model_fields_set]


def partial_config(values: Mapping[str, Any]) -> Config:
    """Return a configuration of which only the settings given can be read.

    Any other has no value, not its default: a job that read a setting which its rule does not name
    would not run again after a change of that setting.

    Parameters
    ----------
    values : mapping
        Settings as `plain_settings` returns them, by dotted name, or as nested mappings.

    Returns
    -------
    Config
        A view; reading any other setting raises `AttributeError`, which names the setting.

    Raises
    ------
    ConfigError
        If a key is unknown or a value is not valid.
    """
    return _view(_validated(values))


def _validated(values: Mapping[str, Any], files: Sequence[str | Path] = ()) -> Config:
    """Settings each of which is what it must be."""
    try:
        return Config.model_validate(_spelt_out(values))
    except ValidationError as error:
        # A list of wrong entries is too short for pydantic, which counts the right ones.
        found = [d for d in error.errors() if d["type"] != "too_short" or not d["input"]]
        said = [explain(detail, files) for detail in found]
        raise ConfigError("\n".join(dict.fromkeys(said))) from None


_S = TypeVar("_S", bound=Settings)


def _view(settings: _S, above: str = "") -> _S:
    """Return a group of settings, or a view of it where not all of them were given."""
    given = {name: getattr(settings, name) for name in settings.model_fields_set}
    shown = {
        name: _view(value, f"{above}{name}.") if isinstance(value, Settings) else value
        for name, value in given.items()
    }
    whole = given.keys() == type(settings).model_fields.keys()
    if whole and all(shown[name] is value for name, value in given.items()):
        return settings
    view = _view_class(type(settings)).model_construct(set(given), **shown)
    view._above = above
    return cast(_S, view)


@cache
def _view_class(group: type[Settings]) -> type[SettingsView]:
    bases: Any = (SettingsView, group)  # pydantic's types expect that all have one type
    return cast(type[SettingsView], create_model(group.__name__, __base__=bases))


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
    """Raise `ConfigError` where settings contradict each other."""
    columns = config.columns
    _distinct({"columns.id": columns.id, "columns.ra": columns.ra, "columns.dec": columns.dec})
    labels = config.evaluation.labels
    stellar = {f"evaluation.labels.stellar ({name})": name for name in labels.stellar}
    _distinct({"evaluation.labels.redshift": labels.redshift, **stellar})


def _distinct(columns: dict[str, str | None]) -> None:
    """Raise `ConfigError` where two settings name the same column."""
    first: dict[str, str] = {}
    for setting, column in columns.items():
        if column is not None and first.setdefault(column, setting) != setting:
            must = f"another column than {first[column]}"
            raise ConfigError(must_be(setting, must, f"{column!r} in both"))


_ALONE = {"training.gpus": 1, "training.nodes": 1, "training.init_from": None}
"""A variant is trained by one process, and from the start."""


def ablated(config: Config) -> dict[str, Config]:
    """The configurations to train, by variant, the one as it is first.

    A variant whose settings are those of one before it is left out: it would be trained twice. So
    is a default one that this configuration cannot have: without reconstruction terms,
    cross-entropy is all there is.

    Raises
    ------
    ConfigError
        Where a variant changes a setting that there is not, or to what it cannot be.
    """
    found: dict[str, Config] = {}
    for name, changes in {AS_CONFIGURED: {}, **config.ablations.variants}.items():
        try:
            varied = _changed(config, changes)
        except ConfigError as error:
            if changes == AblationSettings().variants.get(name):
                continue
            raise ConfigError(f"ablations.variants.{name}: {error}") from None
        if varied not in found.values():
            found[name] = varied
    return found


def seeded(config: Config, seed: int) -> Config:
    """The configuration with another ``training.seed``."""
    training = config.training.model_copy(update={"seed": seed})
    return config.model_copy(update={"training": training})


def ablation_seeds(config: Config) -> tuple[int, ...]:
    """Seeds of the trainings of each variant: ``training.seed`` and those that follow.

    Raises
    ------
    ConfigError
        Where they go beyond the seeds that there are.
    """
    first, n = config.training.seed, config.ablations.seeds
    if first + n > SEEDS:
        must = f"at most 2^64 - ablations.seeds, {SEEDS - n}"
        raise ConfigError(must_be("training.seed", must, first))
    return tuple(range(first, first + n))


def _changed(config: Config, changes: Mapping[str, Any]) -> Config:
    """The configuration with some settings changed, by dotted name."""
    epochs = config.ablations.epochs
    own = _ALONE | ({} if epochs is None else {"training.epochs": epochs})
    return load_config({**config.model_dump(mode="json"), **own, **changes})
