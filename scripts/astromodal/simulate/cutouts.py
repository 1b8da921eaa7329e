"""Image cutouts of a field's sources in twelve bands."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy.fft import irfft2
from scipy.special import gamma, j0, kv

from astromodal.config.inputs import BANDS, SimulateSettings
from astromodal.simulate.light import IMAGING, SPLUS, Light, counts, extended_counts
from astromodal.simulate.sources import GALAXY, Sources, stream

SIZE = 96
"""Side of a cutout (pixel)."""

PIXEL = 0.55
"""Side of a pixel (arcsec)."""

CENTRE = 48.0
"""Mean position of the source in its cutout (pixel): it stands anywhere within the pixel that a
stamp of S-PLUS is cut around."""

_NAMES = "u,j0378,j0395,j0410,j0430,g,j0515,r,j0660,i,j0861,z"
CATALOGUE_BANDS = dict(zip(BANDS, _NAMES.split(","), strict=True))
"""Name in the catalogue of each cutout band."""

SHORT_LENGTHS = (5376, 8544, 3840, 7392)
"""Pixels of cutouts at an image's edge: whole rows of 96."""

_MAGNITUDES = np.array([12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 21.5, 22, 22.5])
_DENSITY = np.array(
    [80, 140, 250, 445, 790, 1350, 2160, 3320, 5160, 8410, 11_040, 14_750, 19_300.0]
)
"""Sources per square degree brighter than each r magnitude.

Between 14 and 22 they are the mean counts of S-PLUS fields; beyond, their slope is continued.
Sources brighter than 12 are rendered as of 12.
"""

MARGIN = 6.0
"""Distance from a cutout's edge (pixel) up to which sources outside it are rendered."""

CLOSEST = 4.0
"""Least distance of a neighbour from the central source (pixel): nearer pairs are one detection."""

UNSEEN = 0.002
"""Surface brightness over the sky's noise below which a point source is not rendered."""

CORRELATION = 0.07
"""Share of a pixel's noise that its four neighbours have, from the resampling of images.

The noise of adjacent pixels is then correlated by 0.14, as on S-PLUS images (0.10 to 0.18).
"""


@dataclass(frozen=True)
class Telescope:
    """Point spread functions of a field, which are Moffat profiles.

    Attributes
    ----------
    fwhm : ndarray of shape (12,)
        Full width at half maximum by band (arcsec).
    beta : ndarray of shape (12,)
        Index of the profile by band.
    """

    fwhm: np.ndarray
    beta: np.ndarray

    @property
    def detection(self) -> float:
        """FWHM of the point spread function of the detection image (pixel)."""
        names = list(SPLUS)
        return float(np.mean([self.fwhm[names.index(band)] for band in "griz"])) / PIXEL

    @property
    def scale(self) -> np.ndarray:
        """Scale radii of the profiles (pixel), (12,)."""
        return self.fwhm / PIXEL / (2 * np.sqrt(2 ** (1 / self.beta) - 1))


def telescope(settings: SimulateSettings, field: str) -> Telescope:
    """Sample the seeing of a field, which varies per night and is worse in the blue.

    Bands are exposed one after the other, so their widths scatter by 15 %; indices are about 2.75.
    Both are those of the twelve images of an S-PLUS field.
    """
    rng = stream(settings.seed, field, "seeing")
    sampled = float(np.clip(rng.lognormal(np.log(1.35), 0.13), 1.1, 1.9))
    seeing = settings.fields[field].seeing or sampled
    centres = np.array([band.centre for band in SPLUS.values()])
    fwhm = seeing * (centres / SPLUS["r"].centre) ** -0.2 * rng.lognormal(0.0, 0.15, len(centres))
    fwhm[list(SPLUS).index("r")] = seeing
    beta = np.clip(rng.normal(2.75, 0.35, len(centres)), 2.0, 3.2)
    return Telescope(np.clip(fwhm, 0.65 * seeing, 1.5 * seeing), beta)


class Placed(NamedTuple):
    """A source in a cutout: its row, position (pixel), and factor on its flux."""

    row: int
    x: float
    y: float
    factor: float = 1.0


class Imager:
    """The imager of a field, which renders cutouts of its sources.

    Parameters
    ----------
    sources, light
        The field's sources and their fluxes.
    optics : Telescope
        Point spread functions.
    """

    def __init__(self, sources: Sources, light: Light, optics: Telescope) -> None:
        self._sources = sources
        self._optics = optics
        self._psf = psf_transforms(optics)  # (12, C, C/2+1)
        self._extended = extended_counts(light)
        self._compact = counts(light) - self._extended
        self._sky = np.array([IMAGING[band].sky for band in SPLUS], dtype=np.float32)
        self._gain = np.array([IMAGING[band].gain for band in SPLUS], dtype=np.float32)
        self._by_magnitude = np.argsort(sources.r_mag, kind="stable")

    def expose(self, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return cutouts of the sources in `rows`, float32 (m, 12, 96, 96), in counts/s.

        Bands are in order of wavelength, as in `SPLUS`.
        """
        images = np.empty((len(rows), len(self._sky), SIZE, SIZE), np.float32)
        for place, row in enumerate(rows.tolist()):
            target = Placed(row, *(CENTRE + rng.uniform(-0.5, 0.5, 2)))
            images[place] = self.render([target, *self._neighbours(target, rng)])
        gain, sky = self._gain[:, None, None], self._sky[:, None, None]
        variance = np.maximum(images, 0) / gain + sky**2
        for image, noise in zip(images, np.sqrt(variance), strict=True):
            image += noise * _noise(len(self._sky), rng)
        return _spoil(images, rng)

    def render(self, scene: list[Placed]) -> np.ndarray:
        """Return the sources of a scene without noise, float32 (12, 96, 96)."""
        image = np.zeros((len(self._sky), SIZE, SIZE), np.float32)
        galaxies = np.zeros(self._psf.shape, np.complex64)
        for row, x, y, factor in scene:
            compact = (factor * self._compact[row]).astype(np.float32)[:, None, None]
            if self._sources.kind[row] != GALAXY:
                part = self._window(x, y, compact)
                image[:, *part] += compact * points(x, y, self._optics, *part)
                continue
            extended = (factor * self._extended[row]).astype(np.float32)[:, None, None]
            radius, ratio, angle = (
                float(self._sources.shape[name][row]) for name in ("radius", "axis_ratio", "angle")
            )
            bulge, disc = galaxy_transforms(radius / PIXEL, ratio, angle)
            galaxies += (compact * bulge + extended * disc) * shift(x, y)
        return image + to_images(self._psf * galaxies, SIZE) if galaxies.any() else image

    def _window(self, x: float, y: float, total: np.ndarray) -> tuple[slice, slice]:
        """Return the rows and columns where a point of `total` counts/s, (12, 1, 1), is seen.

        Beyond, its surface brightness is less than `UNSEEN` of the sky's noise in all bands.
        """
        scale, beta = self._optics.scale, self._optics.beta
        peak = total.ravel() * (beta - 1) / np.pi / scale**2 / (UNSEEN * self._sky)
        reach = float((scale * np.maximum(peak, 1.0) ** (0.5 / beta)).max())
        rows, columns = (np.clip([v - reach, v + reach + 1], 0, SIZE).astype(int) for v in (y, x))
        return slice(*rows), slice(*columns)

    def _neighbours(self, target: Placed, rng: np.random.Generator) -> list[Placed]:
        """Sample other sources in and around a cutout, as many and as bright as on the sky.

        Each is the field's source of about the sampled magnitude, scaled to it.
        """
        side = SIZE + 2 * MARGIN
        mean = _DENSITY[-1] * (side * PIXEL / 3600) ** 2
        n = int(rng.poisson(mean))
        density = _DENSITY[-1] * (1 - rng.uniform(size=n))
        bright = np.interp(np.log(density), np.log(_DENSITY), _MAGNITUDES)
        place = rng.uniform(-MARGIN, SIZE - 1 + MARGIN, (n, 2))
        order, magnitudes = self._by_magnitude, self._sources.r_mag
        near = np.searchsorted(magnitudes[order], bright) + rng.integers(-3, 3, n)
        rows = order[np.clip(near, 0, len(order) - 1)]
        factor = 10 ** (-0.4 * (bright - magnitudes[rows]))
        apart = np.hypot(*(place - [target.x, target.y]).T) > CLOSEST
        values = zip(rows[apart], *place[apart].T, factor[apart], strict=True)
        return [Placed(int(row), float(x), float(y), float(f)) for row, x, y, f in values]


def _noise(bands: int, rng: np.random.Generator) -> np.ndarray:
    """Return noise of unit variance whose adjacent pixels are correlated, (bands, 96, 96)."""
    white = rng.standard_normal((bands, SIZE + 2, SIZE + 2), dtype=np.float32)
    beside = white[:, 1:-1, 2:] + white[:, 1:-1, :-2] + white[:, 2:, 1:-1] + white[:, :-2, 1:-1]
    total = white[:, 1:-1, 1:-1] + np.float32(CORRELATION) * beside
    return total / np.float32(np.sqrt(1 + 4 * CORRELATION**2))


def _spoil(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Set pixels without data to exactly 0: single pixels, and columns of a few cutouts."""
    m = len(images)
    for place in np.flatnonzero(rng.uniform(size=m) < 0.10):
        y, x = rng.integers(0, SIZE, (2, int(rng.integers(1, 12))))
        images[place, int(rng.integers(images.shape[1])), y, x] = 0.0
    for place in np.flatnonzero(rng.uniform(size=m) < 0.02):
        column = int(rng.integers(SIZE))
        images[place, :, :, column : column + 2] = 0.0
    return images


def choose(matched: np.ndarray, fraction: float, rng: np.random.Generator) -> np.ndarray:
    """Choose rows with cutouts, ascending, among those with a Gaia match."""
    candidates = np.flatnonzero(matched)
    n = min(len(candidates), round(fraction * len(matched)))
    return np.sort(rng.choice(candidates, n, replace=False))


def lengths(n: int, rng: np.random.Generator) -> np.ndarray:
    """Sample the pixels of each cutout, int64 (n,); one in thirty is cut off by an image's edge."""
    short = rng.uniform(size=n) < 0.033
    if n >= 25:
        short[rng.integers(n)] = True
    return np.where(short, rng.choice(SHORT_LENGTHS, n), SIZE * SIZE)


TIE = 8e-8
"""Value of ``fwhm_n_det`` of sources whose width could not be measured."""


def shape_columns(
    sources: Sources, optics: Telescope, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Measure shape columns, float32 (n,), consistent with the cutouts.

    Axes are second moments of the source, widened by the point spread function; moments of bright
    sources extend further out. ``theta_det`` (degree) runs from x to y, as in the cutouts;
    ``fwhm_n_det`` is the width over that of a star.
    """
    n = len(sources)
    radius = np.nan_to_num(sources.shape["radius"]) / PIXEL
    ratio = np.nan_to_num(sources.shape["axis_ratio"], nan=1.0)
    blur = np.clip(0.012 * 10 ** (0.24 * (sources.r_mag - 17)), 0.012, 0.35)
    major, minor = _axes(sources.r_mag, radius, ratio, blur, optics, rng)
    columns = {
        "ellipticity_det": 1 - minor / major,
        "elongation_det": major / minor,
        "a_pixel_det": major,
        "b_pixel_det": minor,
        "theta_det": _angles(sources.shape["angle"], minor / major, blur, rng),
        "fwhm_n_det": _widths(radius * np.sqrt(ratio), blur, optics, rng),
    }
    lost = rng.uniform(size=n) < 0.004
    return {name: np.where(lost, np.nan, v).astype(np.float32) for name, v in columns.items()}


def _axes(
    r_mag: np.ndarray,
    radius: np.ndarray,
    ratio: np.ndarray,
    blur: np.ndarray,
    optics: Telescope,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Measure major and minor axes (pixel); noise makes round sources elongated."""
    n = len(r_mag)
    psf = 1.12 * optics.detection / 2.3548  # wings widen a Moffat profile's moments
    # Moments within the isophote are about half of those of the whole exponential disc.
    wide = 0.55 * np.sqrt(3.0) * radius / EXPONENTIAL_HALF_LIGHT
    reach = 1 + 0.07 * np.clip(18.5 - r_mag, 0, 5)
    reach *= np.clip(1 - 0.05 * (r_mag - 20), 0.85, 1.0)
    longer, shorter = np.abs(rng.standard_normal((2, n)))
    major = np.hypot(psf, wide) * reach * (1 + blur * longer)
    minor = np.hypot(psf, wide * ratio) * reach * (1 - 0.5 * blur * shorter)
    blended = rng.uniform(size=n) < 0.01
    major = np.where(blended, major * rng.uniform(1.5, 4.0, n), major)
    return major, np.clip(minor, 0.07, major)


def _angles(
    true: np.ndarray, ratio: np.ndarray, blur: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Measure position angles in -90 to 90 degree; random for points, noisy for round sources."""
    n = len(true)
    angle = np.where(np.isnan(true), rng.uniform(-90, 90, n), true)
    wobble = blur * 25 / np.maximum(1 - ratio, 0.05)
    return (angle + wobble * rng.standard_normal(n) + 90) % 180 - 90


def _widths(
    radius: np.ndarray, blur: np.ndarray, optics: Telescope, rng: np.random.Generator
) -> np.ndarray:
    """Measure widths over a star's; some are equal to `TIE`, and a few are outliers."""
    n = len(radius)
    widened = np.hypot(1.0, 0.5 * radius / (optics.detection / 2.3548))
    width = widened * (1 + 2 * blur * rng.standard_normal(n))
    width = np.where(rng.uniform(size=n) < 0.02, TIE, width)
    wild = rng.uniform(size=n) < 0.004
    return np.where(wild, rng.uniform(-19, 165, n), width)


CANVAS = 128
"""Side of the canvas (pixel), larger than a cutout: a source does not wrap around."""

EXPONENTIAL_HALF_LIGHT = 1.678347
"""Half-light radius of an exponential disc over its scale length."""

_FACTOR = np.concatenate([[0.0], np.geomspace(1e-3, 300.0, 600)])
"""Wave numbers times a profile's radius at which radial transforms are tabulated."""


@lru_cache(maxsize=1)
def _bulge() -> np.ndarray:
    """Return the Hankel transform of a bulge of unit half-light radius and flux, at `_FACTOR`."""
    radius = np.geomspace(1e-5, 8.0, 6000)
    light = np.exp(-7.669 * (radius**0.25 - 1))  # de Vaucouleurs, cut at 8 half-light radii
    shell = light * radius**2 * np.gradient(np.log(radius))
    values = np.array([(shell * j0(k * radius)).sum() for k in _FACTOR])
    return values / values[0]


@lru_cache(maxsize=1)
def wave_numbers() -> tuple[np.ndarray, np.ndarray]:
    """Return wave numbers (radian per pixel) along y, (CANVAS, 1), and x, (1, CANVAS // 2 + 1)."""
    ky = 2 * np.pi * np.fft.fftfreq(CANVAS)[:, None]
    kx = 2 * np.pi * np.fft.rfftfreq(CANVAS)[None, :]
    return ky, kx


def psf_transforms(optics: Telescope) -> np.ndarray:
    """Return transforms of the point spread functions, float32 (12, CANVAS, CANVAS // 2 + 1).

    That of a Moffat profile of scale s and index b is
    ``2 (k s / 2)^(b - 1) K_(b - 1)(k s) / Gamma(b - 1)``, with a Bessel function of second kind.
    """
    ky, kx = wave_numbers()
    k = np.hypot(ky, kx)
    # A taper before the highest wave number keeps cuspy bulges from ringing.
    end = np.cos(np.clip((k / np.pi - 0.6) / 0.4, 0, 1) * np.pi / 2) ** 2
    order = optics.beta[:, None, None] - 1
    at = np.maximum(k, 1e-6) * optics.scale[:, None, None]
    return (end * 2 * (at / 2) ** order * kv(order, at) / gamma(order)).astype(np.float32)


def galaxy_transforms(
    radius: float, axis_ratio: float, angle: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the transforms of a galaxy's bulge and disc, each of unit flux.

    Parameters
    ----------
    radius : float
        Half-light radius of the disc along its major axis (pixel); the bulge's is 0.45 of it.
    axis_ratio : float
        Minor over major axis of the disc; the bulge is rounder.
    angle : float
        Angle of the major axis from x to y (degree).
    """
    ky, kx = wave_numbers()
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    major, minor = kx * cos + ky * sin, -kx * sin + ky * cos
    scale = radius / EXPONENTIAL_HALF_LIGHT
    disc = (1 + scale**2 * (major**2 + (axis_ratio * minor) ** 2)) ** -1.5
    rounder = 1 - 0.6 * (1 - axis_ratio)
    at = 0.45 * radius * np.hypot(major, rounder * minor)
    bulge = np.interp(at, _FACTOR, _bulge(), right=0.0)
    return bulge.astype(np.float32), disc.astype(np.float32)


def points(x: float, y: float, optics: Telescope, rows: slice, columns: slice) -> np.ndarray:
    """Return images of a point of unit flux at pixel (x, y), float32 (12, rows, columns).

    The profile is evaluated in real space: a transform of so sharp a profile would ring around
    bright stars.
    """
    dy = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] - np.float32(y)
    dx = np.arange(columns.start, columns.stop, dtype=np.float32)[None, :] - np.float32(x)
    scale, beta = (v.astype(np.float32)[:, None, None] for v in (optics.scale, optics.beta))
    profile = (1 + (dx**2 + dy**2) / scale**2) ** -beta
    return profile * ((beta - 1) / np.float32(np.pi) / scale**2)


def shift(x: float, y: float) -> np.ndarray:
    """Return the transform of a point at pixel (x, y), complex64 (CANVAS, half)."""
    ky, kx = wave_numbers()
    return (np.exp(-1j * ky * y) * np.exp(-1j * kx * x)).astype(np.complex64)


def to_images(transforms: np.ndarray, size: int) -> np.ndarray:
    """Return images, float32 (..., size, size), of transforms (..., CANVAS, half)."""
    images = irfft2(transforms, s=(CANVAS, CANVAS), workers=1)
    return images[..., :size, :size].astype(np.float32, copy=False)
