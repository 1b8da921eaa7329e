"""Codes of spectra that are coefficients: one per coefficient, relative to the spectrum's scale.

The *scale* of a spectrum is the root mean square of its coefficients and errors: never 0. The
features are the coefficients divided by the scale, and one number for their noise,
ln(mean error / scale), whose mean is the geometric one. So the shape of a spectrum has the same
codes at every brightness.

Each feature is standardised by its own median and spread among the training spectra, compressed by
arcsinh, and rounded to an even grid of codes from -`REACH` to `REACH` spreads. Near the median of a
feature the codes have an absolute error, far from it a relative one of some tenths of a percent: at
2048 codes both are below the noise of the brightest stars, whose coefficients have S/N up to 2,600.
An even grid keeps what no training spectrum has, where equal-mass bins take the nearest value that
they know. docs/decisions.md has the measurements.

An error decodes to the mean error times the typical ratio of the coefficient's error to it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from astromodal.errors import DataError, must_be
from astromodal.surveys.gaiaxp import evaluate_functions
from astromodal.surveys.group import GroupSettings
from astromodal.surveys.registry import coefficient_group
from astromodal.surveys.spectra import SpectrumBatch
from astromodal.tokenizers.spectra.bins import NoiseProfile
from astromodal.tokenizers.spectra.groups import (
    FeatureSpace,
    GridTokenizer,
    ScaleCoder,
    near_scales,
)

REACH = 1000.0
"""Largest deviation from the median, in spreads, that has a code of its own."""


class CoefficientFeatures(FeatureSpace):
    """Coefficients and noise of a spectrum relative to its flux scale: a sample is a spectrum."""

    weights: ClassVar[np.ndarray] = np.ones(1)

    def width(self, group: str) -> int:
        """Return the number of features of a spectrum: its coefficients, and their noise."""
        return coefficient_group(group).n_coefficients + 1

    def measure_noise(
        self,
        group: str,
        batches: Iterable[SpectrumBatch],
        rows_fit: np.ndarray,
        settings: GroupSettings,
    ) -> NoiseProfile:
        """Measure the typical error of each coefficient relative to the others."""
        return NoiseProfile.of_batches(batches, rows_fit)

    def sample(
        self,
        group: str,
        batch: SpectrumBatch,
        chosen: np.ndarray,
        settings: GroupSettings,
        noise: NoiseProfile,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Compute the flux scales of the chosen spectra, and their features, float64 (n, width)."""
        spectra = batch.take(chosen)
        scale = root_mean_square(spectra.flux, spectra.ivar)
        return scale, relative_features(spectra.flux, spectra.ivar, scale)

    def standardisation(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the median and the spread, half of the central 68 %, float64 (width,) each."""
        low, median, high = np.quantile(features.astype(np.float64), (0.16, 0.5, 0.84), axis=0)
        spread = (high - low) / 2
        return median, np.where(spread > 0, spread, 1)

    def standardise(self, features: np.ndarray, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
        """Return arcsinh of the standardised features, float64 (m, width, 1)."""
        return np.arcsinh((features - mean) / std)[..., None]

    def restore(self, points: np.ndarray, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
        """Return the features, float64 (m, width), of points (m, width, 1)."""
        return np.sinh(points[..., 0]) * std + mean

    def levels(self, size: int) -> np.ndarray:
        """Return an even grid of codes, float32 (size, 1), whatever quantizer the settings name."""
        reach = np.arcsinh(REACH)
        return np.linspace(-reach, reach, size, dtype=np.float32)[:, None]


@dataclass(frozen=True)
class CoefficientTokenizer(GridTokenizer):
    """The codes of one group of spectra that are coefficients.

    Attributes
    ----------
    functions : float64 (n, L)
        Basis functions at `wave`, where decoded spectra are evaluated.
    noise : float64 (n,)
        Typical error of each coefficient relative to the mean error of its spectrum.
    """

    functions: np.ndarray
    noise: np.ndarray

    space: ClassVar[FeatureSpace] = CoefficientFeatures()
    stored: ClassVar[tuple[str, ...]] = ("wave", "functions", "noise")

    @classmethod
    def parameters(
        cls, group: str, settings: GroupSettings, noise: NoiseProfile
    ) -> dict[str, np.ndarray | int]:
        """Return the basis functions of a group and the typical noise of its coefficients."""
        kind = coefficient_group(group)
        return {
            "wave": kind.grid(settings).points(),
            "functions": kind.functions(settings),
            "noise": noise.typical(kind.n_coefficients),
        }

    def observed(self, batch: SpectrumBatch) -> tuple[np.ndarray, np.ndarray]:
        """Return flux and inverse variance at `wave`, float64 (m, L), with the correlations."""
        return evaluate_functions(batch.flux, batch.ivar, self.functions, batch.correlation)

    def scale(self, batch: SpectrumBatch) -> np.ndarray:
        """Return the exact flux scale of each spectrum, float64 (m,); NaN without a good pixel."""
        return root_mean_square(batch.flux, batch.ivar)

    def encode(
        self, flux: np.ndarray, ivar: np.ndarray, code_scale: ScaleCoder
    ) -> tuple[np.ndarray, np.ndarray]:
        """Encode spectra of coefficients (m, n): codes, uint16 (m, n + 1), and scale codes (m,).

        Raises
        ------
        DataError
            Where the spectra have another number of coefficients.
        """
        if flux.shape != ivar.shape or flux.shape[1:] != self.noise.shape:
            must = f"of shape (m, {len(self.noise)})"
            got = f"{flux.shape}, {ivar.shape}"
            raise DataError(must_be(f"{self.group} coefficients and ivar", must, got))
        scale_codes, scale = near_scales(root_mean_square(flux, ivar), code_scale)
        return self.nearest(relative_features(flux, ivar, scale)), scale_codes

    def coefficients(self, codes: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Decode coefficients and their errors, float64 (m, n) each; NaN where a code is missing.

        Parameters
        ----------
        codes : uint16 (m, n + 1)
            Codes of the spectra.
        scale : float64 (m,)
            Flux scale of each spectrum.

        Raises
        ------
        FormatError
            Where a code is not in the codebook.
        """
        features = self.features(codes)
        errors = np.exp(features[:, -1:]) * self.noise
        return features[:, :-1] * scale[:, None], errors * scale[:, None]

    def decode(self, codes: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Decode the fluxes of spectra at `wave`, float64 (m, L) each; NaN where a code is missing.

        The inverse variance is that of coefficients with independent errors.
        """
        coefficients, errors = self.coefficients(codes, scale)
        flux, ivar = evaluate_functions(coefficients, errors**-2, self.functions)
        return flux, np.where(np.isfinite(flux), ivar, np.nan)

    def unit_values(self, slot: int) -> np.ndarray:
        """Return the coefficient of each code in units of the scale, (k, 1); noise has 0."""
        if slot == len(self.noise):
            return np.zeros((len(self.centroids), 1))
        return self.space.restore(self.centroids, self.mean[slot], self.std[slot])[:, None]

    def moments(self, first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean and the mean square of fluxes at `wave`, float64 (m, L) each."""
        mean, variance = first[:, :-1, 0] @ self.functions, (second - first**2)[:, :-1, 0]
        return mean, mean**2 + np.maximum(variance, 0) @ self.functions**2


def root_mean_square(coefficients: np.ndarray, ivar: np.ndarray) -> np.ndarray:
    """Return the scale of spectra: the root mean square of coefficients and errors.

    Parameters
    ----------
    coefficients, ivar : float (m, n)
        Spectra as `CoefficientGroup` reads them.

    Returns
    -------
    float64 (m,)
        Positive, in the unit of the coefficients; NaN for a dead spectrum.
    """
    good = (ivar > 0).all(axis=1)
    scale = np.full(len(ivar), np.nan)
    squares = coefficients[good].astype(np.float64) ** 2 + 1 / ivar[good].astype(np.float64)
    scale[good] = np.sqrt(squares.mean(axis=1))
    return scale


def relative_features(coefficients: np.ndarray, ivar: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return coefficients / scale and ln(mean error / scale), float64 (m, n + 1).

    Parameters
    ----------
    coefficients, ivar : float (m, n)
        Spectra as `CoefficientGroup` reads them.
    scale : float64 (m,)
        Scale of each spectrum; NaN for a dead one, all of whose features are NaN.
    """
    live = np.isfinite(scale)
    features = np.full((len(scale), coefficients.shape[1] + 1), np.nan)
    relative = scale[live, None]
    features[live, :-1] = coefficients[live] / relative
    noise = -0.5 * np.log(ivar[live], dtype=np.float64).mean(axis=1)
    features[live, -1] = noise - np.log(scale[live])
    return features
