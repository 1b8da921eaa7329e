"""The files of an index of similar objects: one per field, and the list of them.

A field's file is a ``.safetensors`` that is mapped into memory. Its objects are sorted by the list
that they belong to, so that a search reads a list in one piece. The index itself, a JSON file,
names the files and the hashes of their content. A changed field changes its own file and the index.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from astromodal.config.evaluate import IndexSettings
from astromodal.core.paths import Layout, every_name
from astromodal.errors import ConfigError, DataError, FormatError, must_be, suggestion
from astromodal.inference.index_space import IndexSpace
from astromodal.inference.tables import embedding_vectors
from astromodal.storage.arrays import map_format, save_tensors
from astromodal.storage.formats import check_content, put_aside, remake, skip_at
from astromodal.storage.hashing import hash_arrays
from astromodal.storage.json_files import read_json, write_json

INDEX = Path(Layout("").similarity_index).name
"""Name of the list of an index's files, in their folder."""
_ARRAYS = ("points", "list_ptr", "row", "id_bytes", "id_ptr")
_ROWS = 2048  # embeddings that are held at once
_MAKE = "run snakemake index, or give the path of one"


@dataclass(frozen=True)
class FieldVectors:
    """The n objects of a field in the space of an index, memory-mapped, sorted by list.

    Attributes
    ----------
    path : path
        The file.
    points : float32 (n, C)
        Points of the space.
    list_ptr : int64 (L + 1,)
        Start of each list among the objects, and the end.
    row : int32 (n,)
        Rows in the field's cube; ascending within a list.
    id_bytes, id_ptr : uint8, int64 (n + 1,)
        Ids in UTF-8, and the start of each, and the end.
    meta : dict of str to str
        Hashes of the space (``space_hash``) and of the arrays (``content_hash``).
    """

    path: Path
    points: np.ndarray
    list_ptr: np.ndarray
    row: np.ndarray
    id_bytes: np.ndarray
    id_ptr: np.ndarray
    meta: dict[str, str]

    @classmethod
    def open(cls, path: str | Path, space: IndexSpace) -> FieldVectors:
        """Map a file of `index_field`; points are read when they are used, or by `verify`.

        Raises
        ------
        FormatError
            If its header or its lists are damaged, or it is of another format, version or space.
        SkippedError
            If the field was skipped.
        """
        arrays, meta = map_format(path, "similarity_vectors", "1", _ARRAYS)
        if meta.get("space_hash") != space.hash:
            must, got = f"of the space of hash {space.hash}", str(meta.get("space_hash"))
            raise FormatError(must_be(str(path), must, got, "run index_field again"))
        n, n_lists = len(arrays["row"]), len(space.centroids)
        shapes = {"points": (n, space.components.shape[1]), "list_ptr": (n_lists + 1,)}
        right = all(arrays[name].shape == shape for name, shape in shapes.items())
        ends = arrays["list_ptr"]
        # A search reads what they point to, and must not read elsewhere.
        if not right or ends[0] != 0 or ends[-1] != n or (np.diff(ends) < 0).any():
            must, do = f"of {n} objects in {n_lists} lists", remake("similarity_vectors")
            raise FormatError(must_be(str(path), must, "other lists", do))
        return cls(Path(path), meta=meta, **arrays)

    def verify(self) -> None:
        """Read the whole file; raise `FormatError` if its content was changed."""
        found = hash_arrays({name: getattr(self, name) for name in _ARRAYS})
        remedy = remake("similarity_vectors")
        check_content(self.path, self.meta.get("content_hash"), found, remedy)

    def __len__(self) -> int:
        return len(self.row)

    def id(self, index: int) -> str:
        """Return the id of an object."""
        return self.id_bytes[self.id_ptr[index] : self.id_ptr[index + 1]].tobytes().decode()


def index_field(
    space: IndexSpace, embeddings: str | Path, path: str | Path, threads: int = 1
) -> int:
    """Write the objects of a field into the index.

    Parameters
    ----------
    space : IndexSpace
        The space.
    embeddings : path
        The field's file of `embed_field`.
    path : path
        The file to write.
    threads : int
        Threads that find the lists of the objects; they change no result.

    Returns
    -------
    int
        Number of objects.

    Raises
    ------
    FormatError
        If the embeddings are of another model or pooling than the space.
    SkippedError
        If the field was skipped.
    DataError
        If an embedding is not finite.
    """
    space.check_origin(embeddings)
    points, rows, ids = [np.empty((0, space.components.shape[1]), np.float32)], [], list[bytes]()
    with pq.ParquetFile(embeddings, page_checksum_verification=True) as file:
        for batch in file.iter_batches(_ROWS, columns=["id", "row", "embedding"]):
            table = pa.Table.from_batches([batch])
            points.append(space.project(embedding_vectors(table)))
            rows += table["row"].to_pylist()
            ids += [text.encode() for text in table["id"].to_pylist()]
    write_vectors(space, np.concatenate(points), np.array(rows, np.int32), ids, path, threads)
    return len(rows)


def write_vectors(
    space: IndexSpace,
    points: np.ndarray,
    rows: np.ndarray,
    ids: Sequence[bytes],
    path: str | Path,
    threads: int = 1,
) -> None:
    """Write points, float32 (n, C), with rows, int32 (n,), and ids in UTF-8 to a field's file."""
    lists = space.lists(points, threads)
    order = np.lexsort((rows, lists))
    encoded = [ids[i] for i in order.tolist()]
    arrays = {
        "points": points[order],
        "list_ptr": _pointers(np.bincount(lists, minlength=len(space.centroids))),
        "row": rows[order],
        "id_bytes": np.frombuffer(b"".join(encoded), np.uint8),
        "id_ptr": _pointers(np.array([len(text) for text in encoded], np.int64)),
    }
    meta = {
        "format": "similarity_vectors",
        "version": "1",
        "space_hash": space.hash,
        "content_hash": hash_arrays(arrays),
    }
    save_tensors(path, arrays, meta)


def _pointers(lengths: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


@dataclass(frozen=True)
class SimilarityIndex:
    """An index of similar objects: its space, and the files of its fields.

    Attributes
    ----------
    path : path
        The index's JSON file.
    space : IndexSpace
        The space.
    fields : dict of str to FieldVectors
        The objects of each field, in the order in which objects are numbered.
    exact_below, n_probe : int
        Objects below which a search compares with all, and lists that it looks through otherwise.
    """

    path: Path
    space: IndexSpace
    fields: dict[str, FieldVectors]
    exact_below: int
    n_probe: int

    @classmethod
    def open(cls, path: str | Path) -> SimilarityIndex:
        """Open the index at the path of its JSON file.

        An index that is searched as a whole is read and checked as a whole. Of a larger one,
        headers and lists are checked; `verify` checks all.

        Raises
        ------
        FormatError
            If a file is damaged, of another format or version, or does not belong to the index.
        """
        path, stored = Path(path), read_json(path)
        named = stored if isinstance(stored, dict) else {}
        found = f"{named.get('format')} version {named.get('version')}"
        if found != (must := "similarity_index version 1"):
            raise FormatError(must_be(str(path), must, found, put_aside("similarity_index")))
        space = IndexSpace.load(path.parent / Path(stored["space"]).name)
        fields = {}
        for name, entry in stored["fields"].items():
            fields[name] = FieldVectors.open(path.parent / Path(entry["file"]).name, space)
            must, content = entry["content_hash"], fields[name].meta.get("content_hash")
            check_content(fields[name].path, must, content, "run assemble_index again")
        index = cls(path, space, fields, stored["exact_below"], stored["n_probe"])
        if index.is_small:
            index.verify()
        return index

    def __len__(self) -> int:
        return sum(map(len, self.fields.values()))

    @property
    def is_small(self) -> bool:
        """Whether a search compares with all objects, if nothing else is requested."""
        return len(self) < self.exact_below

    def verify(self) -> None:
        """Read all files; raise `FormatError` if the content of one was changed."""
        for vectors in self.fields.values():
            vectors.verify()

    def only(self, fields: str | Sequence[str]) -> SimilarityIndex:
        """Return the index of some of the fields.

        Raises
        ------
        DataError
            If a field is not in the index.
        """
        fields = [fields] if isinstance(fields, str) else fields
        for name in fields:
            if name not in self.fields:
                message = must_be("field", f"one of the {len(self.fields)} in {self.path}", name)
                raise DataError(message + suggestion(name, self.fields))
        kept = {name: vectors for name, vectors in self.fields.items() if name in fields}
        return SimilarityIndex(self.path, self.space, kept, self.exact_below, self.n_probe)


def find_index(index: str | Path | None, folder: str | Path | None) -> Path:
    """Return the path of an index: the one given, or that beside the folder of a model.

    Raises
    ------
    ConfigError
        If there is none.
    """
    if index is not None:
        names = [Path(index) / INDEX if Path(index).is_dir() else Path(index)]
    else:
        results = [] if folder is None else [name.parent for name in every_name(folder)]
        names = [Path(Layout(str(parent)).similarity_index) for parent in results]
    for path in names:
        if path.is_file():
            return path
    got = f"no file at {names[0]}" if names else "none, of a model that is in no folder"
    raise ConfigError(must_be("index", "an index of similar objects", got, _MAKE))


def check_model(index: SimilarityIndex, model_hash: str) -> None:
    """Raise `FormatError` if an index holds the embeddings of another model."""
    own = index.space.model_hash
    if own != model_hash:
        must, do = f"that of the model of hash {model_hash}", "run snakemake index with this model"
        raise FormatError(must_be(str(index.path), must, f"that of {own}", do))


def assemble_index(
    space: str | Path,
    fields: Mapping[str, str | Path],
    settings: IndexSettings,
    path: str | Path,
) -> dict[str, Any]:
    """Write the list of an index's files, without the fields that were skipped.

    Parameters
    ----------
    space : path
        File of the space.
    fields : mapping of str to path
        Files of `index_field` by field. All files are in the folder of `path`.
    settings : IndexSettings
        How searches are made if nothing else is requested.
    path : path
        The JSON file to write.

    Returns
    -------
    dict
        What was written.

    Raises
    ------
    DataError
        If all fields were skipped.
    FormatError
        If a file is damaged or of another space.
    """
    used = {name: own for name, own in fields.items() if skip_at(own) is None}
    if not used:
        must = "at least one that was not skipped"
        raise DataError(must_be("indexed fields", must, "none", "repair their cubes"))
    loaded, listed = IndexSpace.load(space), dict[str, dict[str, Any]]()
    for name, own in used.items():
        vectors = FieldVectors.open(own, loaded)
        content = vectors.meta["content_hash"]
        listed[name] = {"file": Path(own).name, "objects": len(vectors), "content_hash": content}
    index = {
        "format": "similarity_index",
        "version": 1,
        "model_hash": loaded.model_hash,
        "pooling": loaded.pooling,
        "space": Path(space).name,
        "objects": sum(entry["objects"] for entry in listed.values()),
        "exact_below": settings.exact_below,
        "n_probe": settings.n_probe,
        "fields": listed,
    }
    write_json(path, index)
    return index
