"""Files that are not of one run are refused by their headers."""

from __future__ import annotations

import json
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from astromodal.errors import FormatError
from astromodal.inference.export import export_model
from astromodal.inference.origin import Origin, require_one_run
from astromodal.inference.tables import KEY
from astromodal.sequences.store import SequenceStore, write_sequences
from astromodal.storage.arrays import map_tensors
from helpers.model import run_sources, write_results


@pytest.fixture
def origin(bundle) -> Origin:
    return Origin.of(bundle.trained, bundle.tokenizers)


@pytest.fixture
def sources(tmp_path, bundle, encoded):
    """Files of a finished run of one field."""
    return write_results(tmp_path / "results", bundle, encoded)


@pytest.fixture
def table(tmp_path, origin):
    """Write a table of n objects that names hashes."""

    def write(n=12, **changes):
        meta = {"format": "embeddings", "model_hash": origin.model}
        meta |= {"tokenizer_hashes": origin.tokenizers} | changes
        path = tmp_path / "embeddings.parquet"
        written = pa.table({"row": list(range(n))})
        pq.write_table(written.replace_schema_metadata({KEY: json.dumps(meta)}), path)
        return path

    return write


def test_files_of_one_run_are_accepted(origin, sources, table):
    """They name its hashes, and have as many objects as the sequences."""
    require_one_run(origin, sources.sequences, [[table()]])
    assert isinstance(origin.check_sequences(sources.sequences[0]), SequenceStore)
    assert origin.check_table(table()) == 12


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        (
            {"model_hash": "0"},
            "model must be of hash [0-9a-f]+, got 0; run the target that makes e",
        ),
        (
            {"tokenizer_hashes": {"scalar": "0"}},
            'tokenizers must be of hash .*, got {"scalar": "0"}',
        ),
        ({"n": 11}, "must be of 12 objects, as datacube_F1_sequences.safetensors, got 11; run its"),
    ],
)
def test_a_table_of_another_run_is_refused(origin, sources, table, changes, match):
    """With both values, and the command that lists all such files."""
    with pytest.raises(FormatError, match=f"embeddings.parquet.* {match}.*; `snakemake audit` lis"):
        require_one_run(origin, sources.sequences, [[table(**changes)]])


@pytest.mark.parametrize("name", ["vocabulary", "tokenizers"])
def test_sequences_of_another_run_are_refused(origin, sources, name):
    """By the vocabulary and the tokenizers in their header."""
    other = replace(origin, **{name: "0" if name == "vocabulary" else {"scalar": "0"}})
    with pytest.raises(
        FormatError, match=f"{name} must be of hash .*; run pack_sequences again; `"
    ):
        require_one_run(other, sources.sequences)


def test_an_export_refuses_sequences_of_other_tokenizers(tmp_path, bundle, sources):
    """Nothing is written."""
    path = sources.sequences[0]
    arrays, _ = map_tensors(path)
    arrays = {name: array.copy() for name, array in arrays.items()}
    write_sequences(path, arrays, bundle.layout, {"scalar": "0"})
    with pytest.raises(
        FormatError, match="tokenizers must be of hash .*`snakemake audit` lists all"
    ):
        export_model(run_sources(tmp_path / "results"), tmp_path / "out")
    assert not (tmp_path / "out").exists()
