"""Codes of a field's spectra and light curves, on disk."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from astromodal.core.vocab import MISSING_CODE
from astromodal.data.cube import Cube
from astromodal.data.spectra import read_group
from astromodal.storage.arrays import check_maker, load_arrays, save_arrays
from astromodal.storage.hashing import hash_values
from astromodal.tokenizers.spectra.groups import EncodedBatch
from astromodal.tokenizers.spectra.tokenizer import SpectrumTokenizer

_FORMAT: dict[str, Any] = {"format": "spectrum_tokens", "version": 1}
_GROUP_ARRAYS = ("codes", "indptr", "scale")

_NOTHING = EncodedBatch(np.empty(0, np.uint16), np.empty(0, np.int64), np.empty(0, np.uint16))


@dataclass(frozen=True)
class GroupTokens:
    """Codes of one group, for all objects of a field.

    Attributes
    ----------
    codes : uint16 (sum of lengths,)
        Codes of all objects, one object after another; 65535 where missing.
    indptr : int64 (n + 1,)
        The codes of object i are ``codes[indptr[i]:indptr[i + 1]]``: all bins of a spectrum, all
        good epochs of a light curve, or none where it has no live one of this group.
    scale : uint16 (n,)
        Codes of the scales; 65535 where there is no live spectrum or light curve.
    """

    codes: np.ndarray
    indptr: np.ndarray
    scale: np.ndarray

    @classmethod
    def of_rows(
        cls,
        row: np.ndarray,
        own: np.ndarray,
        codes: np.ndarray,
        lengths: np.ndarray,
        scale: np.ndarray,
    ) -> GroupTokens:
        """Place the codes of a group's objects among all objects.

        Parameters
        ----------
        row : int32 (n,)
            Rows of all objects, ascending.
        own : int32 (m,)
            Rows of this group's objects, ascending, all of them in `row`.
        codes : uint16 (sum of lengths,)
            Their codes, one object after another.
        lengths : int64 (m,)
            Number of codes of each.
        scale : uint16 (m,)
            Codes of their scales.
        """
        place = np.searchsorted(row, own)
        every = np.zeros(len(row), dtype=np.int64)
        every[place] = lengths
        scales = np.full(len(row), MISSING_CODE, dtype=np.uint16)
        scales[place] = scale
        return cls(codes, np.concatenate([[0], np.cumsum(every)]).astype(np.int64), scales)


@dataclass(frozen=True)
class SpectrumTokens:
    """Codes of a field's objects that have a spectrum or a light curve of any group.

    Attributes
    ----------
    ids : unicode (n,)
        Identifiers.
    row : int32 (n,)
        Rows in the cube, ascending.
    groups : dict of str to GroupTokens
        Codes of every group of the tokenizer.
    counts : dict
        By group, `n_spectra` (spectra or light curves) and `n_live` (with a good pixel or epoch).
    tokenizer_hash, input_hash : str
        Hashes of the tokenizer, and of the spectra and light curves that were encoded.
    """

    ids: np.ndarray
    row: np.ndarray
    groups: dict[str, GroupTokens]
    counts: dict[str, dict[str, int]]
    tokenizer_hash: str
    input_hash: str

    def codes(self, group: str, i: int) -> np.ndarray:
        """Return the codes of object number `i`, uint16 (L,); none where it has no spectrum."""
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


def encode_field_spectra(cube: Cube, tokenizer: SpectrumTokenizer) -> SpectrumTokens:
    """Encode every spectrum and light curve of a cube; rows without any are left out."""
    groups = {name: _encode_group(cube, tokenizer, name) for name in tokenizer.groups}
    row = np.unique(np.concatenate([group.row for group in groups.values()]))
    return SpectrumTokens(
        ids=cube.ids()[row],
        row=row,
        groups={name: group.tokens(row) for name, group in groups.items()},
        counts={name: group.counts() for name, group in groups.items()},
        tokenizer_hash=tokenizer.hash,
        input_hash=hash_values({name: group.input_hash for name, group in groups.items()}),
    )


def load_spectrum_tokens(path: str | Path, tokenizer_hash: str | None = None) -> SpectrumTokens:
    """Read what `SpectrumTokens.save` wrote.

    Raises
    ------
    FormatError
        Where the codes were made by another tokenizer than the one of `tokenizer_hash`.
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
class _EncodedGroup:
    """Codes of one group's objects; an object without a good pixel or epoch has no scale code."""

    row: np.ndarray  # (m,) int32, ascending
    live: np.ndarray  # (m,) bool
    encoded: EncodedBatch
    input_hash: str

    def counts(self) -> dict[str, int]:
        return {"n_spectra": len(self.row), "n_live": int(self.live.sum())}

    def tokens(self, row: np.ndarray) -> GroupTokens:
        """Return the codes of the objects at `row` (n,), which holds all rows of this group."""
        codes, lengths, scale = self.encoded
        known = scale != MISSING_CODE
        codes = codes[np.repeat(known, lengths)]
        return GroupTokens.of_rows(row, self.row[known], codes, lengths[known], scale[known])


def _encode_group(cube: Cube, tokenizer: SpectrumTokenizer, group: str) -> _EncodedGroup:
    """Encode all spectra or light curves of a group; light curves are not cut to any length."""
    kind = tokenizer[group]
    digests = [hashlib.sha256() for _ in range(kind.n_hashed)]
    rows, live, parts = [np.empty(0, np.int32)], [np.empty(0, bool)], [_NOTHING]
    for batch in read_group(cube, group):
        # Streams of values: the hash does not depend on the number of rows read at a time.
        for digest, array in zip(digests, kind.hashed(batch), strict=True):
            digest.update(np.ascontiguousarray(array).data)
        rows.append(batch.row)
        live.append(batch.live())
        parts.append(tokenizer.encode_batch(group, batch))
    return _EncodedGroup(
        np.concatenate(rows),
        np.concatenate(live),
        EncodedBatch(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True))),
        hash_values([digest.hexdigest() for digest in digests]),
    )
