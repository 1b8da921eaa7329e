"""The tokenizer of one spectrum group: a codebook of (flux, precision)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from astromodal.core.vocab import MISSING_CODE
from astromodal.data.spectra import rebin
from astromodal.errors import DataError, FormatError, must_be
from astromodal.tokenizers.kmeans import Finder
from astromodal.tokenizers.spectrum_features import N_FEATURES, compress, expand, object_scale


@dataclass(frozen=True)
class GroupTokenizer:
    """The codebook of one group.

    Attributes
    ----------
    group : str
        Spectrum group.
    wave : float64 (L,)
        Mean wavelength of each bin: Angstrom (DESI) or pseudo-wavelength (Gaia XP).
    n_pixels, factor : int
        Pixels of a spectrum as it is read, and of a bin.
    centroids : float32 (k, 2)
        Centroids of the standardised features; none where the group has no training data.
    mean, std : float64 (2,)
        A compressed feature x is standardised to (x - mean) / std.
    """

    group: str
    wave: np.ndarray
    n_pixels: int
    factor: int
    centroids: np.ndarray
    mean: np.ndarray
    std: np.ndarray

    def rebin(self, flux: np.ndarray, ivar: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rebinned flux and ivar, float64 (m, L), of spectra (m, n_pixels).

        Raises
        ------
        DataError
            Where the spectra have another length.
        """
        if flux.shape != ivar.shape or flux.shape[1:] != (self.n_pixels,):
            must = f"of shape (m, {self.n_pixels})"
            raise DataError(
                must_be(f"{self.group} flux and ivar", must, f"{flux.shape}, {ivar.shape}")
            )
        return rebin(flux, ivar, self.factor)

    def encode(self, flux: np.ndarray, ivar: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Encode spectra relative to their own exact scale.

        Parameters
        ----------
        flux, ivar : float (m, n_pixels)
            Spectra as `data.spectra.read_spectra` yields them.

        Returns
        -------
        codes : uint16 (m, L)
            65535 in a bin without a good pixel, and everywhere without a codebook.
        scale : float64 (m,)
            Positive, in the unit of flux; NaN without a good pixel.
        """
        binned = self.rebin(flux, ivar)
        scale = object_scale(*binned)
        return self.encode_bins(*binned, scale), scale

    def encode_bins(self, flux: np.ndarray, ivar: np.ndarray, scale: np.ndarray) -> np.ndarray:
        """Codes, uint16 (m, L), of rebinned spectra (m, L) relative to the scales (m,) given."""
        codes = np.full(flux.shape, MISSING_CODE, dtype=np.uint16)
        features = compress(flux, ivar, scale)
        known = np.isfinite(features).all(axis=-1)
        if len(self.centroids) and known.any():
            codes[known] = self._finder.nearest((features[known] - self.mean) / self.std)
        return codes

    @cached_property
    def _finder(self) -> Finder:
        """Prepared once, for every batch of every field."""
        return Finder(self.centroids)

    def decode(self, codes: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Decode spectra.

        Parameters
        ----------
        codes : uint16 (m, L)
            Codes of the bins.
        scale : float64 (m,)
            Scale of each spectrum.

        Returns
        -------
        flux, ivar : float64 (m, L)
            NaN where a code is missing.

        Raises
        ------
        FormatError
            Where a code is not in the codebook.
        """
        known = codes != MISSING_CODE
        if known.any() and codes[known].max() >= len(self.centroids):
            must, got = f"below {len(self.centroids)}", int(codes[known].max())
            raise FormatError(must_be(f"codes of group {self.group}", must, got, "encode again"))
        features = np.full((*codes.shape, N_FEATURES), np.nan)
        features[known] = self.centroids[codes[known]] * self.std + self.mean
        return expand(features, scale)
