"""Codes of spectra on a grid: flux and precision of a bin, relative to the spectrum's own scale.

The *scale* is the median over good bins of sqrt(flux² + error²): the typical flux of a bright
spectrum, the noise of an empty one, and never 0. The features are

    flux_norm = flux / scale            compressed to arcsinh(flux_norm)
    precision = scale * sqrt(ivar)      compressed to ln(precision)

flux_norm is near 1 in any continuum, whatever the S/N. precision is near 1 where there is only
noise, and near the S/N where there is a signal. The compressions are chosen for three reasons:

- Up to about the continuum, flux keeps an absolute error in units of the scale (arcsinh x ≈ x):
  noise around 0, with its negative fluxes, keeps its shape. Above, flux keeps a relative error
  (arcsinh x ≈ ln 2x): an emission line a hundred times the continuum costs a few codes.
- Precision keeps a relative error, from sky lines in noise to the brightest stars.
- Both have an inverse in closed form.

The cells of a codebook are round in the standardised features: an error of one standard deviation
counts the same in both. The flux matters more than its error, which is needed to some percent
only. So ln(precision) is standardised to an eighth of a standard deviation, which spends the codes
on flux. A codebook is not fitted on the training bins as they are, but on

- bins drawn in proportion to their precision, a fifth aside: an error of flux counts in units of
  the noise, which is large where the precision is;
- artificial emission lines up to `BRIGHTEST_LINE` scales: lines differ more than continua do, and
  the strongest ones of a survey are not among a few hundred training spectra.

docs/decisions.md has the measurements.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from astromodal.errors import DataError, must_be
from astromodal.surveys.group import GroupSettings
from astromodal.surveys.registry import grid_group
from astromodal.surveys.spectra import SpectrumBatch, good_pixels
from astromodal.tokenizers.spectra.bins import NoiseProfile, rebin, to_pixels
from astromodal.tokenizers.spectra.groups import (
    FeatureSpace,
    GridTokenizer,
    ScaleCoder,
    near_scales,
)

N_FEATURES = 2
FEATURE_WEIGHTS = np.array([1.0, 0.125])
"""Standard deviations of the standardised features: compressed flux_norm, compressed precision."""
BRIGHTEST_LINE = 1000.0
"""Largest flux of an artificial line in a bin, in scales of its spectrum."""
SHARE_OF_LINES = 0.02
"""Artificial lines per training sample."""
SHARE_ALIKE = 0.2
"""Probability that a sample is drawn from all training bins alike, not by their precision."""


class SpectrumFeatures(FeatureSpace):
    """Compressed flux and precision of a bin, and the flux scale of a spectrum."""

    weights: ClassVar[np.ndarray] = FEATURE_WEIGHTS

    def measure_noise(
        self,
        group: str,
        batches: Iterable[SpectrumBatch],
        rows_fit: np.ndarray,
        settings: GroupSettings,
    ) -> NoiseProfile:
        """Measure the typical noise of each pixel; unknown where a bin is a pixel."""
        if grid_group(group).bin_factor(settings) == 1:
            return NoiseProfile.unknown()
        return NoiseProfile.of_batches(batches, rows_fit)

    def sample(
        self,
        group: str,
        batch: SpectrumBatch,
        chosen: np.ndarray,
        settings: GroupSettings,
        noise: NoiseProfile,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Compute the flux scales of the chosen spectra, and the features of their good bins."""
        weight = noise.weights(batch.flux.shape[1])
        factor = grid_group(group).bin_factor(settings)
        flux, ivar = rebin(batch.flux[chosen], batch.ivar[chosen], factor, weight)
        scale = object_scale(flux, ivar)
        return scale, compress(flux, ivar, scale)[ivar > 0]

    def to_fit(self, features: np.ndarray, seed: int) -> np.ndarray:
        """Return as many training bins as there are, drawn by precision, and artificial lines.

        A line is a training bin whose flux is raised to a random one: the compressed flux is
        uniform up to that of `BRIGHTEST_LINE`. The precision is the bin's own.
        """
        generator = np.random.default_rng(seed)
        precision = np.exp(features[:, 1], dtype=np.float64)
        probability = (1 - SHARE_ALIKE) * precision / precision.sum() + SHARE_ALIKE / len(features)
        drawn = features[generator.choice(len(features), len(features), p=probability)]
        chosen = generator.integers(0, len(features), round(SHARE_OF_LINES * len(features)))
        lines = features[chosen]
        lowest = np.clip(lines[:, 0], 0, np.arcsinh(BRIGHTEST_LINE))
        lines[:, 0] = generator.uniform(lowest, np.arcsinh(BRIGHTEST_LINE))
        return np.concatenate([drawn, lines])


@dataclass(frozen=True)
class SpectrumGroupTokenizer(GridTokenizer):
    """The codebook of one group of spectra: one code per bin, relative to the flux scale.

    Attributes
    ----------
    wave : float64 (L,)
        Mean wavelength of each bin, in the unit of the group's axis.
    weight : float64 (n_pixels,)
        Weight of each pixel in the mean of its bin.
    factor : int
        Pixels per bin.
    """

    weight: np.ndarray
    factor: int

    space: ClassVar[FeatureSpace] = SpectrumFeatures()
    stored: ClassVar[tuple[str, ...]] = ("wave", "weight", "factor")

    @classmethod
    def parameters(
        cls, group: str, settings: GroupSettings, noise: NoiseProfile
    ) -> dict[str, np.ndarray | int]:
        """Return the bins of a group and the weights of its pixels."""
        kind = grid_group(group)
        return {
            "wave": kind.bin_centres(settings),
            "weight": noise.weights(kind.grid(settings).length),
            "factor": kind.bin_factor(settings),
        }

    def rebin(self, flux: np.ndarray, ivar: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return flux and inverse variance in the bins, float64 (m, L), of spectra (m, n_pixels).

        Raises
        ------
        DataError
            Where the spectra have another length.
        """
        if flux.shape != ivar.shape or flux.shape[1:] != self.weight.shape:
            must = f"of shape (m, {len(self.weight)})"
            raise DataError(
                must_be(f"{self.group} flux and ivar", must, f"{flux.shape}, {ivar.shape}")
            )
        return rebin(flux, ivar, self.factor, self.weight)

    def observed(self, batch: SpectrumBatch) -> tuple[np.ndarray, np.ndarray]:
        """Return flux and inverse variance in the bins, float64 (m, L)."""
        return self.rebin(batch.flux, batch.ivar)

    def measured(self, batch: SpectrumBatch) -> tuple[np.ndarray, np.ndarray]:
        """Return flux and inverse variance of the native pixels, float64 (m, n_pixels)."""
        good = good_pixels(batch.flux, batch.ivar)
        return batch.flux.astype(np.float64), np.where(good, batch.ivar, 0.0)

    def at_pixels(self, flux: np.ndarray) -> np.ndarray:
        """Return fluxes of native pixels, float64 (m, n_pixels), as smooth as the bins allow."""
        return to_pixels(flux, self.factor, self.weight)

    def scale(self, batch: SpectrumBatch) -> np.ndarray:
        """Return the exact flux scale of each spectrum, float64 (m,); NaN without a good pixel."""
        return object_scale(*self.observed(batch))

    def encode(
        self, flux: np.ndarray, ivar: np.ndarray, code_scale: ScaleCoder
    ) -> tuple[np.ndarray, np.ndarray]:
        """Encode spectra: one code per bin, uint16 (m, L), and one of the scale, uint16 (m,)."""
        binned = self.rebin(flux, ivar)
        scale_codes, scale = near_scales(object_scale(*binned), code_scale)
        return self.encode_bins(*binned, scale), scale_codes

    def encode_bins(self, flux: np.ndarray, ivar: np.ndarray, scale: np.ndarray) -> np.ndarray:
        """Return the codes, uint16 (m, L), of rebinned spectra (m, L) relative to scales (m,)."""
        return self.nearest(compress(flux, ivar, scale))

    def decode(self, codes: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Decode the bins of spectra, float64 (m, L) each; NaN where a code is missing."""
        return expand(self.features(codes), scale)

    def unit_values(self, slot: int) -> np.ndarray:
        """Return the flux of each code in units of the scale, float64 (k,), for any bin."""
        codes = np.arange(len(self.centroids))[None]
        return expand(self.features(codes), np.ones(1))[0][0]

    def moments(self, first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the moments as they are: a slot is a bin."""
        return first, second


def object_scale(flux: np.ndarray, ivar: np.ndarray) -> np.ndarray:
    """Return the scale of rebinned spectra: the median of sqrt(flux² + 1 / ivar) over good bins.

    Parameters
    ----------
    flux, ivar : float64 (m, L)
        Rebinned spectra, as `bins.rebin` returns them.

    Returns
    -------
    float64 (m,)
        Positive, in the unit of flux; NaN without a good bin.
    """
    good = ivar > 0
    size = np.full(flux.shape, np.inf)
    size[good] = np.hypot(flux[good], 1 / np.sqrt(ivar[good]))
    size.sort(axis=1)
    n_good = good.sum(axis=1)
    pair = np.stack([np.maximum(n_good - 1, 0) // 2, n_good // 2], axis=1)
    pair = np.minimum(pair, flux.shape[1] - 1)
    return np.where(n_good > 0, np.take_along_axis(size, pair, axis=1).mean(axis=1), np.nan)


def compress(flux: np.ndarray, ivar: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Compute the compressed features of rebinned spectra.

    Parameters
    ----------
    flux, ivar : float64 (m, L)
        Rebinned spectra, as `bins.rebin` returns them.
    scale : float64 (m,)
        Positive scale of each spectrum; NaN for one without a good bin.

    Returns
    -------
    float64 (m, L, 2)
        arcsinh(flux_norm) and ln(precision); NaN in a bin without a good pixel.
    """
    good = (ivar > 0) & np.isfinite(scale)[:, None]
    features = np.full((*flux.shape, N_FEATURES), np.nan)
    relative = np.broadcast_to(scale[:, None], flux.shape)[good]
    features[good, 0] = np.arcsinh(flux[good] / relative)
    features[good, 1] = np.log(np.sqrt(ivar[good]) * relative)
    return features


def expand(features: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Undo `compress`.

    Parameters
    ----------
    features : float64 (m, L, 2)
        Compressed features; NaN where missing.
    scale : float64 (m,)
        Scale of each spectrum.

    Returns
    -------
    flux, ivar : float64 (m, L)
        NaN where missing.
    """
    flux = np.sinh(features[..., 0]) * scale[:, None]
    ivar = (np.exp(features[..., 1]) / scale[:, None]) ** 2
    return flux, ivar
