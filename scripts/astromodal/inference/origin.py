"""The origin of a run's files: the tokenizers, the vocabulary and the model that they name.

Only headers and footers are read, so that a job can refuse files that do not belong together
before it starts.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from astromodal.errors import FormatError, must_be
from astromodal.inference.tables import object_count, read_meta
from astromodal.sequences.store import SequenceStore, vocab_hash
from astromodal.sequences.tokenizers import Tokenizers, check_hashes
from astromodal.training.checkpoint import Trained

_ALL = "`snakemake audit` lists all files that do not belong to the run"


@dataclass(frozen=True)
class Origin:
    """Hashes that the files of a run name.

    Attributes
    ----------
    tokenizers : dict of str to str
        Hash of each tokenizer by modality.
    vocabulary : str
        Hash of the vocabulary and its slots.
    model : str
        Hash of the model's weights.
    """

    tokenizers: dict[str, str]
    vocabulary: str
    model: str

    @classmethod
    def of(cls, trained: Trained, tokenizers: Tokenizers) -> Origin:
        """Return the origin that a model and its tokenizers stand for."""
        return cls(tokenizers.hashes(), vocab_hash(trained.layout), trained.hash)

    def check_sequences(self, path: str | Path) -> SequenceStore:
        """Open the sequences of a field; raise `FormatError` if they name other hashes."""
        store, do = SequenceStore.open(path), "run pack_sequences again"
        _require(path, "vocabulary", self.vocabulary, store.meta["vocab_hash"], do)
        _require(path, "tokenizers", self.tokenizers, store.tokenizer_hashes, do)
        return store

    def check_table(self, path: str | Path) -> int:
        """Return the number of objects in a table; raise `FormatError` if it names other hashes."""
        meta = read_meta(path)
        do = f"run the target that makes {meta['format']} again"
        _require(path, "model", self.model, meta["model_hash"], do)
        _require(path, "tokenizers", self.tokenizers, meta["tokenizer_hashes"], do)
        return object_count(path)


def _require(path: str | Path, what: str, must: object, got: object, do: str) -> None:
    if got != must:
        shown = (json.dumps(each) if isinstance(each, dict) else str(each) for each in (must, got))
        hash_of, found = shown
        raise FormatError(must_be(f"{path}: {what}", f"of hash {hash_of}", found, do))


def require_one_run(
    origin: Origin,
    sequences: Sequence[str | Path],
    tables: Sequence[Collection[str | Path]] = (),
    vocabularies: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Refuse sequences, tables and vocabularies that are not of one run.

    Parameters
    ----------
    origin : Origin
        Hashes of the run.
    sequences : sequence of path
        Files of the sequences, one per field.
    tables : sequence of collection of path
        By field, the tables of its objects: embeddings and predictions.
    vocabularies : sequence of mapping
        Vocabularies, which name the hashes of the tokenizers.

    Raises
    ------
    FormatError
        If a file names another tokenizer, vocabulary or model, or has another number of objects
        than the sequences of its field. The message names `snakemake audit`.
    """
    try:
        for vocabulary in vocabularies:
            check_hashes(vocabulary, origin.tokenizers, "tokenizers")
        for i, path in enumerate(sequences):
            n = len(origin.check_sequences(path))
            for table in tables[i] if tables else ():
                found = origin.check_table(table)
                if found != n:
                    must, do = f"of {n} objects, as {Path(path).name}", "run its target again"
                    raise FormatError(must_be(str(table), must, found, do))
    except FormatError as error:
        raise FormatError(f"{error}; {_ALL}") from error
