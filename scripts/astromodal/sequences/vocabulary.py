"""The vocabulary file of a run: the meaning of ids, and the hashes of the tokenizers."""

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
    """Check that the tokenizers fit the config's vocabulary, and write it.

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
        The content of the file: `VocabSpec.as_dict`, the scalar ``columns`` in the order of their
        ids (brightness of cutouts and scales of spectra last), the slots of ``blocks`` and the
        ``tokenizer_hashes``.

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
        "columns": [
            *columns,
            *tokenizers.image.codebook.bins.columns,
            *tokenizers.spectrum.scales.columns,
        ],
        "blocks": {block.name: block.length for block in layout.blocks},
        "tokenizer_hashes": tokenizers.hashes(),
    }
    write_json(path, values)
    return values


def check_hashes(vocabulary: Mapping[str, Any], hashes: Mapping[str, str], source: str) -> None:
    """Raise `FormatError` where hashes are not those of the vocabulary's tokenizers.

    Parameters
    ----------
    vocabulary : mapping
        The result of `read_vocabulary`.
    hashes : mapping
        Tokenizer hash by modality.
    source : str
        The file or object with these hashes, for the error.
    """
    for modality in (IMAGE, SCALAR, SPECTRUM):
        want, got = vocabulary["tokenizer_hashes"][modality], hashes.get(modality)
        if want != got:
            what, must = f"{source}: {modality} tokenizer", f"of hash {want}, as in the vocabulary"
            raise FormatError(must_be(what, must, str(got), "run it again with these tokenizers"))


def read_vocabulary(path: str | Path, layout: SequenceLayout) -> dict[str, Any]:
    """Read a file of `write_vocabulary`; raise `FormatError` where it has another layout."""
    values = read_json(path)
    want = layout.spec.as_dict()
    stored = {key: values.get(key) for key in want}
    if stored != want:
        differ = next(key for key in want if want[key] != stored[key])
        what, got = f"{path}: {differ}", str(stored[differ])
        raise FormatError(must_be(what, f"{want[differ]}, as in the config", got, "build it again"))
    return dict(values)
