"""Codes of spectra on a grid: pairs of bins relative to the spectrum's own scale, and its noise.

The *scale* is the median over good bins of sqrt(flux² + error²): the typical flux of a bright
spectrum, the noise of an empty one, and never 0. A code stands for two neighbouring bins, whose
features are

    mean = (flux1 + flux2) / (2 scale)                       compressed to arcsinh(mean)
    contrast = (flux1 - flux2) / (2 scale sqrt(1 + mean²))   compressed to t arcsinh(contrast / t)

The mean is near 1 in any continuum, whatever the S/N. Up to about the continuum, arcsinh keeps an
absolute error in units of the scale: noise around 0, with its negative fluxes, keeps its shape.
Above, it keeps a relative error: an emission line a hundred times the continuum costs a few codes.
Up to t = `CONTRAST`, an error counts the same in both features; above, that of the mean counts
more, since the flux of a line is the sum over its bins.

The noise of a spectrum is the typical noise of the training spectra, bin by bin, times a smooth
function: its mean logarithm in eight segments of the range, interpolated. These eight levels,
ln(scale / noise), are coded by the same codebook, two a code, behind the bins. So no bin spends its
code on its error.

A codebook is not fitted on the training bins as they are, but on

- bins drawn in proportion to their precision, scale / error, a tenth aside: an error of flux counts
  in units of the noise, which is large where the precision is;
- artificial lines up to `BRIGHTEST_LINE` scales, and dips down to `DEEPEST_DIP`: lines, and what a
  wrong sky leaves, differ more than continua do, and the strongest ones of a survey are not among a
  few hundred training spectra;
- the noise of the training spectra.

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
from astromodal.surveys.spectra import (
    BINS_PER_CODE,
    NOISE_CODES,
    SpectrumBatch,
    good_pixels,
    n_pairs,
)
from astromodal.tokenizers.spectra.bins import (
    NoiseProfile,
    between_segments,
    in_bins,
    in_pairs,
    noise_levels,
    object_scale,
    rebin,
    to_pixels,
)
from astromodal.tokenizers.spectra.groups import (
    FeatureSpace,
    GridTokenizer,
    ScaleCoder,
    near_scales,
)

N_SEGMENTS = NOISE_CODES * BINS_PER_CODE
"""Segments of the range in which the noise is measured."""
CONTRAST = 0.2
"""Contrast of two bins above which its error counts less than that of their mean."""
NOISE_STRETCH = 3.0
"""ln(scale / noise) is divided by this, which brings it to where codes of flux are dense."""
BRIGHTEST_LINE = 1000.0
"""Largest flux of an artificial line in a bin, in scales of its spectrum."""
DEEPEST_DIP = -100.0
"""Smallest flux of an artificial dip in a bin, in scales of its spectrum."""
SHARE_OF_LINES = 0.03
"""Artificial lines per training sample."""
SHARE_OF_DIPS = 0.003
"""Artificial dips per training sample."""
SHARE_OF_NOISE = 0.02
"""Samples of noise per training sample."""
SHARE_ALIKE = 0.1
"""Probability that a sample is drawn from all training bins alike, not by their precision."""


class SpectrumFeatures(FeatureSpace):
    """Mean and contrast of a pair of bins, or of two levels of noise, and the scale of a spectrum.

    A training sample has these two features, and ln(precision), which is NaN for levels of noise:
    by it samples are drawn, and it is not quantized.
    """

    weights: ClassVar[np.ndarray] = np.ones(BINS_PER_CODE)

    def width(self, group: str) -> int:
        """Return the number of features of a training sample."""
        return BINS_PER_CODE + 1

    def measure_noise(
        self,
        group: str,
        batches: Iterable[SpectrumBatch],
        rows_fit: np.ndarray,
        settings: GroupSettings,
    ) -> NoiseProfile:
        """Measure the typical noise of each pixel."""
        return NoiseProfile.of_batches(batches, rows_fit)

    def sample(
        self,
        group: str,
        batch: SpectrumBatch,
        chosen: np.ndarray,
        settings: GroupSettings,
        noise: NoiseProfile,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Compute the scales of the chosen spectra, and the features of their bins and noise."""
        length, factor = batch.flux.shape[1], grid_group(group).bin_factor(settings)
        flux, ivar = rebin(batch.flux[chosen], batch.ivar[chosen], factor, noise.weights(length))
        scale = object_scale(flux, ivar)
        return scale, training_samples(flux, ivar, scale, noise.of_bins(length, factor))

    def standardisation(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean and the divisor, float64 (3,) each: one divisor for both features."""
        means = features[np.isfinite(features[:, -1]), 0].astype(np.float64)
        spread = means.std() if means.size else 0.0
        middle = means.mean() if means.size else 0.0
        divisor = spread if spread > 0 else 1.0
        return np.array([middle, 0.0, 0.0]), np.array([divisor, divisor, 1.0])

    def standardise(self, features: np.ndarray, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
        """Return the points that are quantized, float64 (…, 2), of the first two features."""
        own = slice(0, BINS_PER_CODE)
        return (features[..., own] - mean[own]) / std[own]

    def restore(self, points: np.ndarray, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
        """Undo `standardise`, float64 (…, 2)."""
        return points * std[:BINS_PER_CODE] + mean[:BINS_PER_CODE]

    def to_fit(self, features: np.ndarray, seed: int) -> np.ndarray:
        """Return as many training bins as there are, drawn by precision, lines, dips and noise.

        A line is a pair of training bins of which one is raised to a random flux, and the other to
        a random part of it: the compressed flux is uniform between its own and that of
        `BRIGHTEST_LINE`. A dip is a pair that is lowered in the same way, below 0.
        """
        generator = np.random.default_rng(seed)
        is_bin = np.isfinite(features[:, -1])
        bins, noise = features[is_bin], features[~is_bin]
        n = len(bins)
        if not n:
            return features
        precision = np.exp(bins[:, -1], dtype=np.float64)
        probability = (1 - SHARE_ALIKE) * precision / precision.sum() + SHARE_ALIKE / n
        drawn = bins[generator.choice(n, n, p=probability)]
        lines = bins[generator.integers(0, n, round(SHARE_OF_LINES * n))]
        dips = bins[generator.integers(0, n, round(SHARE_OF_DIPS * n))]
        for changed, sign, reach in ((lines, 1.0, BRIGHTEST_LINE), (dips, -1.0, -DEEPEST_DIP)):
            flux = sign * _fluxes(changed[:, :-1])
            lowest = np.clip(np.arcsinh(flux.max(axis=1)), 0, np.arcsinh(reach))
            peak = np.sinh(generator.uniform(lowest, np.arcsinh(reach)))
            part = generator.uniform(size=flux.shape)
            part /= part.max(axis=1, keepdims=True)
            moved = sign * np.maximum(flux, peak[:, None] * part)
            _write_features(changed[:, :-1], *_mean_and_contrast(moved[:, 0], moved[:, 1]))
        n_levels = round(SHARE_OF_NOISE * n) if len(noise) else 0
        levels = noise[generator.integers(0, max(len(noise), 1), n_levels)]
        return np.concatenate([drawn, lines, dips, levels])


@dataclass(frozen=True)
class SpectrumGroupTokenizer(GridTokenizer):
    """The codebook of one group of spectra: a code for two bins, and four for the noise.

    Attributes
    ----------
    wave : float64 (L,)
        Mean wavelength of each bin, in the unit of the group's axis.
    weight : float64 (n_pixels,)
        Weight of each pixel in the mean of its bin.
    noise : float64 (L,)
        Typical noise of each bin, relative to that of the spectrum's pixels.
    factor : int
        Pixels per bin.
    """

    weight: np.ndarray
    noise: np.ndarray
    factor: int

    space: ClassVar[FeatureSpace] = SpectrumFeatures()
    stored: ClassVar[tuple[str, ...]] = ("wave", "weight", "noise", "factor")

    @classmethod
    def parameters(
        cls, group: str, settings: GroupSettings, noise: NoiseProfile
    ) -> dict[str, np.ndarray | int]:
        """Return the bins of a group, the weights of its pixels, and the noise of its bins."""
        kind = grid_group(group)
        length, factor = kind.grid(settings).length, kind.bin_factor(settings)
        return {
            "wave": kind.bin_centres(settings),
            "weight": noise.weights(length),
            "noise": noise.of_bins(length, factor),
            "factor": factor,
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
        """Encode spectra: codes, uint16 (m, slots), and one of the scale, uint16 (m,)."""
        binned = self.rebin(flux, ivar)
        scale_codes, scale = near_scales(object_scale(*binned), code_scale)
        return self.encode_bins(*binned, scale), scale_codes

    def encode_bins(self, flux: np.ndarray, ivar: np.ndarray, scale: np.ndarray) -> np.ndarray:
        """Return the codes, (m, slots), of rebinned spectra (m, L) relative to scales (m,)."""
        return self.nearest(compress(flux, ivar, scale, self.noise))

    def decode(self, codes: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Decode the bins of spectra, float64 (m, L) each; NaN where a code is missing."""
        return expand(self.features(codes), scale, self.noise)

    def unit_values(self, slot: int) -> np.ndarray:
        """Return the fluxes of each code in units of the scale, float64 (k, 2); noise has 0."""
        if slot >= n_pairs(len(self.wave)):
            return np.zeros((len(self.centroids), BINS_PER_CODE))
        return _fluxes(self.space.restore(self.centroids, self.mean, self.std))

    def moments(self, first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the moments of the bins, float64 (m, L) each."""
        return in_bins(first, len(self.wave)), in_bins(second, len(self.wave))


def compress(
    flux: np.ndarray, ivar: np.ndarray, scale: np.ndarray, noise: np.ndarray
) -> np.ndarray:
    """Compute the compressed features of rebinned spectra.

    Parameters
    ----------
    flux, ivar : float64 (m, L)
        Rebinned spectra, as `bins.rebin` returns them.
    scale : float64 (m,)
        Positive scale of each spectrum; NaN for one without a good bin.
    noise : float64 (L,)
        Typical noise of each bin, as `NoiseProfile.of_bins` returns it.

    Returns
    -------
    float64 (m, slots, 2)
        Compressed mean and contrast of the bins of each code: a bin without a good pixel has the
        flux of the other; NaN without a good pixel in both. Then those of the levels of noise.
    """
    n = n_pairs(flux.shape[1])
    features = np.empty((len(flux), n + NOISE_CODES, BINS_PER_CODE))
    pairs = in_pairs(np.where(ivar > 0, flux, np.nan) / scale[:, None])
    first, second = pairs[..., 0], pairs[..., 1]
    known = np.where(np.isnan(first), second, first), np.where(np.isnan(second), first, second)
    _write_features(features[:, :n], *_mean_and_contrast(*known))
    levels = noise_levels(ivar, scale, noise, N_SEGMENTS) / NOISE_STRETCH
    _write_features(features[:, n:], *_half_sums(levels[:, ::2], levels[:, 1::2]))
    return features


def expand(
    features: np.ndarray, scale: np.ndarray, noise: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Undo `compress`, but for details of the noise.

    Parameters
    ----------
    features : float64 (m, slots, 2)
        Compressed features; NaN where missing.
    scale : float64 (m,)
        Scale of each spectrum.
    noise : float64 (L,)
        Typical noise of each bin.

    Returns
    -------
    flux, ivar : float64 (m, L)
        NaN where missing.
    """
    n_bins = len(noise)
    flux = in_bins(_fluxes(features[:, : n_pairs(n_bins)]), n_bins) * scale[:, None]
    mean, half = _from_features(features[:, -NOISE_CODES:])
    levels = np.stack([mean + half, mean - half], axis=2) * NOISE_STRETCH
    level = between_segments(levels.reshape(len(features), N_SEGMENTS), n_bins)
    error = np.exp(-level) * noise * scale[:, None]
    return flux, np.where(np.isnan(flux), np.nan, error**-2)


def training_samples(
    flux: np.ndarray, ivar: np.ndarray, scale: np.ndarray, noise: np.ndarray
) -> np.ndarray:
    """Return the samples of rebinned spectra: features that are known, and ln(precision).

    Parameters
    ----------
    flux, ivar, scale, noise
        As for `compress`.

    Returns
    -------
    float64 (n, 3)
        Two features, and ln(scale / error) of the more precise bin; NaN for levels of noise.
    """
    features = compress(flux, ivar, scale, noise)
    largest = np.fmax.reduce(in_pairs(ivar), axis=2)
    with np.errstate(divide="ignore"):
        precision = np.log(np.sqrt(largest) * scale[:, None])
    precision = np.pad(precision, ((0, 0), (0, NOISE_CODES)), constant_values=np.nan)
    known = np.isfinite(features).all(axis=2)
    return np.concatenate([features, precision[..., None]], axis=2)[known]


def _write_features(features: np.ndarray, mean: np.ndarray, contrast: np.ndarray) -> None:
    """Fill `features` (…, 2) with means and compressed contrasts (…)."""
    features[..., 0] = mean
    features[..., 1] = CONTRAST * np.arcsinh(contrast / CONTRAST)


def _from_features(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Undo `_write_features`."""
    return features[..., 0], CONTRAST * np.sinh(features[..., 1] / CONTRAST)


def _mean_and_contrast(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return arcsinh(mean) and contrast of two fluxes in units of the scale."""
    mean, half = _half_sums(first, second)
    return np.arcsinh(mean), half / np.sqrt(1 + mean**2)


def _half_sums(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return half the sum and half the difference of two arrays."""
    return (first + second) / 2, (first - second) / 2


def _fluxes(features: np.ndarray) -> np.ndarray:
    """Return the fluxes of two bins in units of the scale, float64 (…, 2)."""
    compressed, contrast = _from_features(features)
    mean = np.sinh(compressed)
    half = contrast * np.sqrt(1 + mean**2)
    return np.stack([mean + half, mean - half], axis=-1)
