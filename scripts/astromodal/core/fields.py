"""Which fields a run has, which of them train what, and which are evaluated."""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from astromodal.config.schema import Config
from astromodal.core.paths import Layout
from astromodal.errors import ConfigError, must_be, suggestion


@dataclass(frozen=True)
class RunFields:
    """The fields of a run and their parts in it, each in the run's order."""

    every: tuple[str, ...]
    tokenizers: tuple[str, ...]  # tokenizers are fitted on these
    training: tuple[str, ...]  # the transformer is trained on these
    evaluation: tuple[str, ...]  # the report is made on these

    @property
    def trained(self) -> tuple[str, ...]:
        """Fields that something was trained on: only their test split may be evaluated."""
        either = {*self.tokenizers, *self.training}
        return tuple(field for field in self.every if field in either)


def layout(config: Config) -> Layout:
    """Paths of the run that `config` describes."""
    return Layout(config.paths.results, config.tokenizers.image.codebook_size)


def cube_template(config: Config) -> str:
    """Where the cubes lie, with ``{field}``: the user's template, or the simulated cubes."""
    return config.paths.datacube_template or layout(config).cube()


def run_fields(config: Config) -> RunFields:
    """Resolve the fields of a run.

    Raises
    ------
    ConfigError
        Where there are none, or a list names a field that the run does not have.
    """
    every = _every_field(config)
    tokenizers = _chosen("tokenizers.fields", config.tokenizers.fields, every) or every
    training = _chosen("training.fields", config.training.fields, every) or tokenizers
    unseen = tuple(field for field in every if field not in {*tokenizers, *training})
    evaluation = _chosen("evaluation.fields", config.evaluation.fields, every) or unseen or every
    return RunFields(every, tokenizers, training, evaluation)


def _every_field(config: Config) -> tuple[str, ...]:
    template = config.paths.datacube_template
    if template is None:
        simulated = tuple(config.simulate.fields)
        chosen = _chosen("fields", config.fields, simulated)
        return chosen or simulated
    if config.fields is not None:
        missing = [f for f in config.fields if not Path(template.format(field=f)).is_file()]
        if missing:
            shown = template.format(field=missing[0])
            raise ConfigError(
                must_be("fields", "cubes that exist", f"{missing[0]!r} without {shown}")
            )
        return config.fields
    return _discover(template)


def _discover(template: str) -> tuple[str, ...]:
    """Fields whose cubes match `template`, sorted by name."""
    before, after = template.split("{field}")
    pattern = re.compile(
        re.escape(before) + r"([A-Za-z0-9][A-Za-z0-9_.+-]{0,99})" + re.escape(after)
    )
    found = (
        pattern.fullmatch(p) for p in glob.iglob(f"{glob.escape(before)}*{glob.escape(after)}")
    )
    fields = tuple(sorted(match[1] for match in found if match))
    if not fields:
        do = "set it to your cubes, or to null to simulate a sky"
        raise ConfigError(must_be("paths.datacube_template", "the path of some cube", template, do))
    return fields


def _chosen(name: str, chosen: Sequence[str] | None, every: Sequence[str]) -> tuple[str, ...]:
    for field in chosen or ():
        if field not in every:
            raise ConfigError(
                f"{name}: {field!r} is no field of this run{suggestion(field, every)}"
            )
    return tuple(field for field in every if field in (chosen or ()))
