"""Loading of configurations, views for jobs, and the configurations of ablations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import BaseModel, PrivateAttr, TypeAdapter, ValidationError, create_model

from astromodal.config.base import SEEDS, Settings
from astromodal.config.evaluate import AS_CONFIGURED, AblationSettings
from astromodal.config.explain import explain
from astromodal.config.files import check_given_once, read_settings
from astromodal.config.inputs import LAST, is_address
from astromodal.config.schema import NO_COLUMN, Config
from astromodal.errors import ConfigError, must_be, suggestion
from astromodal.surveys.registry import GROUPS, spectrum_group


def load_config(
    source: str | Path | Mapping[str, Any] | None = None, files: Sequence[str | Path] = ()
) -> Config:
    """Load and check a configuration; a file overrides only the settings that it names.

    Parameters
    ----------
    source : path or mapping, optional
        A YAML or JSON file, or its content as nested mappings (Snakemake's ``config``); None for
        the defaults.
    files : sequence of path
        Files that the mapping was merged from, in order. They are checked for repeated keys, which
        a mapping does not show, and named in errors.

    Returns
    -------
    Config
        All settings, frozen. Settings that `source` does not name have their defaults.

    Raises
    ------
    ConfigError
        If a key is unknown (the message names the nearest one) or repeated, or a value is invalid.
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


def placed(config: Config, place: Callable[[str], str]) -> Config:
    """Return the configuration with the paths of its data in another place.

    Parameters
    ----------
    config : Config
        The settings. Paths of cubes, raw files, tables of labels, models and results are changed;
        those of Python files and presets are not.
    place : callable
        Returns the changed path, such as one below the ``prefix`` of a Snakemake module.

    Returns
    -------
    Config
        The settings with the changed paths.
    """
    template, start = config.paths.datacube_template, config.training.init_from

    def place_here(path: str) -> str:
        return path if is_address(path) else place(path)

    paths = {
        "results": place(f"{config.paths.results}/").removesuffix("/"),
        "datacube_template": template if template is None else place_here(template),
    }
    start = start if start in (None, LAST) else place(start)
    sources = {
        name: each.model_copy(update={"files": place(each.files)})
        for name, each in config.sources.items()
    }
    labels = {
        name: each if each.table is None else each.model_copy(update={"table": place(each.table)})
        for name, each in config.finetune.labels.items()
    }
    parts: dict[str, Settings] = {
        "paths": config.paths.model_copy(update=paths),
        "training": config.training.model_copy(update={"init_from": start}),
        "finetune": config.finetune.model_copy(update={"labels": labels}),
    }
    return config.model_copy(update={"sources": sources, **parts})


def settings_at(name: str, config: Config) -> Any:
    """Return the group of settings or the value at a dotted name such as ``tokenizers.scalar``."""
    value: Any = config
    for part in name.split("."):
        fields = type(value).model_fields if isinstance(value, BaseModel) else {}
        if part not in fields:
            raise ConfigError(f"{name} is no setting{suggestion(part, fields)}")
        value = getattr(value, part)
    return value


def plain_settings(name: str, config: Config) -> Any:
    """Return `settings_at` as nested dicts, lists, text and numbers, which Snakemake tracks."""
    return TypeAdapter(Any).dump_python(settings_at(name, config), mode="json")


def label_settings(config: Config, label: str) -> dict[str, Any]:
    """Return the settings that fine-tune to a label, as plain values by name."""
    finetune = plain_settings("finetune", config)
    del finetune["given"]  # predictions alone read it
    return {"finetune": {**finetune, "labels": {label: finetune["labels"][label]}}}


def label_table(config: Config, label: str) -> dict[str, str]:
    """Return the table of a label as an input of its job; none for a column of the cubes."""
    table = config.finetune.labels[label].table
    return {} if table is None else {"table": table}


def in_braces(names: Iterable[str]) -> list[str]:
    """Expand dotted names with braces, as in a shell: ``a.{b,c}`` becomes a.b and a.c."""
    expanded = []
    for name in names:
        group, _, leaves = name.partition("{")
        expanded += [group + leaf for leaf in leaves.removesuffix("}").split(",")]
    return expanded


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
    """Validate settings one by one; raise `ConfigError` if any is invalid."""
    try:
        return Config.model_validate(_spelt_out(values))
    except ValidationError as error:
        # pydantic counts valid entries only: a list of invalid ones is also too short.
        details = [d for d in error.errors() if d["type"] != "too_short" or not d["input"]]
        messages = [explain(detail, files) for detail in details]
        raise ConfigError("\n".join(dict.fromkeys(messages))) from None


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
    """Nest keys with dots, such as ``training.epochs: 3``; later values replace earlier ones."""
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
    """Replace a value by a new one; groups are merged, and copied."""
    if not isinstance(new, Mapping):
        return new
    kept = dict(old) if isinstance(old, Mapping) else {}
    return kept | {name: _merged(kept.get(name), value) for name, value in new.items()}


def _check_one_way(values: Mapping[str, Any]) -> None:
    """Raise `ConfigError` if a setting has two values, one by its dotted name.

    Snakemake merges equal keys of several files, but keeps a dotted name beside its group.
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
    """Raise `ConfigError` if settings contradict each other, or name what is not registered."""
    _registered(config)
    columns = config.columns
    _distinct({"columns.id": columns.id, "columns.ra": columns.ra, "columns.dec": columns.dec})
    labels = config.evaluation.labels
    stellar = {f"evaluation.labels.stellar ({name})": name for name in labels.stellar}
    _distinct({"evaluation.labels.redshift": labels.redshift, **stellar})
    _check_sources(config)


def _check_sources(config: Config) -> None:
    """Raise `ConfigError` if sources stand beside cubes, or name a source that there is none of."""
    sources, base = config.sources, config.base
    if not sources:
        if config.cubes.base is not None:
            raise ConfigError(must_be("cubes.base", "null where there are no sources", base))
        return
    if config.paths.datacube_template is not None:
        must, do = "null where sources are given", "leave out one of the two"
        got = config.paths.datacube_template
        raise ConfigError(must_be("paths.datacube_template", must, got, do))
    named = {f"sources.{name}.matched": source.matched for name, source in sources.items()}
    for setting, name in {"cubes.base": base, **named}.items():
        if name is not None and name not in sources:
            raise ConfigError(must_be(setting, "one of sources", name) + suggestion(name, sources))
    if sources[base].kind != "catalogue":
        do = "begin sources with the catalogue whose rows the cubes have, or name it in cubes.base"
        raise ConfigError(must_be(f"sources.{base}.kind", "catalogue", sources[base].kind, do))


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
    """Raise `ConfigError` if two settings name the same column."""
    first: dict[str, str] = {}
    for setting, column in columns.items():
        if column is not None and first.setdefault(column, setting) != setting:
            must = f"another column than {first[column]}"
            raise ConfigError(must_be(setting, must, f"{column!r} in both"))


_ALONE = {"training.gpus": 1, "training.nodes": 1, "training.init_from": None}
"""Settings of all variants: one process, and no model to start from."""


def ablated(config: Config) -> dict[str, Config]:
    """Return the configurations to train by variant, first the one as configured.

    A variant with the settings of an earlier one is left out, as it would be trained twice. So is a
    default variant that is invalid for this configuration: without reconstruction terms, the
    cross-entropy cannot be removed.

    Raises
    ------
    ConfigError
        If a variant changes an unknown setting, or to an invalid value.
    """
    variants: dict[str, Config] = {}
    for name, changes in {AS_CONFIGURED: {}, **config.ablations.variants}.items():
        try:
            varied = _changed(config, changes)
        except ConfigError as error:
            if changes == AblationSettings().variants.get(name):
                continue
            raise ConfigError(f"ablations.variants.{name}: {error}") from None
        if varied not in variants.values():
            variants[name] = varied
    return variants


def seeded(config: Config, seed: int) -> Config:
    """Return the configuration with another ``training.seed``."""
    training = config.training.model_copy(update={"seed": seed})
    return config.model_copy(update={"training": training})


def ablation_seeds(config: Config) -> tuple[int, ...]:
    """Return the seeds of the trainings of each variant: ``training.seed`` and the following ones.

    Raises
    ------
    ConfigError
        If a seed would be too large.
    """
    first, n = config.training.seed, config.ablations.seeds
    if first + n > SEEDS:
        must = f"at most 2^64 - ablations.seeds, {SEEDS - n}"
        raise ConfigError(must_be("training.seed", must, first))
    return tuple(range(first, first + n))


def _changed(config: Config, changes: Mapping[str, Any]) -> Config:
    """Return the configuration with some settings changed, by dotted name."""
    epochs = config.ablations.epochs
    own = _ALONE | ({} if epochs is None else {"training.epochs": epochs})
    return load_config({**config.model_dump(mode="json"), **own, **changes})
