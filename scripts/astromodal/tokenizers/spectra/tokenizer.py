"""The spectrum tokenizer: one codebook per group, and one scale per object.

A spectrum becomes one code per two bins of its grid, four codes for its noise, eight for its local
scales, and one for its flux scale. A spectrum that is published as coefficients becomes one code
per coefficient, one for their noise, and one for the scale. A light curve becomes one code per
epoch, of magnitude, precision and time step, and one code for its median magnitude, which is called
its scale too. Each group has a scalar column for its scales. The code of the scale is chosen first,
and bins, coefficients or epochs are encoded relative to the scale that it decodes to: so they
correct its rounding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np

from astromodal.config.schema import SpectrumSettings
from astromodal.core.vocab import MISSING_CODE
from astromodal.errors import ConfigError, FormatError, must_be, suggestion
from astromodal.storage.arrays import load_arrays, save_arrays
from astromodal.storage.formats import check_content, remake
from astromodal.storage.hashing import hash_arrays
from astromodal.surveys.group import Batch, GroupKind
from astromodal.surveys.light_curves import LightCurveBatch
from astromodal.surveys.registry import spectrum_group
from astromodal.tokenizers.light_curves import DecodedCurves, LightCurveGroupTokenizer
from astromodal.tokenizers.scalars.quantiles import ColumnSummaries
from astromodal.tokenizers.scalars.tokenizer import ScalarTokenizer
from astromodal.tokenizers.spectra.codebook import SpectrumCodebook
from astromodal.tokenizers.spectra.coefficients import CoefficientTokenizer
from astromodal.tokenizers.spectra.grids import SpectrumGroupTokenizer
from astromodal.tokenizers.spectra.groups import (
    EncodedBatch,
    GridTokenizer,
    GroupTokenizer,
    ScaleCoder,
)

KINDS: Final[dict[GroupKind, type[GroupTokenizer]]] = {
    "spectrum": SpectrumGroupTokenizer,
    "coefficients": CoefficientTokenizer,
    "light_curve": LightCurveGroupTokenizer,
}
"""The tokenizer of each kind of group."""
_FORMAT: dict[str, Any] = {"format": "spectrum_tokenizer", "version": 5}
_SEEN = "_seen"


@dataclass(frozen=True)
class SpectrumTokenizer:
    """The codebooks of all groups, by name, and the bins of their scales.

    Attributes
    ----------
    groups : dict of str to GroupTokenizer
        Tokenizers of the groups, in vocabulary order.
    scales : ScalarTokenizer
        Bins of log10 of the flux scales, or of the median magnitudes: one column
        ``spectrum_scale_{group}`` per group, in the same order.
    codebook_size : int
        Codes that the vocabulary holds for a group; a codebook may use fewer.
    seen : dict of str to bool (k,)
        Codes of a group that stand for training samples. A model has learned no others, and
        predicts none of them. All codes of a group that is not named.
    """

    groups: dict[str, GroupTokenizer]
    scales: ScalarTokenizer
    codebook_size: int
    seen: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __getitem__(self, group: str) -> GroupTokenizer:
        """Return the tokenizer of a group; raise `ConfigError` where no group has this name."""
        if group not in self.groups:
            message = must_be("spectrum group", f"one of {', '.join(self.groups)}", group)
            raise ConfigError(message + suggestion(group, self.groups))
        return self.groups[group]

    def spectrum(self, group: str) -> GridTokenizer:
        """Return the tokenizer of a group of spectra; raise `ConfigError` for light curves."""
        tokenizer = self[group]
        if not isinstance(tokenizer, GridTokenizer):
            raise ConfigError(must_be("group", "one of spectra", group, "use encode_curves"))
        return tokenizer

    def light_curve(self, group: str) -> LightCurveGroupTokenizer:
        """Return the tokenizer of a group of light curves; raise `ConfigError` for spectra."""
        tokenizer = self[group]
        if not isinstance(tokenizer, LightCurveGroupTokenizer):
            raise ConfigError(must_be("group", "one of light curves", group, "use encode"))
        return tokenizer

    @cached_property
    def hash(self) -> str:
        """Hash of all arrays that a code or its decoded value depends on."""
        return hash_arrays(self.arrays())

    @classmethod
    def assemble(
        cls, codebooks: Sequence[SpectrumCodebook], settings: SpectrumSettings, n_bins: int
    ) -> SpectrumTokenizer:
        """Join the codebooks of all groups.

        Parameters
        ----------
        codebooks : sequence of SpectrumCodebook
            One of every group of the settings, in any order.
        settings : SpectrumSettings
            Groups in vocabulary order, settings of the bins, and size of a codebook.
        n_bins : int
            Bins of a column of scales.

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
        groups = {
            c.group: _kind(c.group).fitted(c.group, c.quantizer, c.mean, c.std, settings, c.noise)
            for c in ordered
        }
        seen = {codebook.group: codebook.counts > 0 for codebook in ordered}
        return cls(groups, scales, settings.codebook_size, seen)

    def encode(
        self, group: str, flux: np.ndarray, ivar: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Encode spectra of a group.

        Parameters
        ----------
        group : str
            Name of the group.
        flux, ivar : float (m, n_pixels)
            Spectra as `data.spectra.read_spectra` yields them.

        Returns
        -------
        codes : uint16 (m, L)
            65535 in a bin without a good pixel, and everywhere without a codebook.
        scale_codes : uint16 (m,)
            Bin of the scale; 65535 where all of a spectrum's codes are missing.
        """
        return self.spectrum(group).encode(flux, ivar, self._scale_coder(group))

    def decode(
        self, group: str, codes: np.ndarray, scale_codes: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Decode spectra.

        Parameters
        ----------
        group : str
            Name of the group.
        codes : uint16 (m, L)
            Codes of the bins.
        scale_codes : uint16 (m,)
            Codes of the flux scales.

        Returns
        -------
        flux, ivar : float64 (m, L)
            Flux in the unit of the group, and its inverse variance; NaN where a code is missing.
        """
        return self.spectrum(group).decode(codes, self.decode_scale(group, scale_codes))

    def encode_curves(self, group: str, curves: LightCurveBatch) -> tuple[np.ndarray, np.ndarray]:
        """Encode light curves of a group.

        Parameters
        ----------
        group : str
            Name of the group.
        curves : LightCurveBatch
            m curves of n epochs in all, as `data.spectra.read_light_curves` yields them.

        Returns
        -------
        codes : uint16 (n,)
            65535 without a codebook.
        scale_codes : uint16 (m,)
            Bin of the median magnitude; 65535 for a curve without an epoch, or a codebook.
        """
        encoded = self.light_curve(group).encode_batch(curves, self._scale_coder(group))
        return encoded.codes, encoded.scale

    def encode_batch(self, group: str, batch: Batch) -> EncodedBatch:
        """Encode spectra or light curves of a group, as `data.spectra.read_group` yields them."""
        return self[group].encode_batch(batch, self._scale_coder(group))

    def decode_curves(
        self, group: str, codes: np.ndarray, indptr: np.ndarray, scale_codes: np.ndarray
    ) -> DecodedCurves:
        """Decode light curves.

        Parameters
        ----------
        group : str
            Name of the group.
        codes : uint16 (n,)
            Codes of all epochs; those of curve i are ``codes[indptr[i]:indptr[i + 1]]``.
        indptr : int64 (m + 1,)
            Where each curve starts and ends.
        scale_codes : uint16 (m,)
            Codes of the median magnitudes.

        Returns
        -------
        DecodedCurves
            NaN where a code is missing.
        """
        median = self.decode_scale(group, scale_codes)
        return self.light_curve(group).decode(codes, indptr, median)

    def decode_scale(self, group: str, scale_codes: np.ndarray) -> np.ndarray:
        """Return the scales of scale codes (m,), float64 (m,); NaN where missing.

        A flux in the group's unit for spectra, a median magnitude for light curves.
        """
        values = self.scales.decode(self._in_column(group, scale_codes, MISSING_CODE))
        return self[group].space.scale_from_column(values[:, self._column(group)])

    def standardised(self, group: str) -> np.ndarray:
        """Return the standardised centroids, float32 (codebook_size, D); 0 for unused codes."""
        centroids = self[group].centroids
        table = np.zeros((self.codebook_size, centroids.shape[1]), dtype=np.float32)
        table[: len(centroids)] = centroids
        return table

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays that `from_arrays` makes the same tokenizer from."""
        arrays = {
            f"{group}_{name}": array
            for group, tokenizer in self.groups.items()
            for name, array in tokenizer.arrays().items()
        }
        arrays |= {f"{group}{_SEEN}": mask for group, mask in self.seen.items()}
        arrays |= {f"scales_{name}": array for name, array in self.scales.arrays().items()}
        arrays["groups"] = np.array(list(self.groups), dtype=np.str_)
        arrays["codebook_size"] = np.array(self.codebook_size)
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> SpectrumTokenizer:
        """Return the tokenizer of the arrays that `arrays` returned."""
        groups: dict[str, GroupTokenizer] = {}
        for group in arrays["groups"].tolist():
            start = f"{group}_"
            own = {n.removeprefix(start): a for n, a in arrays.items() if n.startswith(start)}
            groups[group] = _kind(group).from_arrays(group, own)
        prefix = "scales_"
        scales = {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}
        masks = {
            group: arrays[f"{group}{_SEEN}"] for group in groups if f"{group}{_SEEN}" in arrays
        }
        size = int(arrays["codebook_size"])
        return cls(groups, ScalarTokenizer.from_arrays(scales), size, masks)

    def save(self, path: str | Path) -> None:
        """Write an array file that holds the hash of the tokenizer too."""
        save_arrays(path, self.arrays(), hash=self.hash, **_FORMAT)

    @classmethod
    def load(cls, path: str | Path) -> SpectrumTokenizer:
        """Read what `save` wrote; raise `FormatError` where its content has changed since."""
        stored = load_arrays(path, **_FORMAT)
        tokenizer = cls.from_arrays(stored.arrays)
        check_content(path, stored.attributes["hash"], tokenizer.hash, remake(_FORMAT["format"]))
        return tokenizer

    def _column(self, group: str) -> int:
        return self.scales.columns.index(scale_column(self[group].group))

    def _in_column(self, group: str, values: np.ndarray, rest: float) -> np.ndarray:
        """Return a table (m, groups) with values (m,) in the group's column, `rest` elsewhere."""
        table = np.full((len(values), len(self.scales.columns)), rest, dtype=values.dtype)
        table[:, self._column(group)] = values
        return table

    def _scale_coder(self, group: str) -> ScaleCoder:
        """Return what encodes the scales of a group."""
        tokenizer = self[group]

        def code(scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            column = tokenizer.space.scale_to_column(scale)
            table = self.scales.encode(self._in_column(group, column, np.nan))
            codes = table[:, self._column(group)]
            return codes, self.decode_scale(group, codes)

        return code


def _kind(group: str) -> type[GroupTokenizer]:
    """Return the class of a group's tokenizer."""
    return KINDS[spectrum_group(group).kind]


def scale_column(group: str) -> str:
    """Return the name of the scalar column with a group's scales."""
    return f"spectrum_scale_{group}"
