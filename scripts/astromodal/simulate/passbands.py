"""Passbands of S-PLUS, Gaia and VISTA, and AB magnitudes through them.

The curves are smooth approximations with the published centres and widths, not measured ones.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

SPEED_OF_LIGHT = 2.99792458e18
"""Angstrom / s."""

FLUX_UNIT = 1e-17
"""Flux densities are in units of 1e-17 erg/s/cm²/Angstrom, as in DESI's spectra."""


class Passband(NamedTuple):
    """Central wavelength and full width at half maximum (Angstrom)."""

    centre: float
    width: float


SPLUS = {
    "u": Passband(3563.0, 352.0),
    "j0378": Passband(3770.0, 151.0),
    "j0395": Passband(3940.0, 103.0),
    "j0410": Passband(4094.0, 201.0),
    "j0430": Passband(4292.0, 201.0),
    "g": Passband(4751.0, 1545.0),
    "j0515": Passband(5133.0, 207.0),
    "r": Passband(6258.0, 1467.0),
    "j0660": Passband(6614.0, 147.0),
    "i": Passband(7690.0, 1506.0),
    "j0861": Passband(8611.0, 408.0),
    "z": Passband(8831.0, 1182.0),
}
"""In order of wavelength: the system of Mendes de Oliveira et al. 2019 (MNRAS 489, 241).

Centres and widths at half maximum are those that S-PLUS computed from its filter curves
(github.com/splus-collab/splus_filters, central_wavelengths.csv), to an Angstrom.
"""

VISTA = {
    "y": Passband(10210.0, 930.0),
    "j": Passband(12540.0, 1720.0),
    "h": Passband(16460.0, 2910.0),
    "ks": Passband(21490.0, 3090.0),
}
"""Approximate centres and widths of VIRCAM's filters (Sutherland et al. 2015, A&A 575, A25)."""

VISTA_AB_MINUS_VEGA = {"y": 0.600, "j": 0.916, "h": 1.366, "ks": 1.827}
"""González-Fernández et al. 2018 (MNRAS 474, 5459): VISTA's catalogues are in Vega magnitudes."""

GAIA_AB_ZERO_POINT = {"bp": 25.3540, "g": 25.8010, "rp": 25.1040}
"""Riello et al. 2021 (A&A 649, A3): AB magnitude of one electron/s."""

_GAIA_CURVES = {
    "bp": (
        (3300, 3500, 3700, 3900, 4200, 4600, 5000, 5400, 5800, 6200, 6500, 6700, 6800),
        (0.0, 0.16, 0.30, 0.40, 0.49, 0.53, 0.57, 0.61, 0.64, 0.66, 0.66, 0.60, 0.0),
    ),
    "g": (
        (3300, 3600, 4000, 4500, 5000, 5500, 6000, 6500, 7000, 7500, 8000, 8500, 9000, 9500, 10500),
        (0.0, 0.15, 0.36, 0.50, 0.58, 0.65, 0.70, 0.73, 0.72, 0.69, 0.63, 0.54, 0.42, 0.28, 0.0),
    ),
    "rp": (
        (6150, 6350, 6600, 7000, 7500, 8000, 8500, 9000, 9500, 10000, 10500),
        (0.0, 0.60, 0.68, 0.73, 0.75, 0.72, 0.66, 0.56, 0.41, 0.22, 0.0),
    ),
}
"""Nodes (Angstrom, transmission): rough shapes of the passbands of Riello et al. 2021."""

PHOTOMETRIC_GRID = np.concatenate(
    [np.arange(3000.0, 11000.0, 2.0), np.arange(11000.0, 24600.0, 20.0)]
)
"""Wavelengths that magnitudes are integrated on (Angstrom); 2 Angstrom resolves emission lines."""

BAND_NAMES = (
    *SPLUS,
    *(f"gaia_{band}" for band in _GAIA_CURVES),
    *(f"vista_{band}" for band in VISTA),
)
"""Columns of `ab_flux`'s result."""


def curve(name: str, wave: np.ndarray) -> np.ndarray:
    """Transmission of a passband, (L,), at wavelengths (L,) in Angstrom.

    A box of the published width whose edges fall like a logistic curve: a thirtieth of the width
    for broad bands, a twelfth for narrow ones and u.
    """
    survey, _, band = name.rpartition("_")
    if survey == "gaia":
        nodes, values = _GAIA_CURVES[band]
        return np.interp(wave, nodes, values, left=0.0, right=0.0)
    passband = VISTA[band] if survey == "vista" else SPLUS[band]
    softness = passband.width / (30.0 if passband.width > 500 else 12.0)
    beyond = (np.abs(wave - passband.centre) - passband.width / 2) / softness
    return 1.0 / (1.0 + np.exp(np.clip(beyond, -50.0, 50.0)))


@lru_cache(maxsize=1)
def _weights() -> np.ndarray:
    wave = PHOTOMETRIC_GRID
    step = np.gradient(wave)
    curves = np.stack([curve(name, wave) for name in BAND_NAMES])  # (bands, L)
    curves[curves < 1e-4] = 0.0
    norm = (curves * step / wave).sum(axis=1, keepdims=True) * SPEED_OF_LIGHT
    return np.ascontiguousarray((curves * step * wave / norm).T)


def ab_flux(flux: np.ndarray) -> np.ndarray:
    """Mean flux per frequency that a photon counter sees in each band, in units of AB magnitude 0.

    Parameters
    ----------
    flux : ndarray of shape (n, L)
        Flux densities on `PHOTOMETRIC_GRID`, in 1e-17 erg/s/cm²/Angstrom.

    Returns
    -------
    ndarray of shape (n, bands)
        ``10 ** (-0.4 * magnitude)``, a column a name of `BAND_NAMES`.
    """
    return flux @ _weights() * (FLUX_UNIT * 10 ** (0.4 * 48.60))


def to_magnitude(flux: np.ndarray) -> np.ndarray:
    """AB magnitudes of fluxes in units of AB magnitude 0; NaN where a flux is not positive."""
    positive = np.where(flux > 0, flux, np.nan)
    return -2.5 * np.log10(positive)
