"""Embeddings in files, and indices of similar objects made of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from astromodal.config.evaluate import IndexSettings
from astromodal.core.paths import Layout
from astromodal.inference.index_files import (
    FieldVectors,
    SimilarityIndex,
    assemble_index,
    index_field,
)
from astromodal.inference.index_space import IndexSpace, train_space
from astromodal.inference.tables import KEY

MODEL = "0123456789abcdef"


def clustered(n: int, width: int = 12, seed: int = 0) -> np.ndarray:
    """Embeddings around a few centres, with correlated dimensions, float32 (n, D)."""
    rng = np.random.default_rng(seed)
    centres, mixing = rng.normal(0, 3, (6, width)), rng.normal(size=(width, width))
    return (centres[rng.integers(6, size=n)] + rng.normal(size=(n, width)) @ mixing).astype("f4")


def write_embeddings(
    path: str | Path,
    vectors: np.ndarray,
    ids: Sequence[str] | None = None,
    split: Sequence[str] | None = None,
    model_hash: str = MODEL,
    pooling: str = "mean",
) -> Path:
    """Write a file as embed_field does, with row i + 7 of object i."""
    n, width = vectors.shape
    flat = pa.array(np.ascontiguousarray(vectors, np.float32).ravel(), pa.float32())
    columns = {
        "id": pa.array([f"{Path(path).stem}-{i}" for i in range(n)] if ids is None else ids),
        "row": pa.array(np.arange(n) + 7, pa.int32()),
        "split": pa.array(["train"] * n if split is None else split, pa.string()),
        "embedding": pa.FixedSizeListArray.from_arrays(flat, width),
    }
    columns["id"] = columns["id"].cast(pa.string())
    meta = {"model_hash": model_hash, "pooling": pooling}
    table = pa.table(columns).replace_schema_metadata({KEY: json.dumps(meta).encode()})
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=50, write_page_checksum=True)
    return Path(path)


def write_index(
    results: Path, embeddings: Mapping[str, Path], settings: IndexSettings | None = None
) -> Layout:
    """Make the index of fields, of which the first one trains."""
    settings, paths = settings or IndexSettings(), Layout(str(results))
    train_space([next(iter(embeddings.values()))], settings).save(paths.similarity_space)
    space = IndexSpace.load(paths.similarity_space)
    for field, source in embeddings.items():
        index_field(space, source, paths.similarity_vectors(field))
    files = {field: paths.similarity_vectors(field) for field in embeddings}
    assemble_index(paths.similarity_space, files, settings, paths.similarity_index)
    return paths


def index_of(
    fields: Mapping[str, tuple[Sequence[str], np.ndarray]], centroids: np.ndarray | None = None
) -> SimilarityIndex:
    """Return an index in memory whose space is that of the embeddings themselves."""
    width = next(iter(fields.values()))[1].shape[1]
    centres = np.zeros((1, width), np.float32) if centroids is None else np.float32(centroids)
    space = IndexSpace(np.zeros(width), np.eye(width), centres, MODEL, "mean")
    made = {name: _vectors(space, *given) for name, given in fields.items()}
    return SimilarityIndex(Path("index.json"), space, made, 10**6, 1)


def _vectors(space: IndexSpace, ids: Sequence[str], points: np.ndarray) -> FieldVectors:
    """Return a field's objects, sorted by list; object i is in row i."""
    lists = space.lists(points)
    order = np.argsort(lists, kind="stable")
    texts = [ids[i].encode() for i in order]
    ends = np.cumsum([0, *np.bincount(lists, minlength=len(space.centroids))])
    return FieldVectors(
        Path("vectors"), points[order].astype(np.float32), ends, order.astype(np.int32),
        np.frombuffer(b"".join(texts), np.uint8), np.cumsum([0, *map(len, texts)]), {},
    )  # fmt: skip
