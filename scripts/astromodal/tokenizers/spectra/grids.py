"""Codes of spectra on a grid: pairs of bins relative to the local scale, and levels.

The *scale* of a spectrum is the median over good bins of sqrt(flux² + error²): the typical flux of
a bright spectrum, the noise of an empty one, and never 0. The *local scale* is sqrt(flux² / 2 +
error²) near a bin: its mean logarithm in sixteen segments of the range, interpolated. A code stands
for two neighbouring bins, whose features are

    mean = (flux1 + flux2) / 2                         compressed to arcsinh(mean)
    contrast = (flux1 - flux2) / (2 sqrt(1 + mean²))   compressed to t arcsinh(contrast / t)

with each flux in units of the local scale at its bin. The mean is near 1.4 in any continuum:
few codes cover all slopes. Up to about the continuum, arcsinh keeps an absolute error: noise around
0 keeps its shape. Above, it keeps a relative error: an emission line costs a few codes. Up to t =
`CONTRAST`, an error counts the same in both features; above, that of the mean counts more, since
the flux of a line is the sum over its bins.

The noise of a spectrum is the typical noise of the training spectra, bin by bin, times a smooth
function: its mean logarithm in eight segments of the range, interpolated. These eight *levels*,
ln(scale / noise), and the sixteen of the local scale, ln(local scale / scale), are coded by the
same codebook, two a code, behind the bins. So no bin spends its code on its error. The levels are
coded first, and bins relative to the local scale that these codes decode to.

A codebook is not fitted on the training bins as they are, but on

- bins drawn in proportion to their precision, scale / error, a tenth aside: an error of flux counts
  in units of the noise, which is large where the precision is;
- artificial lines up to `BRIGHTEST_LINE` local scales, and dips down to `DEEPEST_DIP`: lines, and
  what a wrong sky leaves, differ more than continua do, and the strongest ones of a survey are not
  among a few hundred training spectra;
- the levels of the training spectra.

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
    LEVEL_CODES,
    LOCAL_CODES,
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
    local_levels,
    local_scale,
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
N_LOCAL = LOCAL_CODES * BINS_PER_CODE
"""Segments of the range in which the local scale is measured."""
CONTRAST = 0.2
"""Contrast of two bins above which its error counts less than that of their mean."""
STRETCH = 3.0
"""Levels are divided by this, which brings them to where codes of flux are dense."""
BRIGHTEST_LINE = 1500.0
"""Largest flux of an artificial line in a bin, in local scales: 1,000 times a clear continuum."""
DEEPEST_DIP = -150.0
"""Smallest flux of an artificial dip in a bin, in local scales."""
FEWEST_SAMPLES = 8000
"""Fewest bins that are drawn, many times each where need be: of fewer, lines are too few."""
SHARE_OF_LINES = 0.03
"""Artificial lines per bin that is drawn."""
SHARE_OF_DIPS = 0.003
"""Artificial dips per bin that is drawn."""
SHARE_OF_LEVELS = 0.03
"""Samples of levels per bin that is drawn."""
SHARE_ALIKE = 0.1
"""Probability that a sample is drawn from all training bins alike, not by their precision."""


class SpectrumFeatures(FeatureSpace):
    """Mean and contrast of a pair of bins, or of two levels, and the scale of a spectrum.

    A training sample has these two features, and ln(precision), which is NaN for levels: by it
    samples are drawn, and it is not quantized.
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
        """Compute the scales of the chosen spectra, and the features of their bins and levels."""
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
        """Return at least `FEWEST_SAMPLES` bins, drawn by precision, lines, dips and levels.

        A line is a pair of training bins of which one is raised to a random flux, and the other to
        a random part of it: the compressed flux is uniform between its own and that of
        `BRIGHTEST_LINE`. A dip is a pair that is lowered in the same way, below 0.
        """
        generator = np.random.default_rng(seed)
        is_bin = np.isfinite(features[:, -1])
        bins, levels = features[is_bin], features[~is_bin]
        if not len(bins):
            return features
        n = max(len(bins), FEWEST_SAMPLES)
        precision = np.exp(bins[:, -1], dtype=np.float64)
        probability = (1 - SHARE_ALIKE) * precision / precision.sum() + SHARE_ALIKE / len(bins)
        drawn = bins[generator.choice(len(bins), n, p=probability)]
        lines = bins[generator.integers(0, len(bins), round(SHARE_OF_LINES * n))]
        dips = bins[generator.integers(0, len(bins), round(SHARE_OF_DIPS * n))]
        for changed, sign, reach in ((lines, 1.0, BRIGHTEST_LINE), (dips, -1.0, -DEEPEST_DIP)):
            flux = sign * local_fluxes(changed[:, :-1])
            lowest = np.clip(np.arcsinh(flux.max(axis=1)), 0, np.arcsinh(reach))
            peak = np.sinh(generator.uniform(lowest, np.arcsinh(reach)))
            part = generator.uniform(size=flux.shape)
            part /= part.max(axis=1, keepdims=True)
            moved = sign * np.maximum(flux, peak[:, None] * part)
            changed[:, :-1] = features_of(moved[:, 0], moved[:, 1])
        n_levels = round(SHARE_OF_LEVELS * n) if len(levels) else 0
        levels = levels[generator.integers(0, max(len(levels), 1), n_levels)]
        return np.concatenate([drawn, lines, dips, levels])


@dataclass(frozen=True)
class SpectrumGroupTokenizer(GridTokenizer):
    """The codebook of one group of spectra: a code for two bins, and twelve for the levels.

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
        """Return flux and ivar in the bins, (m, L), of spectra; `DataError` for other lengths."""
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
        levels = self.nearest(level_features(flux, ivar, scale, self.noise))
        _, local = levels_of(self.features(levels))
        pairs = pair_features(flux, ivar, local_scale(local, scale, flux.shape[1]))
        return np.concatenate([self.nearest(pairs), levels], axis=1)

    def decode(self, codes: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Decode the bins of spectra, float64 (m, L) each; NaN where a code is missing."""
        return expand(self.features(codes), scale, self.noise)

    def unit_values(self, slot: int) -> np.ndarray:
        """Return fluxes in local scales, levels of the local scale, or 0 for noise, (k, 2)."""
        features = self.space.restore(self.centroids, self.mean, self.std)
        if slot < n_pairs(len(self.wave)):
            return local_fluxes(features)
        if slot < n_pairs(len(self.wave)) + NOISE_CODES:
            return np.zeros(features.shape)
        return two_levels(features)

    def moments(self, first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the moments of the bins, float64 (m, L) each, at the mean levels of local scales.

        In the mean of local scales, a code of a bright line would outweigh all others, however
        improbable it is as a level.
        """
        n_bins = len(self.wave)
        levels = first[:, -LOCAL_CODES:].reshape(len(first), N_LOCAL)
        local = local_scale(levels, np.ones(len(first)), n_bins)
        return in_bins(first, n_bins) * local, in_bins(second, n_bins) * local**2


def level_features(
    flux: np.ndarray, ivar: np.ndarray, scale: np.ndarray, noise: np.ndarray
) -> np.ndarray:
    """Compute the features of the levels of noise and local scale, float64 (m, LEVEL_CODES, 2).

    Rebinned spectra are flux and ivar, (m, L), relative to positive scales, (m,), and the typical
    noise of each bin is that of `NoiseProfile.of_bins`, (L,). NaN without a good bin.
    """
    levels = [
        noise_levels(ivar, scale, noise, N_SEGMENTS),
        local_levels(flux, ivar, scale, N_LOCAL),
    ]
    shape = len(flux), LEVEL_CODES, BINS_PER_CODE  # -1 would not do for no spectrum
    pairs = (np.concatenate(levels, axis=1) / STRETCH).reshape(shape)
    return _features(*_half_sums(pairs[..., 0], pairs[..., 1]))


def levels_of(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Undo `level_features`: levels of noise, float64 (m, 8), and of the local scale, (m, 16)."""
    levels = two_levels(features).reshape(len(features), N_SEGMENTS + N_LOCAL)
    return levels[:, :N_SEGMENTS], levels[:, N_SEGMENTS:]


def two_levels(features: np.ndarray) -> np.ndarray:
    """Return the two levels that features (…, 2) stand for, float64 (…, 2)."""
    mean, half = _from_features(features)
    return np.stack([mean + half, mean - half], axis=-1) * STRETCH


def pair_features(flux: np.ndarray, ivar: np.ndarray, local: np.ndarray) -> np.ndarray:
    """Compute the features of pairs of bins (m, pairs, 2), whose local scales are (m, L).

    A bin without a good pixel has the flux, in local scales, of the other; NaN without a good pixel
    in both.
    """
    pairs = in_pairs(np.where(ivar > 0, flux, np.nan) / local)
    first, second = pairs[..., 0], pairs[..., 1]
    known = np.where(np.isnan(first), second, first), np.where(np.isnan(second), first, second)
    return features_of(*known)


def compress(
    flux: np.ndarray, ivar: np.ndarray, scale: np.ndarray, noise: np.ndarray
) -> np.ndarray:
    """Compute features of pairs and levels, (m, slots, 2), of what `level_features` takes."""
    levels = level_features(flux, ivar, scale, noise)
    local = local_scale(levels_of(levels)[1], scale, flux.shape[1])
    return np.concatenate([pair_features(flux, ivar, local), levels], axis=1)


def expand(
    features: np.ndarray, scale: np.ndarray, noise: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return flux and ivar, float64 (m, L), of features (m, slots, 2); NaN where missing.

    It undoes `compress`, but for details of the noise.
    """
    n_bins = len(noise)
    level, local = levels_of(features[:, -LEVEL_CODES:])
    relative = in_bins(local_fluxes(features[:, : n_pairs(n_bins)]), n_bins)
    flux = relative * local_scale(local, scale, n_bins)
    error = np.exp(-between_segments(level, n_bins)) * noise * scale[:, None]
    return flux, np.where(np.isnan(flux), np.nan, error**-2)


def training_samples(
    flux: np.ndarray, ivar: np.ndarray, scale: np.ndarray, noise: np.ndarray
) -> np.ndarray:
    """Return the samples of what `level_features` takes, float64 (n, 3).

    Two features that are known, and ln(scale / error) of the more precise bin; NaN for levels.
    """
    features = compress(flux, ivar, scale, noise)
    largest = np.fmax.reduce(in_pairs(ivar), axis=2)
    with np.errstate(divide="ignore"):
        precision = np.log(np.sqrt(largest) * scale[:, None])
    precision = np.pad(precision, ((0, 0), (0, LEVEL_CODES)), constant_values=np.nan)
    known = np.isfinite(features).all(axis=2)
    return np.concatenate([features, precision[..., None]], axis=2)[known]


def features_of(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the compressed features of the fluxes (…) of two bins in local scales, (…, 2)."""
    mean, half = _half_sums(first, second)
    return _features(np.arcsinh(mean), half / np.sqrt(1 + mean**2))


def local_fluxes(features: np.ndarray) -> np.ndarray:
    """Undo `features_of`: the fluxes of two bins in local scales, float64 (…, 2)."""
    compressed, contrast = _from_features(features)
    mean = np.sinh(compressed)
    half = contrast * np.sqrt(1 + mean**2)
    return np.stack([mean + half, mean - half], axis=-1)


def _features(mean: np.ndarray, contrast: np.ndarray) -> np.ndarray:
    """Return features (…, 2) of means and contrasts (…), which are compressed."""
    features = np.empty((*mean.shape, BINS_PER_CODE))
    features[..., 0] = mean
    features[..., 1] = CONTRAST * np.arcsinh(contrast / CONTRAST)
    return features


def _from_features(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Undo `_features`."""
    return features[..., 0], CONTRAST * np.sinh(features[..., 1] / CONTRAST)


def _half_sums(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return half the sum and half the difference of two arrays."""
    return (first + second) / 2, (first - second) / 2
