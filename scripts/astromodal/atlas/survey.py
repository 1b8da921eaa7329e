"""What the atlas shows: a sample of a survey's objects, their map, neighbours and properties."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from sklearn.neighbors import NearestNeighbors

from astromodal.config.evaluate import AtlasSettings
from astromodal.config.schema import Config
from astromodal.core.loops import Progress, quiet
from astromodal.core.vocab import TYPE_IMAGE, TYPE_SPECTRUM
from astromodal.data.columns import scalar_unit
from astromodal.errors import DataError, FormatError, must_be, suggestion
from astromodal.evaluation.context import EvaluatedField, check_ids, read_kinds
from astromodal.evaluation.embeddings.measures import (
    embedding_space,
    nearest_neighbours,
    project_to_plane,
)
from astromodal.inference.tables import (
    common_columns,
    common_model,
    embedding_vectors,
    object_count,
    read_meta,
    read_rows,
    sample_by_field,
)
from astromodal.sequences.store import SequenceStore

MODALITIES = ("scalar", "scalar + image", "scalar + spectrum", "scalar + image + spectrum")
"""Modalities in words, by whether an object has an image (1) plus whether a spectrum (2)."""
LANDMARKS = 10_000
"""Objects that the map is made of; others are placed among them."""
_AMONG = 5
INTERVAL = ("median", "p16", "p84")
"""Statistics of a predicted column that the page shows."""


@dataclass(frozen=True)
class Survey:
    """The n objects of the atlas.

    Attributes
    ----------
    fields : sequence of EvaluatedField
        The fields, with their files.
    field, row : int64 (n,)
        Number of each object's field, and row in the field's cube.
    ids : unicode (n,)
        Identifiers.
    places : float64 (n, 2)
        Places in the map, without a unit.
    method : str
        How the map was made.
    near : int64 (n, k)
        Numbers of the nearest objects in the space of embeddings, nearest first.
    categories : dict of str to unicode (n,)
        Properties in words by title; empty where unknown.
    measured : dict of str to float64 (n,)
        Columns of the cubes; NaN where missing.
    predicted : dict of str to float64 (n, 3)
        Predicted columns: median, 16th and 84th percentile; NaN where there is none.
    detailed : int64 (m,)
        Objects that are shown with cutout and spectra, ascending.
    model_hash : str
        Hash of the model of embeddings and predictions.
    n_objects : int
        Objects of the whole survey.
    """

    fields: Sequence[EvaluatedField]
    field: np.ndarray
    row: np.ndarray
    ids: np.ndarray
    places: np.ndarray
    method: str
    near: np.ndarray
    categories: dict[str, np.ndarray]
    measured: dict[str, np.ndarray]
    predicted: dict[str, np.ndarray]
    detailed: np.ndarray
    model_hash: str
    n_objects: int

    def __len__(self) -> int:
        return len(self.ids)


def prepare_survey(
    fields: Sequence[EvaluatedField], settings: Config, progress: Progress = quiet
) -> Survey:
    """Sample the objects of a survey, and map them.

    Parameters
    ----------
    fields : sequence of EvaluatedField
        The fields, with the files ``cube``, ``sequences``, ``embeddings`` and, where something is
        predicted, ``predictions``.
    settings : Config
        Its groups ``atlas``, ``columns``, ``evaluation.labels`` and the scalar columns.
    progress : Progress
        Wraps the loop over fields.

    Raises
    ------
    DataError
        Where no field has an object, or no cube has a column of ``atlas.columns``.
    FormatError
        Where files do not belong together, or to one model.
    """
    atlas = settings.atlas
    kinds = ("embeddings", "predictions")
    model_hash = common_model([f.files[k] for f in fields for k in kinds if k in f.files])
    counts = [object_count(f.files["embeddings"]) for f in fields]
    if not sum(counts):
        must = "those of some objects"
        raise DataError(must_be("embeddings", must, "none", "select more rows (selection)"))
    chosen = sample_by_field(counts, atlas.max_objects, atlas.seed)
    names = common_columns([f.files["predictions"] for f in fields if "predictions" in f.files])
    columns = _columns(settings, names)
    parts = [
        _read_field(fields[i], chosen[i], columns, names, settings)
        for i in progress(range(len(fields)), len(fields), "fields")
        if len(chosen[i])
    ]
    joined: dict[str, Any] = {
        name: np.concatenate([part[name] for part in parts]) for name in parts[0]
    }
    field = np.repeat(np.arange(len(fields)), [len(c) for c in chosen])
    pooling = read_meta(fields[0].files["embeddings"])["pooling"]
    places, method, near = _map(joined.pop("vectors"), pooling, atlas)
    known = _known(columns, joined.pop("measured"), fields, settings)
    predicted = joined.pop("predicted")
    categories = {
        "class": joined.pop("kind"),
        "split": joined.pop("split"),
        "field": np.array([f.name for f in fields])[field],
        "modalities": joined.pop("modalities"),
    }
    return Survey(
        fields=fields, field=field, places=places, method=method, near=near,
        categories={name: v for name, v in categories.items() if (v != "").any()},
        measured=known,
        predicted={name: predicted[:, i] for i, name in enumerate(names)},
        detailed=_sample_details(len(field), atlas), model_hash=model_hash, n_objects=sum(counts),
        **joined,
    )  # fmt: skip


def _columns(settings: Config, predicted: Sequence[str]) -> list[str]:
    """Return the scalar columns of the cubes that the page shows, each once."""
    if settings.atlas.columns is not None:
        return list(settings.atlas.columns)
    labels = settings.evaluation.labels
    own = [name for name in (labels.redshift, labels.magnitude) if name]
    magnitudes = [
        name
        for name in settings.tokenizers.scalar.columns
        if scalar_unit(name) == "mag" and "err" not in name
    ]
    return list(dict.fromkeys([*predicted, *own, *magnitudes]))


def _known(
    columns: Sequence[str],
    values: np.ndarray,
    fields: Sequence[EvaluatedField],
    settings: Config,
) -> dict[str, np.ndarray]:
    """Return the columns that some object has; values are (n, columns)."""
    for name in settings.atlas.columns or ():
        present = [f.open(settings.columns).columns for f in fields]
        if not any(name in own for own in present):
            near = suggestion(name, frozenset().union(*present))
            raise DataError(must_be("atlas.columns", "columns of some cube", repr(name)) + near)
    named = zip(columns, values.T, strict=True)
    return {name: column for name, column in named if np.isfinite(column).any()}


def _read_field(
    field: EvaluatedField,
    chosen: np.ndarray,
    columns: Sequence[str],
    predicted: Sequence[str],
    settings: Config,
) -> dict[str, np.ndarray]:
    """Read the chosen objects of one field: ids, embeddings and properties."""
    table = read_rows(field.files["embeddings"], chosen, ["id", "row", "split", "embedding"])
    row, ids = table["row"].to_numpy().astype(np.int64), _text(table["id"])
    cube = field.open(settings.columns)
    check_ids(cube.ids(), row, ids, field.files["embeddings"])
    return {
        "row": row,
        "ids": ids,
        "split": _text(table["split"]),
        "vectors": embedding_vectors(table),
        "kind": read_kinds(cube, settings.evaluation.labels)[row],
        "modalities": _modalities(field, chosen, ids),
        "measured": cube.scalars(columns)[row],
        "predicted": _predictions(field, chosen, predicted, ids),
    }


def _text(column: pa.ChunkedArray) -> np.ndarray:
    """Return a column of texts, unicode (n,)."""
    return np.array(column.to_pylist(), dtype=np.str_)


def _modalities(field: EvaluatedField, chosen: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Return the modalities of the chosen objects in words, unicode (k,)."""
    store = SequenceStore.open(field.files["sequences"])
    if len(store) <= chosen.max() or [store.id(i) for i in chosen.tolist()] != ids.tolist():
        what, must = f"objects of {field.files['embeddings'].name}", "those of the sequences"
        raise FormatError(must_be(what, must, "others", "run embed_field again"))
    pattern = store.pattern[chosen]
    image = (pattern >> TYPE_IMAGE) & 1
    return np.array(MODALITIES)[image + 2 * (pattern >> TYPE_SPECTRUM > 0)]


def _predictions(
    field: EvaluatedField, chosen: np.ndarray, columns: Sequence[str], ids: np.ndarray
) -> np.ndarray:
    """Read the predictions of the chosen objects, float64 (k, columns, 3)."""
    if not columns:
        return np.empty((len(ids), 0, len(INTERVAL)))
    path = field.files["predictions"]
    names = [f"{column}_{statistic}" for column in columns for statistic in INTERVAL]
    rows = object_count(path)
    table = read_rows(path, chosen, ["id", *names])
    if rows <= chosen.max() or _text(table["id"]).tolist() != ids.tolist():
        must = f"those of {field.files['embeddings'].name}"
        do = "run predict_field again"
        raise FormatError(must_be(f"objects of {path.name}", must, "others", do))
    values = np.column_stack([table[name].to_numpy() for name in names]).astype(np.float64)
    return values.reshape(len(ids), len(columns), len(INTERVAL))


def _map(
    vectors: np.ndarray, pooling: str, atlas: AtlasSettings
) -> tuple[np.ndarray, str, np.ndarray]:
    """Return places in the map, float64 (n, 2), how it was made, and neighbours, int64 (n, k)."""
    n = len(vectors)
    if n < 3 or not np.ptp(vectors, axis=0).any():
        return np.zeros((n, 2)), "no map", np.empty((n, 0), np.int64)
    space = embedding_space(vectors, pooling)
    near = nearest_neighbours(space, min(atlas.neighbours, n - 1))
    return *place_objects(space, atlas.seed), near


def place_objects(space: np.ndarray, seed: int, most: int = LANDMARKS) -> tuple[np.ndarray, str]:
    """Map objects in time that is linear in their number.

    A sample of landmarks is mapped by `project_to_plane`. Every other object stands among its
    nearest landmarks, weighted by the inverse square of their distances.

    Parameters
    ----------
    space : float64 (n, C)
        Objects in the space of `embedding_space`.
    seed : int
        Seed of the landmarks and of the map.
    most : int
        Largest number of landmarks; as few objects are all mapped themselves.

    Returns
    -------
    places : float64 (n, 2)
        Places without a unit.
    method : str
        What `project_to_plane` names, with the number of landmarks.
    """
    if len(space) <= most:
        return project_to_plane(space, seed)
    chosen = np.sort(np.random.default_rng(seed).choice(len(space), most, replace=False))
    known, method = project_to_plane(space[chosen], seed)
    search = NearestNeighbors(n_neighbors=min(_AMONG, most)).fit(space[chosen])
    distance, near = search.kneighbors(space)
    weight = 1 / np.maximum(distance, np.finfo(np.float64).tiny ** 0.25) ** 2
    weight /= weight.sum(axis=1, keepdims=True)
    return np.einsum("nk,nkc->nc", weight, known[near]), f"{method} of {most} landmarks"


def _sample_details(n: int, atlas: AtlasSettings) -> np.ndarray:
    """Sample the objects that are shown in detail, int64 (m,), ascending."""
    rng = np.random.default_rng([atlas.seed, 1])
    return np.sort(rng.choice(n, min(n, atlas.max_details), replace=False)).astype(np.int64)
