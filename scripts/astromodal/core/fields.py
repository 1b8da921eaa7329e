"""The fields of a run: which exist, which are used for training, and which are evaluated."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from astromodal.config.base import A_FIELD_NAME, FIELD_NAME
from astromodal.config.inputs import LAST, is_address
from astromodal.config.schema import Config
from astromodal.core.paths import Layout
from astromodal.core.stored import Files
from astromodal.errors import ConfigError, must_be, suggestion

NO_IMAGES: Final = (
    "the image tokenizer is trained on nothing, every image code is missing, and objects have no "
    "image block"
)
"""Consequence of training fields without any cutout, for messages."""


@dataclass(frozen=True)
class RunFields:
    """Fields of a run by their use, each in the run's order."""

    every: tuple[str, ...]
    tokenizers: tuple[str, ...]  # tokenizers are fitted on these
    training: tuple[str, ...]  # the transformer is trained on these
    evaluation: tuple[str, ...]  # the report is made on these

    @property
    def trained(self) -> tuple[str, ...]:
        """Fields that tokenizers or model were trained on; only their test split is evaluated."""
        return tuple(dict.fromkeys((*self.tokenizers, *self.training)))

    @property
    def used(self) -> tuple[str, ...]:
        """Fields that any job of the run reads."""
        return tuple(dict.fromkeys((*self.every, *self.trained, *self.evaluation)))


def layout(config: Config) -> Layout:
    """Return the paths of the run that a config describes."""
    return Layout(config.paths.results, config.tokenizers.image.codebook_size)


def cube_template(config: Config) -> str:
    """Path of cubes with ``{field}``: the user's template, or that of cubes made in the run."""
    return config.paths.datacube_template or layout(config).cube()


def is_simulated(config: Config) -> bool:
    """Return whether the sky is simulated: there are neither cubes nor raw files."""
    return config.paths.datacube_template is None and not config.sources


def run_fields(config: Config, built: Sequence[str] = (), files: Files | None = None) -> RunFields:
    """Determine the fields of a run and their uses.

    Parameters
    ----------
    config : Config
        The configuration.
    built : sequence of str
        Fields whose cubes are built from the sources of the configuration. Where there are none
        yet, as before the sources are indexed, the run has no fields, whatever the lists name.
    files : Files, optional
        Lists cubes and results; on this machine where None.

    ``fields`` names the fields that are encoded, embedded and so on. Training fields have lists of
    their own. If these are null, every field of the run is a training field at first. Once the
    tokenizers exist, the fields that they were fitted on are: a new cube is encoded with them.

    Raises
    ------
    ConfigError
        If there are no fields, or a list names a field that has no cube.
    """
    if config.sources and not built:
        return RunFields((), (), (), ())
    files = files or Files()
    known = tuple(built) if config.sources else _known_fields(config, files)
    every = _chosen("fields", config.fields, known) or known
    fitted = _fitted_before(layout(config), known, files)
    tokenizers = _chosen("tokenizers.fields", config.tokenizers.fields, known) or fitted or every
    training = _chosen("training.fields", config.training.fields, known) or tokenizers
    unseen = tuple(field for field in every if field not in {*tokenizers, *training})
    evaluation = _chosen("evaluation.fields", config.evaluation.fields, known) or unseen or every
    return RunFields(every, tokenizers, training, evaluation)


def spread_evenly(fields: Sequence[str], most: int) -> tuple[str, ...]:
    """Return at most `most` fields, evenly spaced in their order."""
    step = max(1.0, len(fields) / most)
    return tuple(fields[int(i * step)] for i in range(min(most, len(fields))))


def check_frozen(config: Config, files: Files | None = None) -> None:
    """Raise `ConfigError` if a frozen part of the run does not exist yet."""
    times = (files or Files()).time
    for part, paths in frozen_files(config).items():
        missing = [path for path in paths if times(path) is None]
        if missing:
            must, do = "made before it is frozen", f"leave {part} out of freeze once"
            raise ConfigError(must_be(f"freeze: {part}", must, f"no {missing[0]}", do))


def starting_model(config: Config) -> str | None:
    """Return the model file that training starts from, or None if there is no such file.

    Raises
    ------
    ConfigError
        If it is the run's own model, which is deleted before another is trained.
    """
    start = config.training.init_from
    if start is None or start == LAST:
        return None
    if Path(start).resolve() == Path(layout(config).final_model).resolve():
        must = f"{LAST!r} or another run's model"
        raise ConfigError(must_be("training.init_from", must, f"{start}, this run's own"))
    return start


def frozen_files(config: Config) -> dict[str, tuple[str, ...]]:
    """Return the files that are not changed, by name of the part in ``freeze``."""
    paths = layout(config)
    files = {"tokenizers": paths.tokenizers, "transformer": paths.transformer}
    return {part: tuple(files[part].values()) for part in config.freeze}


def notices(config: Config, fields: RunFields, files: Files | None = None) -> Iterator[str]:
    """Yield messages about a plan: frozen parts, and fields that nothing is trained on."""
    times = (files or Files()).time
    for part, paths in frozen_files(config).items():
        made = datetime.fromtimestamp(max(times(path) or 0 for path in paths))
        yield f"{part} frozen: kept as made on {made:%Y-%m-%d %H:%M}, whatever changes before them"
    sky = config.simulate
    bare = all("images" in sky.fields[f].absent for f in fields.tokenizers if f in sky.fields)
    if is_simulated(config) and (bare or not sky.cutout_fraction):
        yield f"no simulated field of tokenizers.fields has cutouts: {NO_IMAGES}"
    aside = [field for field in fields.every if field not in fields.trained]
    if config.tokenizers.fields is None and aside:
        shown = ", ".join(aside[:5]) + (f" and {len(aside) - 5} more" if len(aside) > 5 else "")
        yield (
            f"encoded with the tokenizers that exist, not trained on: {shown}; to train on them, "
            "list them in tokenizers.fields"
        )


def _fitted_before(paths: Layout, known: Sequence[str], files: Files) -> tuple[str, ...]:
    """Fields that existing tokenizers were fitted on; none if there are no tokenizers."""
    if files.time(paths.scalar_tokenizer) is None:
        return ()
    sampled = files.fields(paths.quantiles())
    return tuple(field for field in known if field in sampled)


def _known_fields(config: Config, files: Files) -> tuple[str, ...]:
    """Return all fields that have a cube or are simulated; `ConfigError` if there are none."""
    template = config.paths.datacube_template
    if template is not None:
        return _discover(template, files)
    if not config.simulate.fields:
        do = "name a field, or set paths.datacube_template to your cubes"
        raise ConfigError(must_be("simulate.fields", "a field or more", "none", do))
    return tuple(config.simulate.fields)


def _discover(template: str, files: Files) -> tuple[str, ...]:
    """Return the fields whose cubes match a template, by name; `ConfigError` if there are none."""
    fields = sorted(files.fields(template))
    for field in fields:
        if not re.fullmatch(FIELD_NAME, field):
            what, do = f"{{field}} of {template}", "rename the cube, or move it elsewhere"
            raise ConfigError(must_be(what, A_FIELD_NAME, repr(field), do))
    if not fields and is_address(template):
        do = "check its spelling, the storage plugin's endpoint, and your credentials"
        raise ConfigError(
            must_be("paths.datacube_template", "the address of some cube", template, do)
        )
    if not fields:
        do = "set it to your cubes, or to null to simulate a sky"
        raise ConfigError(must_be("paths.datacube_template", "the path of some cube", template, do))
    return tuple(fields)


def _chosen(name: str, chosen: Sequence[str] | None, known: Sequence[str]) -> tuple[str, ...]:
    """Return the known fields that match a list of names and patterns such as ``SIM-00*``."""
    found = set[str]()
    for field in chosen or ():
        matching = fnmatch.filter(known, field)
        if not matching:
            raise ConfigError(
                f"{name}: {field!r} is no field of this run{suggestion(field, known)}"
            )
        found.update(matching)
    return tuple(field for field in known if field in found)
