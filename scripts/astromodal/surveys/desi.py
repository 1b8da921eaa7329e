"""DESI: the three arms of its coadded spectra.

Wavelengths are those of the coadds of the early data release (DESI Collaboration et al. 2024,
AJ 168, 58): vacuum, in steps of 0.8 Angstrom. The arms b and r, and r and z, overlap.
"""

from __future__ import annotations

from typing import Final

from astromodal.surveys.group import Family, GroupColumn, Quantity
from astromodal.surveys.spectra import Grid, ListGroup

GRIDS: Final = {
    "desi_b": Grid(3600.0, 0.8, 2751),
    "desi_r": Grid(5760.0, 0.8, 2326),
    "desi_z": Grid(7520.0, 0.8, 2881),
}
"""Vacuum wavelengths (Angstrom) of each arm."""
_FAMILY: Final = Family("desi", "DESI", span=(3600.0, 9824.0))
_FLUX: Final = Quantity("flux", "1e-17 erg / (s cm2 Angstrom)", "10⁻¹⁷ erg s⁻¹ cm⁻² Å⁻¹")
_WAVELENGTH: Final = Quantity("wavelength", "Angstrom", "Å")
_IVAR_UNIT: Final = "1e34 s2 cm4 Angstrom2 / erg2"


def _arm(name: str, colour: str) -> ListGroup:
    letter, grid = name[-1], GRIDS[name]
    size = grid.length
    bad = "inverse variance of the flux; 0: a bad pixel"
    columns = (
        GroupColumn(f"desi_flux_{letter}", "flux", _FLUX.unit, length=size),
        GroupColumn(f"desi_ivar_{letter}", bad, _IVAR_UNIT, length=size),
        GroupColumn(f"desi_wave_{letter}", "vacuum wavelength", _WAVELENGTH.unit, length=size),
    )
    return ListGroup(
        name=name, family=_FAMILY, columns=columns, values=_FLUX, axis=_WAVELENGTH, colour=colour,
        pixels=grid,
    )  # fmt: skip


GROUPS: Final = (
    _arm("desi_b", "#0072b2"),
    _arm("desi_r", "#009e73"),
    _arm("desi_z", "#d55e00"),
)
"""The groups of this survey."""
