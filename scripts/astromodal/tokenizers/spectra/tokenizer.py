"""The spectrum tokenizer: a codebook of (flux, precision) a group, and a scale an object.

Groups of light curves are among its groups: their codebooks are of (magnitude, precision, time
step) an epoch, and their scale is the median magnitude.

A spectrum becomes one code a bin of its grid, and one code for its scale, in a scalar column of
its own. The scale's code is chosen first and the bins are encoded relative to the scale that it
decodes to, so what the scale's rounding leaves over is corrected by the bins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from astromodal.config.schema import SpectrumSettings
from astromodal.core.vocab import MISSING_CODE
from astromodal.data.light_curves import LightCurveBatch
from astromodal.errors import ConfigError, FormatError, must_be, suggestion
from astromodal.storage.arrays import load_arrays, save_arrays
from astromodal.storage.formats import check_content, remake
from astromodal.storage.hashing import hash_arrays
from astromodal.surveys.grids import bin_centres, bin_factor, is_light_curve, native_grid
from astromodal.tokenizers.light_curves.features import median_magnitude
from astromodal.tokenizers.light_curves.group import DecodedCurves, LightCurveGroupTokenizer
from astromodal.tokenizers.quantizers.nearest import unpack_quantizer
from astromodal.tokenizers.scalars.quantiles import ColumnSummaries
from astromodal.tokenizers.scalars.tokenizer import ScalarTokenizer
from astromodal.tokenizers.spectra.codebook import GroupTokenizer, SpectrumCodebook
from astromodal.tokenizers.spectra.features import object_scale
from astromodal.tokenizers.spectra.groups import scale_from_column, scale_to_column

_FORMAT: dict[str, Any] = {"format": "spectrum_tokenizer", "version": 1}
_STANDARDISATION = ("mean", "std")
_GRID = ("wave", "n_pixels", "factor")
SCALE_LEEWAY = 4.0
"""Most that the bins correct the scale by: beyond it, level gives way to shape."""
MEDIAN_LEEWAY = 0.5
"""Most (mag) that the epochs of a light curve correct its median by."""


@dataclass(frozen=True)
class SpectrumTokenizer:
    """All groups' codebooks, by name, and the bins of their scales.

    Attributes
    ----------
    groups : dict of str to GroupTokenizer or LightCurveGroupTokenizer
        In vocabulary order.
    scales : ScalarTokenizer
        Bins of log10(scale), or of a light curve's median magnitude, a column
        ``spectrum_scale_{group}`` each, in the same order.
    codebook_size : int
        Codes that the vocabulary holds for a group; a codebook may use fewer.
    """

    groups: dict[str, GroupTokenizer | LightCurveGroupTokenizer]
    scales: ScalarTokenizer
    codebook_size: int

    def __getitem__(self, group: str) -> GroupTokenizer | LightCurveGroupTokenizer:
        """Tokenizer of a group; raise `ConfigError` where there is none of that name."""
        if group not in self.groups:
            message = must_be("spectrum group", f"one of {', '.join(self.groups)}", group)
            raise ConfigError(message + suggestion(group, self.groups))
        return self.groups[group]

    def spectrum(self, group: str) -> GroupTokenizer:
        """Tokenizer of a group of spectra; raise `ConfigError` where it is another kind's."""
        found = self[group]
        if not isinstance(found, GroupTokenizer):
            raise ConfigError(must_be("group", "one of spectra", group, "use encode_curves"))
        return found

    def light_curve(self, group: str) -> LightCurveGroupTokenizer:
        """Tokenizer of a group of light curves; raise `ConfigError` where it is another kind's."""
        found = self[group]
        if not isinstance(found, LightCurveGroupTokenizer):
            raise ConfigError(must_be("group", "one of light curves", group, "use encode"))
        return found

    @cached_property
    def hash(self) -> str:
        """Hash of everything that decides on a code or its value."""
        return hash_arrays(self.arrays())

    @classmethod
    def assemble(
        cls, codebooks: Sequence[SpectrumCodebook], settings: SpectrumSettings, n_bins: int
    ) -> SpectrumTokenizer:
        """Put together the codebooks of all groups.

        Parameters
        ----------
        codebooks : sequence of SpectrumCodebook
            One of every group of the settings, in any order.
        settings : SpectrumSettings
            Groups in vocabulary order, grids, size of a codebook.
        n_bins : int
            Bins of a scale.

        Raises
        ------
        FormatError
            Where a group's codebook is missing.
        """
        named = {codebook.group: codebook for codebook in codebooks}
        if sorted(named) != sorted(settings.groups):
            must = f"of the groups {', '.join(settings.groups)}"
            raise FormatError(must_be("spectrum codebooks", must, ", ".join(named) or "none"))
        ordered = [named[group] for group in settings.groups]
        columns = [scale_column(codebook.group) for codebook in ordered]
        summaries = dict(zip(columns, (codebook.scale for codebook in ordered), strict=True))
        scales = ScalarTokenizer.fit(ColumnSummaries(summaries), columns, n_bins)
        groups = {codebook.group: _group_tokenizer(codebook, settings) for codebook in ordered}
        return cls(groups, scales, settings.codebook_size)

    def encode(
        self, group: str, flux: np.ndarray, ivar: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Encode spectra of a group.

        Parameters
        ----------
        group : str
            Spectrum group.
        flux, ivar : float (m, n_pixels)
            Spectra as `data.spectra.read_spectra` yields them.

        Returns
        -------
        codes : uint16 (m, L)
            65535 in a bin without a good pixel, and everywhere without a codebook.
        scale_codes : uint16 (m,)
            Bin of the scale; 65535 where all of a spectrum's codes are missing.
        """
        tokenizer = self.spectrum(group)
        binned = tokenizer.rebin(flux, ivar)
        exact = object_scale(*binned)
        scale_codes = self._scale_codes(group, exact)
        coded = self.decode_scale(group, scale_codes)
        used = np.clip(coded, exact / SCALE_LEEWAY, exact * SCALE_LEEWAY)
        return tokenizer.encode_bins(*binned, used), scale_codes

    def decode(
        self, group: str, codes: np.ndarray, scale_codes: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Flux and inverse variance, float64 (m, L), of codes (m, L) and scale codes (m,).

        In the units of the spectra that were encoded; NaN where a code is missing.
        """
        return self.spectrum(group).decode(codes, self.decode_scale(group, scale_codes))

    def encode_curves(self, group: str, curves: LightCurveBatch) -> tuple[np.ndarray, np.ndarray]:
        """Encode light curves of a group.

        Parameters
        ----------
        group : str
            Light-curve group.
        curves : LightCurveBatch
            m curves of n epochs in all, as `data.light_curves.read_light_curves` yields them.

        Returns
        -------
        codes : uint16 (n,)
            65535 without a codebook.
        scale_codes : uint16 (m,)
            Bin of the median magnitude; 65535 for a curve without an epoch, or a codebook.
        """
        exact = median_magnitude(curves)
        scale_codes = self._scale_codes(group, exact)
        coded = self.decode_scale(group, scale_codes)
        used = np.clip(coded, exact - MEDIAN_LEEWAY, exact + MEDIAN_LEEWAY)
        return self.light_curve(group).encode(curves, used), scale_codes

    def decode_curves(
        self, group: str, codes: np.ndarray, indptr: np.ndarray, scale_codes: np.ndarray
    ) -> DecodedCurves:
        """Light curves of codes (n,), of which curve i has ``codes[indptr[i]:indptr[i + 1]]``."""
        median = self.decode_scale(group, scale_codes)
        return self.light_curve(group).decode(codes, indptr, median)

    def decode_scale(self, group: str, scale_codes: np.ndarray) -> np.ndarray:
        """Scales or median magnitudes, float64 (m,), of scale codes (m,); NaN where missing."""
        values = self.scales.decode(self._in_column(group, scale_codes, MISSING_CODE))
        return scale_from_column(group, values[:, self._column(group)])

    def standardised(self, group: str) -> np.ndarray:
        """Centroids in standardised units, float32 (codebook_size, D); 0 for codes not in use."""
        centroids = self[group].centroids
        table = np.zeros((self.codebook_size, centroids.shape[1]), dtype=np.float32)
        table[: len(centroids)] = centroids
        return table

    def arrays(self) -> dict[str, np.ndarray]:
        """Plain arrays that `from_arrays` makes the same tokenizer from."""
        arrays: dict[str, np.ndarray] = {}
        for group, tokenizer in self.groups.items():
            grid = () if is_light_curve(group) else _GRID
            own = {name: getattr(tokenizer, name) for name in grid}
            own |= tokenizer.quantizer.packed()
            own |= {name: getattr(tokenizer, name) for name in _STANDARDISATION}
            arrays |= {f"{group}_{name}": np.asarray(array) for name, array in own.items()}
        arrays |= {f"scales_{name}": array for name, array in self.scales.arrays().items()}
        arrays["groups"] = np.array(list(self.groups), dtype=np.str_)
        arrays["codebook_size"] = np.array(self.codebook_size)
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> SpectrumTokenizer:
        """The tokenizer that `arrays` was called on."""
        groups: dict[str, GroupTokenizer | LightCurveGroupTokenizer] = {}
        for group in arrays["groups"].tolist():
            prefix = f"{group}_"
            own = {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}
            quantizer = unpack_quantizer(own, f"spectrum tokenizer, group {group}")
            standardisation = (own[name] for name in _STANDARDISATION)
            if is_light_curve(group):
                groups[group] = LightCurveGroupTokenizer(group, quantizer, *standardisation)
                continue
            grid = own["wave"], int(own["n_pixels"]), int(own["factor"])
            groups[group] = GroupTokenizer(group, *grid, quantizer, *standardisation)
        prefix = "scales_"
        scales = {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}
        return cls(groups, ScalarTokenizer.from_arrays(scales), int(arrays["codebook_size"]))

    def save(self, path: str | Path) -> None:
        """Write an array file that carries the tokenizer's own hash."""
        save_arrays(path, self.arrays(), hash=self.hash, **_FORMAT)

    @classmethod
    def load(cls, path: str | Path) -> SpectrumTokenizer:
        """Read what `save` wrote; raise `FormatError` where its content was changed since."""
        stored = load_arrays(path, **_FORMAT)
        tokenizer = cls.from_arrays(stored.arrays)
        check_content(path, stored.attributes["hash"], tokenizer.hash, remake(_FORMAT["format"]))
        return tokenizer

    def _column(self, group: str) -> int:
        return self.scales.columns.index(scale_column(self[group].group))

    def _in_column(self, group: str, values: np.ndarray, rest: float) -> np.ndarray:
        """Values (m,) in the group's column of a table (m, groups), the other columns `rest`."""
        table = np.full((len(values), len(self.scales.columns)), rest, dtype=values.dtype)
        table[:, self._column(group)] = values
        return table

    def _scale_codes(self, group: str, scale: np.ndarray) -> np.ndarray:
        codes = self.scales.encode(self._in_column(group, scale_to_column(group, scale), np.nan))
        return codes[:, self._column(group)]


def scale_column(group: str) -> str:
    """Name of the scalar column of a group's scales: log10 of a flux, or a median magnitude."""
    return f"spectrum_scale_{group}"


def decode_object(
    tokenizer: SpectrumTokenizer, group: str, codes: np.ndarray, scale_code: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Wavelength, flux and inverse variance, float64 (L,) each, of one object's codes (L,)."""
    flux, ivar = tokenizer.decode(group, codes[None], np.array([scale_code], dtype=np.uint16))
    return tokenizer.spectrum(group).wave, flux[0], ivar[0]


def _group_tokenizer(
    codebook: SpectrumCodebook, settings: SpectrumSettings
) -> GroupTokenizer | LightCurveGroupTokenizer:
    if is_light_curve(codebook.group):
        return LightCurveGroupTokenizer(
            codebook.group, codebook.quantizer, codebook.mean, codebook.std
        )
    return GroupTokenizer(
        group=codebook.group,
        wave=bin_centres(codebook.group, settings),
        n_pixels=native_grid(codebook.group, settings).length,
        factor=bin_factor(codebook.group, settings),
        quantizer=codebook.quantizer,
        mean=codebook.mean,
        std=codebook.std,
    )
