"""The registry of sections of the report that are a user's own.

It imports little, so that a user's file can be read while a run is planned.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from astromodal.config.evaluate import BUILT_IN_SECTIONS
from astromodal.config.schema import Config
from astromodal.extensions import Registry

if TYPE_CHECKING:
    from astromodal.evaluation.context import ModelContext
    from astromodal.evaluation.report.section import Section


@dataclass(frozen=True)
class Evaluation:
    """What makes a section of the report.

    Attributes
    ----------
    name : str
        Name of the section in ``evaluation.sections`` and in the names of its files: lower-case
        letters, digits and underscores.
    title : str
        Heading of the section.
    evaluate : callable
        Fills an empty section from a context. It runs in a job of its own; it should import what
        it needs inside, since plans import the file as well.
    """

    name: str
    title: str
    evaluate: Callable[[ModelContext, Section], None]


SECTIONS: Final = Registry[Evaluation]("section of the report")
"""Sections that users' files register."""


def own_sections(config: Config) -> tuple[str, ...]:
    """Return the requested sections of the report that are not the package's.

    Raises
    ------
    ConfigError
        Where one is not registered.
    """
    own = tuple(name for name in config.evaluation.sections if name not in BUILT_IN_SECTIONS)
    for name in own:
        SECTIONS.get(name, "evaluation.sections")
    return own
