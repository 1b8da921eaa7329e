"""Parquet files of a field's embeddings and predictions.

Each row has the id, the row in the cube and the HEALPix cell of an object. The file's metadata
describe its origin as JSON, under ``astromodal``; the metadata of each column hold its unit.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from astromodal.config.evaluate import PredictSettings
from astromodal.core.loops import Progress, quiet
from astromodal.data.columns import scalar_unit
from astromodal.data.splits import SPLIT_NAMES, Split, load_split
from astromodal.errors import FormatError, must_be
from astromodal.inference.encode import Encoded, embed_objects
from astromodal.inference.finetuned import ClassPrediction, predict_label
from astromodal.inference.loaded import LoadedModel
from astromodal.inference.predict_scalars import (
    ScalarPrediction,
    predict_columns,
)
from astromodal.inference.prompt import count_given
from astromodal.storage.tempfiles import atomic_path

KEY = b"astromodal"
"""Key of the file's metadata."""
_OBJECTS = 2048
"""Objects of a row group, which bound the memory for fields of any size."""
_KEYS = {"id": pa.string(), "healpix": pa.int64(), "row": pa.int32(), "split": pa.string()}
STATISTICS = ("mean", "median", "std", "p16", "p84")
"""Statistics of a predicted column, written as ``{column}_{statistic}``."""


def embed_field(
    model: LoadedModel,
    sequences: str | Path,
    split: str | Path,
    nside: int,
    path: str | Path,
    settings: PredictSettings,
    progress: Progress = quiet,
) -> int:
    """Write the embeddings of a field's objects.

    Parameters
    ----------
    model : LoadedModel
        The model.
    sequences, split : path
        The field's sequence file and split file.
    nside : int
        ``nside`` of the HEALPix cells in the split file.
    path : path
        The parquet file to write: the keys, and ``embedding``, a list of D float32.
    settings : PredictSettings
        Pooling and token budget.
    progress : Progress
        Reports the row groups that are done.

    Returns
    -------
    int
        Number of objects.

    Raises
    ------
    FormatError
        If the files do not belong together or to the model.
    """
    encoded, rows = model.open(sequences), load_split(split)
    width = model.bundle.trained.model.embedding.embedding_dim
    vectors = pa.list_(pa.float32(), width)
    schema = pa.schema([*_key_fields(), pa.field("embedding", vectors)])
    meta = _meta("embeddings", model, nside) | {"pooling": settings.pooling}

    def tables() -> Iterator[dict[str, Any]]:
        for chunk in _chunks(encoded, progress):
            embeddings = embed_objects(model.bundle, chunk, settings.pooling, settings.token_budget)
            flat = pa.array(embeddings.ravel(), pa.float32())
            lists = pa.FixedSizeListArray.from_arrays(flat, width)
            yield {**_keys(chunk, rows, str(split)), "embedding": lists}

    return _write(path, schema, meta, tables())


def predict_field(
    model: LoadedModel,
    sequences: str | Path,
    split: str | Path,
    nside: int,
    path: str | Path,
    columns: tuple[str, ...],
    settings: PredictSettings,
    progress: Progress = quiet,
) -> int:
    """Write predictions of a field's scalars.

    Parameters
    ----------
    model, sequences, split, nside, progress
        As for `embed_field`.
    path : path
        The parquet file to write: the keys; ``n_given``, the number of codes that an object was
        predicted from; and ``{column}_mean``, ``_median``, ``_std``, ``_p16`` and ``_p84``, float32
        in the column's unit, NaN in a column that no training field measured.
    columns : tuple of str
        The columns to predict.
    settings : PredictSettings
        Columns and blocks to predict from, and the token budget.

    Returns
    -------
    int
        Number of objects.

    Raises
    ------
    ConfigError, FormatError
        If a name is unknown, or the files do not belong together or to the model.
    """
    encoded, rows = model.open(sequences), load_split(split)
    request = model.request(columns, settings.given)
    fields = [pa.field("n_given", pa.int32(), metadata={"unit": ""})]
    for name in columns:
        unit = {"unit": scalar_unit(name) or ""}
        fields += [pa.field(f"{name}_{s}", pa.float32(), metadata=unit) for s in STATISTICS]
    schema = pa.schema([*_key_fields(), *fields])
    given = None if settings.given is None else list(settings.given)
    meta = _meta("predictions", model, nside) | {"columns": list(columns), "given": given}

    def tables() -> Iterator[dict[str, Any]]:
        for chunk in _chunks(encoded, progress):
            out = _keys(chunk, rows, str(split))
            n_given = count_given(chunk, request)
            out["n_given"] = pa.array(n_given)
            predicted = predict_columns(model.bundle, chunk, request, settings)
            for number in request.columns:
                out |= _statistics(model.columns[number], predicted.get(number), len(chunk))
            yield out

    return _write(path, schema, meta, tables())


def predict_field_label(
    model: LoadedModel,
    sequences: str | Path,
    split: str | Path,
    nside: int,
    path: str | Path,
    given: Sequence[str] | None,
    progress: Progress = quiet,
) -> int:
    """Write predictions of the label that a model was fine-tuned to, for a field's objects.

    Parameters
    ----------
    model, sequences, split, nside, progress
        As for `embed_field`.
    path : path
        The parquet file to write: the keys and ``n_given``, as `predict_field` does; of a number
        its statistics, and of classes the likeliest one, ``{label}``, and the probability of each,
        ``{label}_p_{class}``, float32.
    given : sequence of str, optional
        Columns and blocks to predict from; everything but what reveals the label where None.

    Returns
    -------
    int
        Number of objects.
    """
    encoded, rows = model.open(sequences), load_split(split)
    label = model.bundle.fitted_label.label
    unit = {"unit": label.unit}
    fields = [pa.field("n_given", pa.int32(), metadata={"unit": ""})]
    if label.classes:
        fields.append(pa.field(label.name, pa.string(), metadata=unit))
        columns = [f"{label.name}_p_{each}" for each in label.classes]
    else:
        columns = [f"{label.name}_{s}" for s in STATISTICS]
    fields += [pa.field(column, pa.float32(), metadata=unit) for column in columns]
    schema = pa.schema([*_key_fields(), *fields])
    listed = None if given is None else list(given)
    meta = _meta("label_predictions", model, nside) | {"label": label.name, "given": listed}

    def tables() -> Iterator[dict[str, Any]]:
        for chunk in _chunks(encoded, progress):
            predicted = predict_label(model.bundle, chunk, given, model.settings.token_budget)
            out = _keys(chunk, rows, str(split)) | {"n_given": pa.array(predicted.n_given)}
            if isinstance(predicted, ClassPrediction):
                out[label.name] = pa.array(predicted.likeliest.tolist(), pa.string())
                values = tuple(predicted.probabilities.T)
            else:
                values = _values(predicted)
            pairs = zip(columns, values, strict=True)
            yield out | {column: pa.array(value, pa.float32()) for column, value in pairs}

    return _write(path, schema, meta, tables())


def read_meta(path: str | Path) -> dict[str, Any]:
    """Return the metadata of a file written by `embed_field` or `predict_field`."""
    stored = pq.read_schema(path).metadata or {}
    if KEY not in stored:
        must = "embeddings or predictions of astromodal"
        raise FormatError(must_be(str(path), must, "parquet without their metadata"))
    return dict(json.loads(stored[KEY]))


def common_model(paths: Sequence[Path]) -> str:
    """Return the hash of the model that made some tables of embeddings and predictions.

    Raises
    ------
    FormatError
        Where a table was made by another model than the first one.
    """
    first = ""
    for path in paths:
        meta = read_meta(path)
        own = str(meta["model_hash"])
        first = first or own
        if own != first:
            what, do = f"model of {path.name}", f"run the target that makes {meta['format']} again"
            raise FormatError(must_be(what, f"that of hash {first}", own, do))
    return first


def common_columns(predictions: Sequence[Path]) -> list[str]:
    """Return the columns that were predicted in every table, in the order of the first."""
    listed = [list(read_meta(path)["columns"]) for path in predictions]
    return [name for name in listed[0] if all(name in own for own in listed)] if listed else []


def object_count(path: str | Path) -> int:
    """Return the number of objects in a table of embeddings or predictions."""
    return int(pq.read_metadata(path).num_rows)


def read_rows(path: str | Path, chosen: np.ndarray, columns: Sequence[str]) -> pa.Table:
    """Read some rows of a parquet file, one row group at a time.

    Parameters
    ----------
    path : path
        The file.
    chosen : int64 (k,)
        The rows, ascending.
    columns : sequence of str
        The columns to read.
    """
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        parts, start = [file.schema_arrow.empty_table().select(list(columns))], 0
        for group in range(file.num_row_groups):
            end = start + file.metadata.row_group(group).num_rows
            first, last = np.searchsorted(chosen, [start, end])
            if last > first:
                own = file.read_row_group(group, list(columns))
                parts.append(own.take(chosen[first:last] - start))
            start = end
        return pa.concat_tables(parts)


def embedding_vectors(table: pa.Table) -> np.ndarray:
    """Return the column of embeddings of a table, float32 (n, D)."""
    column = table["embedding"].combine_chunks()
    return column.flatten().to_numpy().reshape(len(table), column.type.list_size)


def sample_by_field(counts: Sequence[int], most: int, seed: int) -> list[np.ndarray]:
    """Sample objects without replacement, so that each field has its share, rounded up or down.

    Parameters
    ----------
    counts : sequence of int
        Objects of each field.
    most : int
        Largest number of sampled objects.
    seed : int
        Seed of the sample.

    Returns
    -------
    list of int64 (k,)
        Sampled objects of each field, ascending.
    """
    rng, total = np.random.default_rng(seed), sum(counts)
    n = min(most, total)
    # Even steps over the objects of all fields, one field after another.
    steps = ((np.arange(n) + rng.random()) * (total / max(n, 1))).astype(np.int64)
    ends = np.cumsum(counts)
    shares = np.bincount(np.searchsorted(ends, steps, side="right"), minlength=len(counts))
    return [
        np.sort(rng.choice(count, share, replace=False)).astype(np.int64)
        for count, share in zip(counts, shares.tolist(), strict=True)
    ]


def _statistics(name: str, column: ScalarPrediction | None, n: int) -> dict[str, pa.Array]:
    """Return the statistics of a column of n objects; NaN where it has no bins."""
    if column is None:
        missing = pa.array(np.full(n, np.nan), pa.float32())
        return {f"{name}_{s}": missing for s in STATISTICS}
    pairs = zip(STATISTICS, _values(column), strict=True)
    return {f"{name}_{s}": pa.array(value, pa.float32()) for s, value in pairs}


def _values(column: ScalarPrediction) -> tuple[np.ndarray, ...]:
    """Return the `STATISTICS` of a predicted column, float64 (n,) each."""
    return (column.mean, column.median, column.std, column.quantile(0.16), column.quantile(0.84))


def _chunks(encoded: Encoded, progress: Progress) -> Iterator[Encoded]:
    """Yield the objects of each row group, and show how many are done."""
    begins = range(0, len(encoded), _OBJECTS)
    for begin in progress(begins, len(begins), "row groups"):
        yield encoded[begin : begin + _OBJECTS]


def _key_fields() -> list[pa.Field]:
    return [pa.field(name, kind, metadata={"unit": ""}) for name, kind in _KEYS.items()]


def _keys(objects: Encoded, rows: Split, source: str) -> dict[str, pa.Array]:
    """Return ids, HEALPix cells, rows and splits of objects."""
    row, ids = objects.row, objects.ids
    inside = row < len(rows.ids)
    wrong = np.flatnonzero(~inside | (rows.ids[np.where(inside, row, 0)] != ids))
    if len(wrong):
        what, must = f"id of row {row[wrong[0]]} in {source}", f"{str(ids[wrong[0]])!r}"
        raise FormatError(must_be(what, must, "another", "split and pack the cube again"))
    names = np.array(SPLIT_NAMES)[rows.split[row]]
    values = (ids, rows.healpix[row], row, names)
    pairs = zip(_KEYS.items(), values, strict=True)
    return {name: pa.array(value, kind) for (name, kind), value in pairs}


def _meta(kind: str, model: LoadedModel, nside: int) -> dict[str, Any]:
    cells = {"nside": nside, "order": nside.bit_length() - 1, "ordering": "NESTED", "frame": "ICRS"}
    return {
        "format": kind,
        "version": 1,
        "model_hash": model.hash,
        "tokenizer_hashes": model.tokenizers.hashes(),
        "healpix": cells,
    }


def _write(
    path: str | Path, schema: pa.Schema, meta: Mapping[str, Any], tables: Iterable[dict[str, Any]]
) -> int:
    """Write row groups one by one to a file, atomically; return the number of rows."""
    schema = schema.with_metadata({KEY: json.dumps(dict(meta), sort_keys=True).encode()})
    n_rows = 0
    with (
        atomic_path(path) as temporary,
        pq.ParquetWriter(temporary, schema, write_page_checksum=True) as writer,
    ):
        for columns in tables:
            table = pa.table([columns[name] for name in schema.names], schema=schema)
            writer.write_table(table)
            n_rows += len(table)
    return n_rows
