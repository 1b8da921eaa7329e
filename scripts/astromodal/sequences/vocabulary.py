"""The run's vocabulary on disk: which id means what, and which tokenizers it was made for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from astromodal.errors import FormatError, must_be
from astromodal.sequences.centroids import Tokenizers
from astromodal.sequences.layout import IMAGE, SCALAR, SPECTRUM, SequenceLayout
from astromodal.storage.json_files import read_json, write_json


def write_vocabulary(
    path: str | Path, layout: SequenceLayout, columns: tuple[str, ...], tokenizers: Tokenizers
) -> dict[str, Any]:
    """Check the tokenizers against the config's vocabulary, and write it.

    Parameters
    ----------
    path : path
        The JSON file to write.
    layout : SequenceLayout
        The layout of sequences.
    columns : tuple of str
        The config's scalar columns.
    tokenizers : Tokenizers
        The fitted tokenizers.

    Returns
    -------
    dict
        What was written: `VocabSpec.as_dict`, the scalar ``columns`` in the order of their ids
        (the spectra's scales last) and the ``tokenizer_hashes``.

    Raises
    ------
    FormatError
        Where a tokenizer was fitted with another config.
    """
    if tokenizers.scalar.columns != columns:
        what, got = "scalar tokenizer: columns", str(list(tokenizers.scalar.columns))
        raise FormatError(must_be(what, str(list(columns)), got, "fit it with this config"))
    tokenizers.tables().check(layout.spec)
    values = {
        **layout.spec.as_dict(),
        "columns": [*columns, *tokenizers.spectrum.scales.columns],
        "blocks": {block.name: block.length for block in layout.blocks},
        "tokenizer_hashes": tokenizers.hashes(),
    }
    write_json(path, values)
    return values


def check_hashes(vocabulary: Mapping[str, Any], hashes: Mapping[str, str], source: str) -> None:
    """Raise `FormatError` where something was made with other tokenizers than the vocabulary.

    Parameters
    ----------
    vocabulary : mapping
        What `read_vocabulary` returned.
    hashes : mapping
        Tokenizer hash by modality.
    source : str
        What carries those hashes, for the error.
    """
    for modality in (IMAGE, SCALAR, SPECTRUM):
        want, got = vocabulary["tokenizer_hashes"][modality], hashes.get(modality)
        if want != got:
            what, must = f"{source}: {modality} tokenizer", f"of hash {want}, as in the vocabulary"
            raise FormatError(must_be(what, must, str(got), "run it again with these tokenizers"))


def read_vocabulary(path: str | Path, layout: SequenceLayout) -> dict[str, Any]:
    """Read what `write_vocabulary` wrote; raise `FormatError` where it is not the layout's."""
    values = read_json(path)
    want = layout.spec.as_dict()
    found = {key: values.get(key) for key in want}
    if found != want:
        differ = next(key for key in want if want[key] != found[key])
        what, got = f"{path}: {differ}", str(found[differ])
        raise FormatError(must_be(what, f"{want[differ]}, as in the config", got, "build it again"))
    return dict(values)
