"""What codes keep of lines and stars whose flux is known, through `AstroModel` alone.

Spectra of a flat continuum with one emission line, and cutouts of one star, are made here, encoded
as a user's frame, and decoded. Nothing of the simulated sky, and of the package's own measurements
of quality, is used.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from astropy.modeling.functional_models import Moffat2D
from photutils.aperture import CircularAperture, aperture_photometry

from astromodal import AstroModel
from astromodal.inference.predict_blocks import ImagePrediction, SpectrumPrediction

ARMS = {"b": (3600.0, 2751), "r": (5760.0, 2326), "z": (7520.0, 2881)}
"""First wavelength (Angstrom) and number of pixels of each arm of DESI."""
STEP = 0.8
PEAKS = (1.0, 10.0, 100.0, 1000.0)
"""Heights of the lines over the continuum."""
REACH = 40.0
"""Half of the range (Angstrom) over which the flux of a line is summed."""
SIDE, PIXEL = 96, 0.55
"""Pixels of a cutout, and the side of one (arcsec)."""
SNR = 30.0
"""S/N of an aperture above which magnitudes are compared."""
SKY = {
    "U": 0.013, "F378": 0.011, "F395": 0.017, "F410": 0.032, "F430": 0.034, "G": 0.151,
    "F515": 0.052, "R": 0.161, "F660": 0.018, "I": 0.203, "F861": 0.091, "Z": 0.231,
}  # fmt: skip
"""Noise of a pixel of S-PLUS cutouts (counts/s)."""
Line = tuple[str, str, str]


def lines(model: AstroModel, seed: int = 0, n: int = 200) -> Iterator[Line]:
    """Yield what is kept of the flux of lines: what, measured, and mark."""
    rng = np.random.default_rng(seed)
    frame, truth = _spectra(rng, n)
    decoded = model.decode(model.encode(frame), [f"desi_{arm}" for arm in ARMS])
    ratios = {arm: _ratios(decoded[f"desi_{arm}"], truth[arm]) for arm in ARMS}
    for k, peak in enumerate(PEAKS):
        for arm, ratio in ratios.items():
            own = ratio[k :: len(PEAKS)]
            low, middle, high = np.quantile(own, [0.16, 0.5, 0.84])
            what = f"desi_{arm}: flux of lines of {peak:g} times the continuum, decoded over true"
            within = 100 * np.mean(np.abs(own - 1) <= 0.02)
            text = f"{middle:.3f} (68 %: {low:.3f} to {high:.3f}; within 2 %: {within:.0f} %)"
            yield what, text, "1 ± 0.02"


def _spectra(
    rng: np.random.Generator, n: int
) -> tuple[pd.DataFrame, dict[str, list[tuple[float, float, float]]]]:
    """Return a frame of n spectra, and centre, flux and continuum of the line in each arm."""
    columns: dict[str, list[np.ndarray]] = {}
    truth: dict[str, list[tuple[float, float, float]]] = {arm: [] for arm in ARMS}
    for arm, (first, length) in ARMS.items():
        wave = first + STEP * np.arange(length)
        for i in range(n):
            level, sigma = 10 ** rng.uniform(0, 1.5), rng.uniform(1.2, 3.0)
            peak = PEAKS[i % len(PEAKS)] * level
            centre = rng.uniform(wave[0] + 2 * REACH, wave[-1] - 2 * REACH)
            clean = level + peak * np.exp(-0.5 * ((wave - centre) / sigma) ** 2)
            error = 0.05 * np.sqrt(level * clean)
            flux = clean + error * rng.normal(size=length)
            for name, values in (("flux", flux), ("ivar", error**-2), ("wave", wave)):
                columns.setdefault(f"desi_{name}_{arm}", []).append(values.astype(np.float32))
            truth[arm].append((centre, peak * sigma * np.sqrt(2 * np.pi), level))
    return pd.DataFrame({"id": [f"line-{i:03d}" for i in range(n)], **columns}), truth


def _ratios(spectra: SpectrumPrediction, truth: list[tuple[float, float, float]]) -> np.ndarray:
    """Return the decoded over the true flux of each line, (n,)."""
    edges = np.concatenate([
        [1.5 * spectra.wave[0] - 0.5 * spectra.wave[1]],
        (spectra.wave[1:] + spectra.wave[:-1]) / 2,
        [1.5 * spectra.wave[-1] - 0.5 * spectra.wave[-2]],
    ])  # fmt: skip
    widths = np.diff(edges)
    out = []
    for flux, (centre, true, level) in zip(spectra.flux, truth, strict=True):
        near = np.abs(spectra.wave - centre) < REACH
        out.append(((flux[near] - level) * widths[near]).sum() / true)
    return np.array(out)


def stars(model: AstroModel, seed: int = 0, n: int = 120) -> Iterator[Line]:
    """Yield what is kept of the magnitudes of stars: what, measured, and mark."""
    rng = np.random.default_rng(seed)
    frame, places = _cutouts(rng, n)
    decoded: ImagePrediction = model.decode(model.encode(frame), "image")["image"]
    for diameter in (2.0, 3.0):
        shares, seen = [], []
        for b, band in enumerate(decoded.bands):
            measured = np.stack(frame[f"splus_cut_{band}"]).reshape(-1, SIDE, SIDE)
            pair = [
                _fluxes(images, places, diameter) for images in (measured, decoded.pixels[:, b])
            ]
            noise = SKY[band] * np.sqrt(np.pi) * diameter / 2 / PIXEL
            bright = pair[0] > SNR * noise
            ratio = np.maximum(pair[1][bright] / pair[0][bright], 1e-3)
            shares.append(np.mean(np.abs(2.5 * np.log10(ratio)) <= 0.1))
            seen.append(int(bright.sum()))
        worst = int(np.argmin(shares))
        every = np.average(shares, weights=seen)
        text = (
            f"{100 * every:.1f} %; worst band {decoded.bands[worst]}, {100 * shares[worst]:.1f} %"
        )
        yield f"stars: {diameter:g} arcsec magnitudes within 0.1 mag, S/N > {SNR:g}", text, "≥ 95 %"


def _cutouts(rng: np.random.Generator, n: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Return a frame of n stars, and their places (x, y) in pixels, (n, 2)."""
    places = SIDE / 2 + rng.uniform(-0.5, 0.5, (n, 2))
    fine = np.arange(SIDE * 5) / 5 - 0.4  # five points along each pixel
    y, x = np.meshgrid(fine, fine, indexing="ij")
    columns: dict[str, list[np.ndarray]] = {f"splus_cut_{band}": [] for band in SKY}
    snr = 10 ** rng.uniform(1.2, 3, (n, len(SKY)))
    for i, (across, along) in enumerate(places):
        for b, (band, sky) in enumerate(SKY.items()):
            fwhm = rng.uniform(1.1, 1.9) / PIXEL
            gamma = fwhm / (2 * np.sqrt(2 ** (1 / 2.8) - 1))
            shape = Moffat2D(1.0, across, along, gamma, 2.8)(x, y)
            shape = shape.reshape(SIDE, 5, SIDE, 5).mean((1, 3))
            flux = snr[i, b] * sky * np.sqrt(np.pi) * 1.5 / PIXEL
            image = flux * shape / shape.sum() + sky * rng.normal(size=shape.shape)
            columns[f"splus_cut_{band}"].append(image.astype(np.float32).ravel())
    return pd.DataFrame({"id": [f"star-{i:03d}" for i in range(n)], **columns}), places


def _fluxes(images: np.ndarray, places: np.ndarray, diameter: float) -> np.ndarray:
    """Return the flux in a circle around each place, (n,)."""
    radius = diameter / 2 / PIXEL
    tables = (
        aperture_photometry(image, CircularAperture(place, radius))
        for image, place in zip(images, places, strict=True)
    )
    return np.array([float(table["aperture_sum"][0]) for table in tables])


def table(model: AstroModel) -> str:
    """Return the table of both."""
    rows = [
        f"| {what} | {value} | {mark} |" for what, value, mark in (*lines(model), *stars(model))
    ]
    return "\n".join(["| what | measured | mark |", "| --- | --- | --- |", *rows])
