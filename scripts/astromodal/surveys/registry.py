"""Every spectrum group that can be read, by name.

A new survey is one file beside this one and one line in `GROUPS`. A file of a user's own calls
``GROUPS.register(group)`` instead.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from astromodal.errors import ConfigError, must_be
from astromodal.extensions import Registry
from astromodal.surveys import desi, gaiaxp, sdss, ztf
from astromodal.surveys.gaiaxp import CoefficientGroup
from astromodal.surveys.group import Family, SpectrumGroup
from astromodal.surveys.light_curves import LightCurveGroup
from astromodal.surveys.spectra import GridGroup

_SETTING: Final = "tokenizers.spectrum.groups"


def _registry(*surveys: Iterable[SpectrumGroup]) -> Registry[SpectrumGroup]:
    """Register the groups of some surveys."""
    groups = Registry[SpectrumGroup]("spectrum group")
    for survey in surveys:
        for group in survey:
            groups.register(group)
    return groups


# An assignment, not statements: only jobs that use it depend on the code of every survey.
GROUPS: Final = _registry(
    desi.GROUPS,
    gaiaxp.GROUPS,
    ztf.GROUPS,
    sdss.GROUPS,
)
"""All groups. Their order decides on the seeds of their samples: new ones go to the end."""


def spectrum_group(name: str) -> SpectrumGroup:
    """Return the group of a name.

    Raises
    ------
    ConfigError
        Where no group has this name.
    """
    return GROUPS.get(name, _SETTING)


def grid_group(name: str) -> GridGroup:
    """Return the group of spectra of a name.

    Raises
    ------
    ConfigError
        Where no group has this name, or where it is a group of light curves.
    """
    group = spectrum_group(name)
    if not isinstance(group, GridGroup):
        raise ConfigError(must_be(f"group {name}", "a group of spectra", "one of light curves"))
    return group


def coefficient_group(name: str) -> CoefficientGroup:
    """Return the group of a name, whose spectra are coefficients.

    Raises
    ------
    ConfigError
        Where no group has this name, or where its spectra are no coefficients.
    """
    group = spectrum_group(name)
    if not isinstance(group, CoefficientGroup):
        raise ConfigError(
            must_be(f"group {name}", "a group of coefficients", "one of another kind")
        )
    return group


def light_curve_group(name: str) -> LightCurveGroup:
    """Return the group of light curves of a name.

    Raises
    ------
    ConfigError
        Where no group has this name, or where it is a group of spectra.
    """
    group = spectrum_group(name)
    if not isinstance(group, LightCurveGroup):
        raise ConfigError(must_be(f"group {name}", "a group of light curves", "one of spectra"))
    return group


def spectra(names: Iterable[str]) -> list[str]:
    """Return the groups of spectra among some groups, in their order."""
    return [name for name in names if isinstance(spectrum_group(name), GridGroup)]


def light_curves(names: Iterable[str]) -> list[str]:
    """Return the groups of light curves among some groups, in their order."""
    return [name for name in names if isinstance(spectrum_group(name), LightCurveGroup)]


def by_family(names: Iterable[str]) -> dict[Family, list[str]]:
    """Sort groups by family.

    Returns
    -------
    dict of Family to list of str
        Families in the order of the registry, and the groups of each in the order of `names`.
    """
    listed = [spectrum_group(name) for name in names]
    families = dict.fromkeys(group.family for group in GROUPS)
    members = {f: [group.name for group in listed if group.family == f] for f in families}
    return {family: groups for family, groups in members.items() if groups}
