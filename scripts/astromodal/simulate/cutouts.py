"""Image cutouts of a field's sources in twelve bands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from astromodal.config.simulate import BANDS, SimulateSettings
from astromodal.simulate.light import Light
from astromodal.simulate.passbands import SPLUS
from astromodal.simulate.photometry import GAIN, IMAGING, counts, extended_counts
from astromodal.simulate.profiles import (
    galaxy_transforms,
    points,
    psf_transforms,
    shift,
    to_images,
)
from astromodal.simulate.sources import GALAXY, Sources
from astromodal.simulate.streams import stream

SIZE = 96
"""Side of a cutout (pixel)."""

PIXEL = 0.55
"""Side of a pixel (arcsec)."""

CENTRE = 47.5
"""Mean position of the source in its cutout (pixel)."""

CATALOGUE_BANDS = dict(
    zip(
        BANDS,
        ("u", "j0378", "j0395", "j0410", "j0430", "g", "j0515", "r", "j0660", "i", "j0861", "z"),
        strict=True,
    )
)
"""Name in the catalogue of each cutout band."""

SHORT_LENGTHS = (5376, 8544, 3840, 7392)
"""Pixels of cutouts that an image's edge cuts: whole rows of 96."""

NEIGHBOURS = 0.35
"""Mean number of other sources in a cutout."""


@dataclass(frozen=True)
class Telescope:
    """Point spread functions of a field: full width at half maximum by band (arcsec, (12,))."""

    fwhm: np.ndarray

    @property
    def detection(self) -> float:
        """Width of the point spread function of the detection image (pixel)."""
        names = list(SPLUS)
        return float(np.mean([self.fwhm[names.index(band)] for band in "griz"])) / PIXEL


def telescope(settings: SimulateSettings, field: str) -> Telescope:
    """Seeing of a field: worse in the blue, and different every night."""
    rng = stream(settings.seed, field, "seeing")
    drawn = float(np.clip(rng.lognormal(np.log(1.35), 0.13), 1.1, 1.9))
    seeing = settings.fields[field].seeing or drawn
    centres = np.array([band.centre for band in SPLUS.values()])
    fwhm = seeing * (centres / SPLUS["r"].centre) ** -0.2 * rng.normal(1.0, 0.06, len(centres))
    fwhm[list(SPLUS).index("r")] = seeing
    return Telescope(np.clip(fwhm, 0.8 * seeing, 1.5 * seeing))


class Photographer:
    """Takes the cutouts of a field.

    Parameters
    ----------
    sources, light
        The field's sources and their fluxes.
    optics : Telescope
        Point spread functions.
    """

    def __init__(self, sources: Sources, light: Light, optics: Telescope) -> None:
        self._sources = sources
        self._fwhm = optics.fwhm / PIXEL
        self._psf = psf_transforms(self._fwhm)  # (12, C, C/2+1)
        self._extended = extended_counts(light)
        self._compact = counts(light) - self._extended
        self._sky = np.array([IMAGING[band].sky for band in SPLUS], dtype=np.float32)

    def expose(self, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Cutouts of the sources in `rows`, float32 (m, 12, 96, 96), in counts/s.

        Bands are in order of wavelength, as in `SPLUS`.
        """
        images = np.empty((len(rows), len(self._sky), SIZE, SIZE), np.float32)
        for place, row in enumerate(rows.tolist()):
            images[place] = self.render(row, *(CENTRE + rng.uniform(-0.5, 0.5, 2)))
            for other, x, y in self._neighbours(row, rng):
                images[place] += self.render(other, x, y)
        variance = np.maximum(images, 0) / np.float32(GAIN) + self._sky[:, None, None] ** 2
        images += np.sqrt(variance) * rng.standard_normal(images.shape, dtype=np.float32)
        return _spoil(images, rng)

    def render(self, row: int, x: float, y: float) -> np.ndarray:
        """One source without noise, its centre at pixel (x, y): float32 (12, 96, 96)."""
        compact = self._compact[row].astype(np.float32)[:, None, None]
        if self._sources.kind[row] != GALAXY:
            return compact * points(x, y, self._fwhm, SIZE)
        extended = self._extended[row].astype(np.float32)[:, None, None]
        radius, ratio, angle = (
            float(self._sources.shape[name][row]) for name in ("radius", "axis_ratio", "angle")
        )
        bulge, disc = galaxy_transforms(radius / PIXEL, ratio, angle)
        return to_images(self._psf * (compact * bulge + extended * disc) * shift(x, y), SIZE)

    def _neighbours(self, row: int, rng: np.random.Generator) -> list[tuple[int, float, float]]:
        """Other sources of the field that happen to stand in the cutout."""
        found = []
        for _ in range(int(rng.poisson(NEIGHBOURS))):
            other = int(rng.integers(len(self._sources)))
            x, y = rng.uniform(2, SIZE - 2, 2)
            apart = np.hypot(x - CENTRE, y - CENTRE) > 7
            fainter = self._sources.r_mag[other] > max(self._sources.r_mag[row] - 1.0, 16.0)
            if apart and fainter and other != row:
                found.append((other, float(x), float(y)))
        return found


def _spoil(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Put exact zeros where images have no data: single pixels, and columns of a few cutouts."""
    m = len(images)
    for place in np.flatnonzero(rng.uniform(size=m) < 0.10):
        y, x = rng.integers(0, SIZE, (2, int(rng.integers(1, 12))))
        images[place, int(rng.integers(images.shape[1])), y, x] = 0.0
    for place in np.flatnonzero(rng.uniform(size=m) < 0.02):
        column = int(rng.integers(SIZE))
        images[place, :, :, column : column + 2] = 0.0
    return images


def choose(matched: np.ndarray, fraction: float, rng: np.random.Generator) -> np.ndarray:
    """Rows with cutouts, ascending: a random part of those with a Gaia match."""
    candidates = np.flatnonzero(matched)
    n = min(len(candidates), round(fraction * len(matched)))
    return np.sort(rng.choice(candidates, n, replace=False))


def lengths(n: int, rng: np.random.Generator) -> np.ndarray:
    """Pixels kept of each cutout, int64 (n,): one in thirty lies at an edge and is shorter."""
    short = rng.uniform(size=n) < 0.033
    if n >= 25:
        short[rng.integers(n)] = True
    return np.where(short, rng.choice(SHORT_LENGTHS, n), SIZE * SIZE)
