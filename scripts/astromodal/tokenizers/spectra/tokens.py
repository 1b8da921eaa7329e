"""Spectrum and light-curve codes of a field, on disk."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from astromodal.config.schema import SpectrumSettings
from astromodal.core.vocab import MISSING_CODE
from astromodal.data.cube import Cube
from astromodal.data.spectra import SpectrumBatch, read_spectra
from astromodal.storage.arrays import check_maker, load_arrays, save_arrays
from astromodal.storage.hashing import hash_values
from astromodal.surveys.grids import is_light_curve
from astromodal.tokenizers.light_curves.tokens import EncodedCurves, encode_light_curves
from astromodal.tokenizers.spectra.groups import GroupTokens
from astromodal.tokenizers.spectra.tokenizer import SpectrumTokenizer

_FORMAT: dict[str, Any] = {"format": "spectrum_tokens", "version": 1}
_GROUP_ARRAYS = ("codes", "indptr", "scale")


@dataclass(frozen=True)
class SpectrumTokens:
    """Codes of a field's objects that have a spectrum, or a light curve, of any group.

    Attributes
    ----------
    ids : unicode (n,)
        Identifiers.
    row : int32 (n,)
        Rows in the cube, ascending.
    groups : dict of str to GroupTokens
        Every group of the tokenizer.
    counts : dict
        Of each group, `n_spectra` (or light curves) and `n_live`, those with a good pixel or
        epoch.
    tokenizer_hash, input_hash : str
        Hashes of the tokenizer, and of the spectra that were encoded.
    """

    ids: np.ndarray
    row: np.ndarray
    groups: dict[str, GroupTokens]
    counts: dict[str, dict[str, int]]
    tokenizer_hash: str
    input_hash: str

    def codes(self, group: str, i: int) -> np.ndarray:
        """Codes of object number `i`, uint16 (L,), or (0,) where it has no such spectrum."""
        tokens = self.groups[group]
        return tokens.codes[tokens.indptr[i] : tokens.indptr[i + 1]]

    def save(self, path: str | Path) -> None:
        """Write an array file."""
        arrays = {
            f"{group}_{name}": getattr(tokens, name)
            for group, tokens in self.groups.items()
            for name in _GROUP_ARRAYS
        }
        arrays |= {"ids": self.ids, "row": self.row}
        hashes: dict[str, Any] = {
            "tokenizer_hash": self.tokenizer_hash,
            "input_hash": self.input_hash,
        }
        save_arrays(path, arrays, counts=self.counts, **hashes, **_FORMAT)


def encode_field_spectra(
    cube: Cube, tokenizer: SpectrumTokenizer, settings: SpectrumSettings
) -> SpectrumTokens:
    """Encode every spectrum and light curve of a cube; rows without any are left out."""
    encoded = {group: _encode_group(cube, tokenizer, group, settings) for group in tokenizer.groups}
    row = np.unique(np.concatenate([found.row for found in encoded.values()]))
    return SpectrumTokens(
        ids=cube.ids()[row],
        row=row,
        groups={group: found.tokens(row) for group, found in encoded.items()},
        counts={group: found.counts() for group, found in encoded.items()},
        tokenizer_hash=tokenizer.hash,
        input_hash=hash_values({group: found.input_hash for group, found in encoded.items()}),
    )


def load_spectrum_tokens(path: str | Path, tokenizer_hash: str | None = None) -> SpectrumTokens:
    """Read spectrum codes.

    Raises
    ------
    FormatError
        Where they were made by another tokenizer than the one of `tokenizer_hash`.
    """
    stored = load_arrays(path, **_FORMAT)
    attributes = stored.attributes
    check_maker(path, stored, tokenizer_hash, "spectrum codes", "encode_spectra")
    groups = {
        group: GroupTokens(*(stored[f"{group}_{name}"] for name in _GROUP_ARRAYS))
        for group in attributes["counts"]
    }
    return SpectrumTokens(
        stored["ids"],
        stored["row"],
        groups,
        attributes["counts"],
        attributes["tokenizer_hash"],
        attributes["input_hash"],
    )


@dataclass(frozen=True)
class _Encoded:
    """One group's spectra, row by row: those of dead fibres have live False and no known code."""

    row: np.ndarray  # (m,) int32
    live: np.ndarray  # (m,) bool
    codes: np.ndarray  # (m, L) uint16
    scale: np.ndarray  # (m,) uint16
    input_hash: str

    def counts(self) -> dict[str, int]:
        return {"n_spectra": len(self.row), "n_live": int(self.live.sum())}

    def tokens(self, row: np.ndarray) -> GroupTokens:
        """Codes of the objects at `row` (n,), which holds all rows of this group."""
        known = self.scale != MISSING_CODE
        codes = self.codes[known]
        lengths = np.full(len(codes), codes.shape[1], dtype=np.int64)
        return GroupTokens.of_rows(row, self.row[known], codes.ravel(), lengths, self.scale[known])


def _encode_group(
    cube: Cube, tokenizer: SpectrumTokenizer, group: str, settings: SpectrumSettings
) -> _Encoded | EncodedCurves:
    if is_light_curve(group):
        return encode_light_curves(cube, tokenizer, group)
    digests = [hashlib.sha256() for _ in range(3)]
    n_bins = len(tokenizer.spectrum(group).wave)
    rows, live = [np.empty(0, np.int32)], [np.empty(0, bool)]
    codes, scales = [np.empty((0, n_bins), np.uint16)], [np.empty(0, np.uint16)]
    for batch in read_spectra(cube, group, settings):
        _update(digests, batch)
        rows.append(batch.row)
        live.append(batch.live())
        bins, scale = tokenizer.encode(group, batch.flux, batch.ivar)
        codes.append(bins)
        scales.append(scale)
    text = hash_values([digest.hexdigest() for digest in digests])
    return _Encoded(
        np.concatenate(rows),
        np.concatenate(live),
        np.concatenate(codes),
        np.concatenate(scales),
        text,
    )


def _update(digests: list[hashlib._Hash], batch: SpectrumBatch) -> None:
    """Add a batch to the digests of rows, fluxes and ivars, which batch sizes do not change."""
    for digest, array in zip(digests, (batch.row, batch.flux, batch.ivar), strict=True):
        digest.update(np.ascontiguousarray(array).data)
