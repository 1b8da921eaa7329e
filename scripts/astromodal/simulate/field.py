"""One simulated field, measured by every survey and written as a datacube."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from threadpoolctl import threadpool_limits

from astromodal.config.simulate import SimulateSettings
from astromodal.core.files import atomic_path
from astromodal.errors import ConfigError, must_be, suggestion
from astromodal.simulate.measured import MeasuredField

ROW_GROUP = 64
"""Rows of a row group, and the most cutouts held at a time."""


def simulate_field(settings: SimulateSettings, field: str, path: str | Path) -> None:
    """Simulate a field and write its datacube.

    Parameters
    ----------
    settings : SimulateSettings
        The sky; `field` must be one of its fields.
    field : str
        The field's name, from which (with the seed) every draw follows.
    path : path
        The parquet file; written whole or not at all. The same settings give the same bytes,
        whatever the number of threads.

    Raises
    ------
    ConfigError
        Where the settings have no such field.
    """
    _check(settings, field)
    # The order of BLAS's sums follows its number of threads; one thread repeats them to the bit.
    with threadpool_limits(1):
        measured = MeasuredField(settings, field)
        with atomic_path(path) as temporary:
            _write(measured, temporary)


def _check(settings: SimulateSettings, field: str) -> None:
    if field not in settings.fields:
        message = must_be("field", f"one of simulate.fields ({', '.join(settings.fields)})", field)
        raise ConfigError(message + suggestion(field, settings.fields))


def _write(measured: MeasuredField, path: Path) -> None:
    scalars = measured.table()
    schema = pa.schema([*scalars.schema, *measured.cutout_schema()])
    # Pixels are noise, which nothing compresses; all else shrinks.
    compression = {
        leaf: "NONE" if leaf.startswith("splus_cut_") else "ZSTD" for leaf in _leaves(schema)
    }
    options = {"compression": compression, "use_dictionary": False, "write_page_checksum": True}
    with pq.ParquetWriter(path, schema, **options) as writer:
        for start in range(0, scalars.num_rows, ROW_GROUP):
            part = scalars.slice(start, ROW_GROUP)
            images = measured.cutouts(start, part.num_rows)
            writer.write_table(pa.table([*part.columns, *images], schema=schema), ROW_GROUP)


def _leaves(schema: pa.Schema) -> Iterator[str]:
    """Names of the columns as parquet sees them."""
    for column in schema:
        yield f"{column.name}.list.element" if pa.types.is_list(column.type) else column.name
