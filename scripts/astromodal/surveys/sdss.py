"""SDSS: spectra of the Legacy survey, SEGUE, BOSS and eBOSS, resampled to one linear grid.

The files have pixels of 1e-4 in log10 of the vacuum wavelength, and ranges that differ
(`astromodal.sources.sdss` resamples them). The grid spans both spectrographs, 3600 to 10400
Angstrom (Smee et al. 2013, AJ 146, 32; the first reached 3800 to 9200). Its step of 2 Angstrom is
about the mean pixel of the files, which are 0.8 to 2.4 wide, and no more than the FWHM of a line,
2 to 5 at their resolving power of 1500 to 2600.
"""

from __future__ import annotations

from typing import Final

from astromodal.surveys.group import Family, GroupColumn, Quantity
from astromodal.surveys.spectra import Grid, ListGroup

GRID: Final = Grid(3600.0, 2.0, 3401)
"""Vacuum wavelengths (Angstrom)."""
_FLUX: Final = Quantity("flux", "1e-17 erg / (s cm2 Angstrom)", "10⁻¹⁷ erg s⁻¹ cm⁻² Å⁻¹")
_WAVELENGTH: Final = Quantity("wavelength", "Angstrom", "Å")
_IVAR_UNIT: Final = "1e34 s2 cm4 Angstrom2 / erg2"
_BAD: Final = "inverse variance of the flux; 0: a bad pixel"

GROUPS: Final = (
    ListGroup(
        name="sdss",
        family=Family("sdss", "SDSS", span=(3600.0, 10_400.0)),
        columns=(
            GroupColumn("sdss_flux", "flux", _FLUX.unit, length=GRID.length),
            GroupColumn("sdss_ivar", _BAD, _IVAR_UNIT, length=GRID.length),
            GroupColumn("sdss_wave", "vacuum wavelength", _WAVELENGTH.unit, length=GRID.length),
        ),
        values=_FLUX,
        axis=_WAVELENGTH,
        colour="#0072b2",
        pixels=GRID,
    ),
)
"""The groups of this survey."""
