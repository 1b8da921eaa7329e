"""Rows of the HATS catalogue: keys, position, and what the model says of each object."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import numpy as np
import pyarrow as pa

from astromodal.config.evaluate import HatsSettings
from astromodal.data.columns import scalar_unit
from astromodal.data.parquet import lists
from astromodal.errors import FormatError, must_be
from astromodal.evaluation.context import EvaluatedField
from astromodal.inference.encode import Encoded
from astromodal.inference.model import AstroModel
from astromodal.inference.origin import Origin, require_one_run
from astromodal.inference.tables import (
    STATISTICS,
    common_columns,
    object_count,
    read_rows,
)
from astromodal.sequences.layout import SCALAR

CELL: Final = "_healpix_29"
"""Column of the HEALPix cells of order 29, NESTED, by which the rows of HATS catalogues lie."""
_OPEN = 8
"""Fields whose sequences stay open: a partition touches few."""


class CatalogueRows:
    """Reads rows of the catalogue from the files of fields.

    Parameters
    ----------
    fields : sequence of EvaluatedField
        The fields, with the files ``cube``, ``sequences``, ``embeddings`` and, where something is
        predicted, ``predictions``.
    model : AstroModel
        The model of embeddings and predictions; its tokenizers decode.
    settings : HatsSettings
        What to include.

    Attributes
    ----------
    fields : sequence of EvaluatedField
        The fields.
    model_hash : str
        Hash of the model.

    Raises
    ------
    FormatError
        Where sequences, embeddings or predictions are not those of the model and its tokenizers.
    """

    def __init__(
        self, fields: Sequence[EvaluatedField], model: AstroModel, settings: HatsSettings
    ) -> None:
        self.fields = fields
        self._model = model
        self._include = settings.include
        self.model_hash = model.hash
        kinds = ("embeddings", "predictions")
        tables = [[f.files[kind] for kind in kinds if kind in f.files] for f in fields]
        origin = Origin.of(model.bundle.trained, model.tokenizers)
        require_one_run(origin, [f.files["sequences"] for f in fields], tables)
        predicted = [f.files["predictions"] for f in fields if "predictions" in f.files]
        self._predicted = common_columns(predicted) if "predictions" in self._include else []
        self._open = lru_cache(_OPEN)(self._sequences)

    def __len__(self) -> int:
        """Return the number of objects of all fields."""
        return sum(map(self.count, range(len(self.fields))))

    def count(self, field: int) -> int:
        """Return the number of objects of a field."""
        return object_count(self.fields[field].files["embeddings"])

    def schema(self) -> pa.Schema:
        """Return the columns with their types, and their units as metadata."""
        keys = {
            CELL: (pa.int64(), ""), "id": (pa.string(), ""),
            "ra": (pa.float64(), "deg"), "dec": (pa.float64(), "deg"),
            "field": (pa.string(), ""), "row": (pa.int32(), ""), "split": (pa.string(), ""),
        }  # fmt: skip
        columns: dict[str, tuple[pa.DataType, str]] = dict(keys)
        if self._predicted:
            columns["n_given"] = (pa.int32(), "")
        for name in self._predicted:
            kind = (pa.float32(), scalar_unit(name) or "")
            columns |= {f"{name}_{statistic}": kind for statistic in STATISTICS}
        if "scalars" in self._include:
            for name in self._model.columns:
                columns[f"{name}_decoded"] = (pa.float32(), scalar_unit(name) or "")
        if "embeddings" in self._include:
            columns["embedding"] = (pa.list_(pa.float32()), "")
        if "codes" in self._include:
            for block in self._model.bundle.layout.blocks:
                columns[f"{block.name}_codes"] = (pa.list_(pa.uint16()), "")
        return pa.schema([pa.field(n, k, metadata={"unit": u}) for n, (k, u) in columns.items()])

    def read(self, field: int, chosen: np.ndarray) -> dict[str, pa.Array]:
        """Return columns of some objects of a field: all of the schema but cell and position.

        Parameters
        ----------
        field : int
            Number of the field.
        chosen : int64 (k,)
            Objects in the order of the field's files, ascending.

        Raises
        ------
        FormatError
            Where files of the field hold other objects than its sequences.
        """
        own = self.fields[field]
        objects = self._open(field)[chosen]
        names = ["id", "row", "split"]
        names += ["embedding"] if "embeddings" in self._include else []
        table = read_rows(own.files["embeddings"], chosen, names)
        self._check(table.column("id"), objects, own, "embeddings")
        columns = {name: table.column(name).combine_chunks() for name in names}
        if "embedding" in columns:
            columns["embedding"] = columns["embedding"].cast(pa.list_(pa.float32()))
        columns["field"] = pa.array([own.name] * len(chosen))
        if self._predicted:
            statistics = [f"{name}_{s}" for name in self._predicted for s in STATISTICS]
            table = read_rows(own.files["predictions"], chosen, ["id", "n_given", *statistics])
            self._check(table.column("id"), objects, own, "predictions")
            columns["n_given"] = table.column("n_given").combine_chunks()
            columns |= {name: _known(table.column(name).to_numpy()) for name in statistics}
        if "scalars" in self._include:
            columns |= self._decoded(objects)
        if "codes" in self._include:
            for block in self._model.bundle.layout.blocks:
                columns[f"{block.name}_codes"] = _lists(objects, block.name)
        return columns

    def _sequences(self, field: int) -> Encoded:
        return self._model.open(self.fields[field].files["sequences"])

    def _check(
        self, ids: pa.ChunkedArray, objects: Encoded, field: EvaluatedField, kind: str
    ) -> None:
        """Raise `FormatError` if ids of a table are not those of the sequences."""
        if ids.to_pylist() != objects.ids.tolist():
            what = f"field {field.name}: objects of {field.files[kind].name}"
            do = f"run {'embed' if kind == 'embeddings' else 'predict'}_field again"
            raise FormatError(must_be(what, "those of the sequences", "others", do))

    def _decoded(self, objects: Encoded) -> dict[str, pa.Array]:
        """Return what the scalar codes say, null where missing."""
        has = objects.has(SCALAR)
        frame: Any = self._model.decode(objects, SCALAR)[SCALAR]
        columns = {}
        for name in self._model.columns:
            values = np.full(len(objects), np.nan, dtype=np.float32)
            values[has] = frame[name].to_numpy()
            columns[f"{name}_decoded"] = _known(values)
        return columns


def _known(values: np.ndarray) -> pa.Array:
    """Return numbers with null in place of NaN."""
    return pa.array(values, pa.float32(), mask=np.isnan(values))


def _lists(objects: Encoded, block: str) -> pa.Array:
    """Return the codes of a block as lists with one code per slot; null where absent."""
    has, codes = objects.has(block), objects.codes(block)
    every = np.empty((len(has), codes.shape[1]), dtype=np.uint16)
    every[has] = codes
    return lists(every, pa.list_(pa.uint16()), has)
