"""Codes of spectra on a grid: pairs of bins relative to the local scale, and levels.

`astromodal.tokenizers.spectra.pairs` describes the features of a code. The levels of noise and of
the local scale are coded first, and pairs of bins are coded relative to the local scale that these
codes decode to, so that encoding and decoding agree on it.

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
from astromodal.tokenizers.spectra.pairs import (
    N_LOCAL,
    expand,
    features_of,
    level_features,
    levels_of,
    local_fluxes,
    local_scale,
    pair_features,
    training_samples,
    two_levels,
)

BRIGHTEST_LINE = 1500.0
"""Largest flux of an artificial line in a bin, in local scales: 1,000 times a clear continuum."""
DEEPEST_DIP = -150.0
"""Smallest flux of an artificial dip in a bin, in local scales."""
FEWEST_SAMPLES = 8000
"""Fewest bins that are drawn, more than once each where there are fewer: lines are reproduced
well or badly by the seed where a codebook is fitted on a hundred of them."""
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
        """Return training bins, drawn by precision, and lines, dips and levels.

        As many bins are drawn as there are, but at least `FEWEST_SAMPLES`.

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
        levels = self.nearest(level_features(flux, ivar, scale, self.noise))
        _, local = levels_of(self.features(levels))
        pairs = pair_features(flux, ivar, local_scale(local, scale, flux.shape[1]))
        return np.concatenate([self.nearest(pairs), levels], axis=1)

    def decode(self, codes: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Decode the bins of spectra, float64 (m, L) each; NaN where a code is missing."""
        return expand(self.features(codes), scale, self.noise)

    def unit_values(self, slot: int) -> np.ndarray:
        """Return the values of each code in a slot, float64 (k, 2).

        They are fluxes in local scales, levels of the local scale, and 0 for noise.
        """
        features = self.space.restore(self.centroids, self.mean, self.std)
        if slot < n_pairs(len(self.wave)):
            return local_fluxes(features)
        if slot < n_pairs(len(self.wave)) + NOISE_CODES:
            return np.zeros(features.shape)
        return two_levels(features)

    def moments(self, first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the moments of the bins, float64 (m, L) each.

        Local scales are taken to be lognormal: in the mean of their own distribution, a code of a
        bright line would outweigh all others, however improbable it is as a level.
        """
        n_bins = len(self.wave)
        level, square = (x[:, -LOCAL_CODES:].reshape(len(x), N_LOCAL) for x in (first, second))
        variance = np.maximum(square - level**2, 0)
        local = np.exp(level + variance / 2)
        unit = between_segments(local, n_bins)
        squared = unit**2 + between_segments(local**2 * np.expm1(variance), n_bins, power=2)
        return in_bins(first, n_bins) * unit, in_bins(second, n_bins) * squared
