"""What coding does to spectra along their wavelength."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from astromodal.evaluation.metrics import bootstrap_error, median_error, r2_of, robust_sigma
from astromodal.evaluation.spectra.sample import GroupSample

N_SEGMENTS = 16
"""Stretches that a spectrum's whole range is cut into, to look along the wavelength."""
FOLLOWS = 0.1
"""Error of the continuum, in the worst stretch of the range, that still counts as following it."""


@dataclass(frozen=True)
class Along:
    """What becomes of the flux in each stretch of the wavelength range (S,).

    The continuum of a stretch is its mean flux; its error is decoded minus observed, over the
    larger of the object's scale and the continuum itself (added in quadrature).
    """

    start: np.ndarray
    stop: np.ndarray
    live: np.ndarray  # objects with a good bin
    offset: np.ndarray  # median error of the continuum
    offset_error: np.ndarray
    scatter: np.ndarray  # half the 16 to 84 % range of it
    p68: np.ndarray  # what 68 % of the objects' errors stay within
    p90: np.ndarray  # what 90 % of them stay within
    r2: np.ndarray  # explained variance of arcsinh(flux / noise), all objects and bins
    r2_error: np.ndarray

    def worst(self) -> float:
        """The error of the continuum that 68 % of objects stay within, in the worst stretch."""
        return float(np.nanmax(self.p68)) if np.isfinite(self.p68).any() else np.nan


def look_along(sample: GroupSample, wave: np.ndarray, seed: int) -> Along:
    """Cut the range into stretches and compare decoded with observed flux in each."""
    edges = np.linspace(0, len(wave), min(N_SEGMENTS, len(wave)) + 1).astype(int)
    n = len(edges) - 1
    out = {name: np.full(n, np.nan) for name in Along.__annotations__}
    good = (sample.ivar > 0) & np.isfinite(sample.decoded)
    noise = np.median(1 / np.sqrt(sample.ivar[good])) if good.any() else 1.0
    for k, (a, b) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
        here = good[:, a:b]
        live = here.any(axis=1)
        out["start"][k], out["stop"][k], out["live"][k] = wave[a], wave[b - 1], live.sum()
        if not live.any():
            continue
        observed, decoded = sample.flux[live, a:b], sample.decoded[live, a:b]
        error = continuum_error(observed, decoded, here[live], sample.scale[live])
        out["offset"][k], out["offset_error"][k] = median_error(error, seed)
        out["scatter"][k] = robust_sigma(error)
        out["p68"][k], out["p90"][k] = np.quantile(np.abs(error), [0.68, 0.9])
        pair = np.arcsinh(observed / noise), np.arcsinh(decoded / noise)
        out["r2"][k], out["r2_error"][k] = _common_r2(*pair, here[live], seed)
    return Along(**out)


def continuum_error(
    observed: np.ndarray, decoded: np.ndarray, good: np.ndarray, scale: np.ndarray
) -> np.ndarray:
    """Error of each object's mean flux, relative to its scale or to the flux where it is larger.

    Parameters
    ----------
    observed, decoded : (n, L) float
        Fluxes.
    good : (n, L) bool
        Bins that count; at least one an object.
    scale : (n,) float
        The objects' flux scales.

    Returns
    -------
    (n,) float
    """
    count = good.sum(axis=1)
    means = [np.where(good, flux, 0).sum(axis=1) / count for flux in (observed, decoded)]
    return (means[1] - means[0]) / np.hypot(scale, means[0])


def _common_r2(
    truth: np.ndarray, estimate: np.ndarray, good: np.ndarray, seed: int
) -> tuple[float, float]:
    """Explained variance of all values together about their common mean, with bootstrap error."""
    n = good.sum(axis=1)
    t, e = np.where(good, truth, 0), np.where(good, estimate, 0)
    sums = np.stack([n, t.sum(1), (t**2).sum(1), ((t - e) ** 2).sum(1)])  # (4, objects)

    def explained(index: np.ndarray) -> float:
        count, first, second, residual = sums[:, index].sum(axis=1)
        return float(r2_of(residual, second - first**2 / count))

    everyone = np.arange(len(n))
    return explained(everyone), float(bootstrap_error(explained, len(n), seed))
