"""Passbands, fluxes of sources through them, and the photometry of S-PLUS and VISTA."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy import constants

from astromodal.simulate.extragalactic import bulge_spectrum, disc_spectrum, quasar_spectrum
from astromodal.simulate.sources import GALAXY, QUASAR, STAR, Sources
from astromodal.simulate.spectra import star_spectrum

SPEED_OF_LIGHT = constants.c * 1e10
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
"""Centres and widths of VIRCAM's filters, rounded (Sutherland et al. 2015, A&A 575, A25).

Pivot wavelengths of these boxes are within 0.2 % of those of measured curves with atmosphere.
"""

VISTA_AB_MINUS_VEGA = {"y": 0.600, "j": 0.916, "h": 1.366, "ks": 1.827}
"""González-Fernández et al. 2018 (MNRAS 474, 5459): VISTA's catalogues are in Vega magnitudes."""

GAIA_AB_ZERO_POINT = {"bp": 25.3540, "g": 25.8010, "rp": 25.1040}
"""Riello et al. 2021 (A&A 649, A3): AB magnitude of one electron/s."""

GAIA_VEGA_ZERO_POINT = {"bp": 25.3385, "g": 25.6874, "rp": 24.7479}
"""Riello et al. 2021: Vega magnitude of one electron/s, as Gaia's catalogue has magnitudes."""

_GAIA_CURVES = {
    "bp": (
        (3200, 3300, 3400, 3500, 3600, 3700, 3800, 3850, 3900, 3950, 4000, 4100, 4200, 4400, 4600,
         5000, 5200, 5400, 5600, 5800, 6000, 6200, 6400, 6600, 6680, 6720, 6760, 6800),
        (0, 0.002, 0.302, 0.288, 0.348, 0.314, 0.248, 0.273, 0.390, 0.542, 0.676, 0.815, 0.902,
         0.952, 0.979, 0.987, 0.978, 0.946, 0.960, 0.964, 0.982, 1.0, 0.962, 0.602, 0.210, 0.085,
         0.037, 0),
    ),
    "g": (
        (3300, 3400, 3500, 3600, 3700, 3800, 3900, 4000, 4100, 4200, 4400, 4600, 4800, 5000, 5200,
         5400, 5600, 6000, 6400, 6600, 6800, 7000, 7200, 7400, 7600, 7800, 8000, 8200, 8400, 8600,
         8800, 9000, 9200, 9400, 9600, 9800, 10000, 10200, 10400, 10600),
        (0.002, 0.134, 0.179, 0.170, 0.148, 0.164, 0.273, 0.432, 0.573, 0.687, 0.771, 0.835, 0.877,
         0.903, 0.921, 0.940, 0.956, 0.976, 0.991, 1.0, 1.0, 0.987, 0.969, 0.938, 0.890, 0.825,
         0.751, 0.671, 0.587, 0.499, 0.402, 0.300, 0.217, 0.166, 0.113, 0.054, 0.037, 0.019, 0.006,
         0),
    ),
    "rp": (
        (6120, 6180, 6220, 6260, 6300, 6340, 6400, 6500, 6600, 6800, 7000, 7200, 7400, 7600, 7800,
         8000, 8200, 8400, 8600, 8800, 9000, 9200, 9400, 9600, 9800, 10000, 10200, 10400, 10600),
        (0, 0.056, 0.165, 0.330, 0.523, 0.704, 0.835, 0.913, 0.956, 0.980, 0.987, 0.995, 1.0, 0.990,
         0.968, 0.944, 0.917, 0.878, 0.818, 0.728, 0.610, 0.495, 0.406, 0.307, 0.180, 0.112, 0.044,
         0.010, 0),
    ),
}  # fmt: skip
"""Nodes (Angstrom, transmission over its maximum) of the passbands of DR3.

They are the non-negative, smooth curves whose integrals over GaiaXPy's basis functions are those
that GaiaXPy 2.1.5 has for the system of Riello et al. 2021. Their mean wavelengths are within
0.2 %, their widths within 1.2 % of the published ones.
"""

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
    """Return the transmission of a passband, (L,), at wavelengths (L,) in Angstrom.

    It is a box of the published width with logistic edges, whose scale is a thirtieth of the width
    for broad bands and a twelfth for narrow ones and u.
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
    """Return the photon-weighted mean flux per frequency in each band, in units of AB magnitude 0.

    Parameters
    ----------
    flux : ndarray of shape (n, L)
        Flux densities on `PHOTOMETRIC_GRID`, in 1e-17 erg/s/cm²/Angstrom.

    Returns
    -------
    ndarray of shape (n, bands)
        ``10 ** (-0.4 * magnitude)``, one column per name of `BAND_NAMES`.
    """
    return flux @ _weights() * (FLUX_UNIT * 10 ** (0.4 * 48.60))


def to_magnitude(flux: np.ndarray) -> np.ndarray:
    """AB magnitudes of fluxes in units of AB magnitude 0; NaN where a flux is not positive."""
    positive = np.where(flux > 0, flux, np.nan)
    return -2.5 * np.log10(positive)


ROWS = 256
"""Number of sources whose spectra are held in memory at once."""


@dataclass(frozen=True)
class Light:
    """Noiseless fluxes of a field's sources.

    Attributes
    ----------
    flux : ndarray of shape (n, bands)
        In units of AB magnitude 0, one column per name of `BAND_NAMES`.
    extended : ndarray of shape (n, bands)
        The part of `flux` that comes from the discs of galaxies.
    scale : ndarray of shape (n, 2)
        Factors that bring the two components of `components` to 1e-17 erg/s/cm²/Angstrom.
    """

    flux: np.ndarray
    extended: np.ndarray
    scale: np.ndarray


def galactic_extinction(wave: np.ndarray, reddening: float) -> np.ndarray:
    """Transmission of our Galaxy's dust, (L,): A = 2.742 E(B-V) (wavelength / 5500)^-1.25.

    A power law through the coefficients of Schlafly & Finkbeiner 2011 for R_V = 3.1.
    """
    return 10 ** (-0.4 * 2.742 * reddening * (wave / 5500.0) ** -1.25)


def components(sources: Sources, rows: np.ndarray, wave: np.ndarray) -> np.ndarray:
    """Return the spectra of the compact and extended components before normalisation, (m, 2, L)."""
    out = np.zeros((len(rows), 2, len(wave)))
    star, galaxy, quasar = (
        np.flatnonzero(sources.kind[rows] == kind) for kind in (STAR, GALAXY, QUASAR)
    )
    if len(star):
        at = rows[star]
        atmosphere = (sources.teff[at], sources.logg[at], sources.metallicity[at])
        out[star, 0] = star_spectrum(*atmosphere, wave, sources.redshift[at])
    if len(galaxy):
        at = rows[galaxy]
        light, redshift = sources.galaxy.take(at), sources.redshift[at]
        out[galaxy, 0] = bulge_spectrum(light.metallicity, wave, redshift)
        out[galaxy, 1] = disc_spectrum(light, wave, redshift)
    if len(quasar):
        at = rows[quasar]
        out[quasar, 0] = quasar_spectrum(sources.quasar.take(at), wave, sources.redshift[at])
    return out * galactic_extinction(wave, sources.reddening)


def integrate_light(sources: Sources) -> Light:
    """Normalise every source to its r magnitude and integrate it through all bands."""
    n, r_band = len(sources), BAND_NAMES.index("r")
    flux = np.zeros((n, 2, len(BAND_NAMES)))
    for start in range(0, n, ROWS):
        rows = np.arange(start, min(start + ROWS, n))
        spectra = components(sources, rows, PHOTOMETRIC_GRID)
        flux[rows] = ab_flux(spectra.reshape(2 * len(rows), -1)).reshape(len(rows), 2, -1)
    bulge = np.where(sources.kind == GALAXY, sources.shape["bulge"], 1.0)
    share = np.stack([bulge, 1 - bulge], axis=1)  # (n, 2)
    seen = np.maximum(flux[:, :, r_band], 1e-300)
    scale = np.where(share > 0, share * 10 ** (-0.4 * sources.r_mag)[:, None] / seen, 0.0)
    scale = np.where(flux[:, :, r_band] > 0, scale, 0.0)
    flux *= scale[:, :, None]
    return Light(flux.sum(axis=1), flux[:, 1], scale)


def spectra(sources: Sources, light: Light, rows: np.ndarray, wave: np.ndarray) -> np.ndarray:
    """Return spectra of sources, (m, L), at `wave` (Angstrom), in 1e-17 erg/s/cm²/Angstrom."""
    parts = components(sources, rows, wave)
    return np.einsum("mcl,mc->ml", parts, light.scale[rows])


POGSON = 2.5 / np.log(10)
"""Error in magnitudes of a relative flux error of one."""


class Imaging(NamedTuple):
    """Imaging in one band.

    Magnitude of 1 count/s, sky noise of a pixel (counts/s), electrons per count/s, and share of
    sources measured.
    """

    zero_point: float
    sky: float
    gain: float
    measured: float


IMAGING = {
    "u": Imaging(21.0, 0.013, 651.0, 0.89),
    "j0378": Imaging(20.3, 0.011, 630.0, 0.88),
    "j0395": Imaging(20.3, 0.017, 338.0, 0.86),
    "j0410": Imaging(21.2, 0.032, 309.0, 0.88),
    "j0430": Imaging(21.3, 0.034, 300.0, 0.90),
    "g": Imaging(23.6, 0.151, 95.0, 0.99),
    "j0515": Imaging(21.6, 0.052, 175.0, 0.99),
    "r": Imaging(23.6, 0.161, 115.0, 1.0),
    "j0660": Imaging(21.1, 0.018, 832.0, 0.99),
    "i": Imaging(23.4, 0.203, 132.0, 0.995),
    "j0861": Imaging(21.6, 0.091, 230.0, 0.99),
    "z": Imaging(22.9, 0.231, 161.0, 0.99),
}
"""Sky noise as measured on, and gain as given with, S-PLUS images of one field. With the zero
points, rounded to a tenth, the pixels of a bright star's cutout sum to its catalogue magnitude;
those of real fields differ by some tenths."""

APERTURE_NOISE = 7.5
"""Noise of a total flux over the sky noise of one pixel: an aperture of about 56 pixels.

Chosen so that the errors at each magnitude match those of the survey."""

VISTA_DEPTH = {"y": (20.4, 0.38), "j": (20.1, 0.74), "h": (19.4, 0.22), "ks": (18.4, 0.66)}
"""Five-sigma depth (Vega mag) as in the VISTA Hemisphere Survey, and share of sources covered."""


def counts(light: Light) -> np.ndarray:
    """Return the noiseless counts/s of every source in the twelve bands of `SPLUS`, (n, 12)."""
    columns = [BAND_NAMES.index(band) for band in SPLUS]
    return light.flux[:, columns] * _zero_flux()


def extended_counts(light: Light) -> np.ndarray:
    """Return the part of `counts` that comes from the discs of galaxies, (n, 12)."""
    columns = [BAND_NAMES.index(band) for band in SPLUS]
    return light.extended[:, columns] * _zero_flux()


def _zero_flux() -> np.ndarray:
    return 10 ** (0.4 * np.array([IMAGING[band].zero_point for band in SPLUS]))


def splus_columns(light: Light, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Measure total magnitudes ``mag_pstotal_*`` (float64), errors ``err_mag_pstotal_*`` (float32).

    A negative measured flux has no magnitude. A barely positive one has an extreme magnitude, whose
    error can reach millions. Errors are wrong by a tenth on average, and one source in eighty is
    blended with another. Sources are detected in r, so r magnitudes are never missing.
    """
    true = counts(light)  # (n, 12)
    n = len(true)
    blend = np.where(rng.uniform(size=n) < 0.012, rng.normal(0, 0.35, n), 0.0)
    quality = rng.lognormal(0, 0.18, n)  # the same in all bands: crowding, size of the aperture
    out: dict[str, np.ndarray] = {}
    for column, (band, imaging) in enumerate(IMAGING.items()):
        sky = imaging.sky * quality * rng.lognormal(0, 0.08, n)
        sigma = _count_errors(true[:, column], sky, imaging.gain)
        tail = rng.choice([1.0, 3.0], n, p=(0.97, 0.03))
        measured = true[:, column] + sigma * tail * rng.standard_normal(n)
        measured *= 10 ** (0.4 * blend * rng.normal(1, 0.2, n))
        hardly = (true[:, column] < 3 * sigma) & (rng.uniform(size=n) < 0.02)
        measured = np.where(hardly, sigma * 10 ** rng.uniform(-6.5, -1, n), measured)
        if band == "r":
            measured = np.where(measured < 0.5 * sigma, 2 * sigma, measured)
        missing = (measured <= 0) | (rng.uniform(size=n) > imaging.measured)
        measured = np.where(missing, np.nan, measured)
        error = POGSON * sigma / measured * rng.lognormal(0, 0.1, n)
        out[f"mag_pstotal_{band}"] = imaging.zero_point - 2.5 * np.log10(measured)
        out[f"err_mag_pstotal_{band}"] = error.astype(np.float32)
    return out


def _count_errors(true: np.ndarray, sky: np.ndarray, gain: float) -> np.ndarray:
    """Return the error of total counts/s: sky in the aperture, photons, and 0.2 % of flat field."""
    return np.sqrt((APERTURE_NOISE * sky) ** 2 + true / gain + (0.0022 * true) ** 2)


def vista_columns(light: Light, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Measure aperture magnitudes (Vega) ``vista_*apermag6`` and errors ``…err``, float64 (n,)."""
    out: dict[str, np.ndarray] = {}
    n = len(light.flux)
    place = rng.uniform(size=n)  # the areas covered in the bands are nested
    for band in VISTA:
        depth, share = VISTA_DEPTH[band]
        zero = VISTA_AB_MINUS_VEGA[band]
        true = light.flux[:, BAND_NAMES.index(f"vista_{band}")] * 10 ** (0.4 * zero)
        sigma = 10 ** (-0.4 * depth) / 5 * rng.lognormal(0, 0.15, n)
        sigma = np.hypot(sigma, 0.001 * true)
        tail = rng.choice([1.0, 6.0], n, p=(0.98, 0.02))
        measured = true + sigma * tail * rng.standard_normal(n)
        seen = (place < share * 1.02) & (measured > 0) & (rng.uniform(size=n) > 0.02)
        barely = seen & (measured < 2 * sigma) & (rng.uniform(size=n) < 0.05)
        measured = np.where(barely, sigma * 10 ** rng.uniform(-3, -1, n), measured)
        measured = np.where(seen, measured, np.nan)
        out[f"vista_{band}apermag6"] = -2.5 * np.log10(measured)
        out[f"vista_{band}apermag6err"] = POGSON * sigma / measured
    return out
