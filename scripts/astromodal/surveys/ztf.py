"""ZTF: light curves in three bands."""

from __future__ import annotations

from typing import Final

from astromodal.surveys.group import Family, GroupColumn, Quantity
from astromodal.surveys.light_curves import LightCurveGroup

_FAMILY: Final = Family("ztf", "ZTF")
_MAGNITUDE: Final = Quantity("magnitude", "mag", "mag")
_TIME: Final = Quantity("time", "d", "day")


def _band(name: str, colour: str) -> LightCurveGroup:
    letter = name[-1]
    columns = (
        GroupColumn(f"ztf_mag_{letter}", "magnitude of each epoch", "mag"),
        GroupColumn(f"ztf_magerr_{letter}", "its error", "mag"),
        GroupColumn(f"ztf_hmjd_{letter}", "its heliocentric time (MJD)", "d"),
    )
    return LightCurveGroup(
        name=name, family=_FAMILY, columns=columns, values=_MAGNITUDE, axis=_TIME, colour=colour
    )


GROUPS: Final = (
    _band("ztf_g", "#009e73"),
    _band("ztf_r", "#d55e00"),
    _band("ztf_i", "#cc79a7"),
)
"""The groups of this survey."""
