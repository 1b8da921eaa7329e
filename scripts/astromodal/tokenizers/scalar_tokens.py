"""Scalar codes of a field, on disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from astromodal.core.files import check_maker, load_arrays, save_arrays
from astromodal.core.hashing import hash_arrays
from astromodal.data.cube import Cube
from astromodal.data.splits import Split
from astromodal.tokenizers.scalar import ScalarTokenizer

_FORMAT: dict[str, Any] = {"format": "scalar_tokens", "version": 1}


@dataclass(frozen=True)
class ScalarTokens:
    """Codes of a field's selected rows."""

    ids: np.ndarray  # (n,) unicode
    row: np.ndarray  # (n,) int32, row in the cube
    codes: np.ndarray  # (n, C) uint16; 65535 where missing
    columns: np.ndarray  # (C,) unicode
    n_bins: int
    tokenizer_hash: str
    input_hash: str

    def save(self, path: str | Path) -> None:
        """Write an array file."""
        arrays = {"ids": self.ids, "row": self.row, "codes": self.codes, "columns": self.columns}
        arrays["n_bins"] = np.array(self.n_bins)
        hashes: dict[str, Any] = {
            "tokenizer_hash": self.tokenizer_hash,
            "input_hash": self.input_hash,
        }
        save_arrays(path, arrays, **_FORMAT, **hashes)


def encode_field_scalars(cube: Cube, split: Split, tokenizer: ScalarTokenizer) -> ScalarTokens:
    """Encode the scalars of a cube's selected rows; columns that the cube lacks are missing."""
    row = np.flatnonzero(split.selected).astype(np.int32)
    values = cube.scalars(tokenizer.columns)[row]
    ids = split.ids[row]
    return ScalarTokens(
        ids=ids,
        row=row,
        codes=tokenizer.encode(values),
        columns=np.array(tokenizer.columns, dtype=np.str_),
        n_bins=tokenizer.n_bins,
        tokenizer_hash=tokenizer.hash,
        input_hash=hash_arrays({"ids": ids, "row": row, "values": values}),
    )


def load_scalar_tokens(path: str | Path, tokenizer_hash: str | None = None) -> ScalarTokens:
    """Read scalar codes.

    Raises
    ------
    FormatError
        Where they were made by another tokenizer than the one of `tokenizer_hash`.
    """
    stored = load_arrays(path, **_FORMAT)
    check_maker(path, stored, tokenizer_hash, "scalar codes", "encode_scalars")
    arrays = {name: stored[name] for name in ("ids", "row", "codes", "columns")}
    return ScalarTokens(
        **arrays,
        n_bins=int(stored["n_bins"]),
        tokenizer_hash=stored.attributes["tokenizer_hash"],
        input_hash=stored.attributes["input_hash"],
    )
