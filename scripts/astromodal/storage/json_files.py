"""JSON files, written atomically with a hash of their content."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from astromodal.errors import FormatError, must_be
from astromodal.storage.formats import check_content, remake
from astromodal.storage.hashing import hash_values
from astromodal.storage.tempfiles import write_text

_HASH = "content_hash"
"""Key of a JSON file's hash of everything else in it."""


def write_json(path: str | Path, values: object) -> None:
    """Write values as indented JSON, atomically; NaN and infinity are refused.

    A mapping also gets the hash of its content, under ``content_hash``; `read_json` removes it.
    """
    if isinstance(values, Mapping):
        plain = json.loads(json.dumps(values, allow_nan=False))  # as it will be read
        values = {**plain, _HASH: hash_values(plain)}
    write_text(path, json.dumps(values, indent=2, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    Raises
    ------
    FormatError
        If it is not JSON, or the hash in it is not that of its content. A file without a hash,
        which another program wrote, is not checked.
    """
    remedy = remake("")
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
        stored = values.pop(_HASH, None) if isinstance(values, dict) else None
        found = hash_values(values) if stored is not None else None
    except (ValueError, RecursionError) as error:
        raise FormatError(must_be(str(path), "a JSON file", str(error), remedy)) from error
    check_content(path, stored, found, remedy)
    return values
