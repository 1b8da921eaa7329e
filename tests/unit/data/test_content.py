"""Digests of a cube's columns: of what it says, not of how it is written."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astromodal.config.load import load_config
from astromodal.core.paths import MODALITIES
from astromodal.data import content
from astromodal.data.columns import modality_columns, planned_columns
from astromodal.data.content import ABSENT, column_digests
from astromodal.data.cube import Cube

N = 700


@pytest.fixture(scope="module")
def table():
    """Ids, numbers with gaps, ragged lists with gaps, texts."""
    rng = np.random.default_rng(0)
    gaps = rng.random(N) < 0.1
    gaps[6] = False
    lists = [rng.normal(size=i % 5).tolist() if i % 7 else None for i in range(N)]
    return pa.table(
        {
            "id": [f"o{i}" for i in range(N)],
            "mag": pa.array(np.where(gaps, np.nan, rng.normal(20, 1, N))),
            "count": pa.array([i if i % 3 else None for i in range(N)], pa.int32()),
            "flux": pa.array(lists, pa.list_(pa.float32())),
            "name": pa.array([None if i % 4 == 0 else f"n{i % 9}" for i in range(N)]),
            "nothing": pa.nulls(N),
            "flag": pa.array([i % 2 == 0 for i in range(N)]),
        }
    )


def digests(table, path, **options):
    pq.write_table(table, path, **options)
    return column_digests(Cube(path, "F"), [*table.column_names, "no_such"])


@settings(max_examples=12)
@given(
    st.integers(1, N), st.sampled_from(["none", "zstd", "snappy"]), st.booleans(), st.integers(1, N)
)
def test_how_a_table_is_written_does_not_matter(tmp_path_factory, table, group, code, words, rows):
    """Row groups, compression, dictionaries and how many rows are read at once change nothing."""
    folder = tmp_path_factory.mktemp("cube")
    plain = digests(table, folder / "datacube_F.parquet")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(content, "_ROWS", rows)
        patch.setattr(content, "_ROWS_OF_LISTS", rows)
        again = digests(
            table, folder / "datacube_F.parquet", row_group_size=group, compression=code,
            use_dictionary=words,
        )  # fmt: skip
    assert again == plain


def test_pandas_changes_nothing(tmp_path, table):
    """A table that pandas read and wrote again has the same digests, its numbers' gaps included."""
    kept = table.select(["id", "mag", "flux", "name", "flag"])
    before = digests(kept, tmp_path / "datacube_F.parquet")
    kept.to_pandas().to_parquet(tmp_path / "datacube_F.parquet")
    assert column_digests(Cube(tmp_path / "datacube_F.parquet", "F"), before) == before


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("id", "other"), ("mag", 1.0), ("mag", None), ("count", 0), ("flux", [1.0]), ("flux", []),
        ("flux", None), ("name", None), ("name", ""), ("flag", None), ("nothing", None),
    ],
)  # fmt: skip
def test_one_value_changes_its_column_s_digest_alone(tmp_path, table, column, value):
    """Another value in one row is noticed, in its column and in no other."""
    before = digests(table, tmp_path / "datacube_F.parquet")
    values = table.column(column).to_pylist()
    values[3 if column == "count" else 6] = value
    i = table.column_names.index(column)
    changed = table.set_column(i, column, pa.array(values, table.column(column).type))
    after = digests(changed, tmp_path / "datacube_F.parquet")
    differ = {name for name in before if before[name] != after[name]}
    assert differ == (set() if column == "nothing" else {column})


def test_the_order_of_rows_matters(tmp_path, table):
    """Codes stand in the order of rows, so another order is another content."""
    before = digests(table, tmp_path / "datacube_F.parquet")
    after = digests(table.take(np.arange(N)[::-1].copy()), tmp_path / "datacube_F.parquet")
    assert {name for name in before if before[name] == after[name]} == {"nothing", "no_such"}


def test_the_precision_of_numbers_matters(tmp_path):
    """The same numbers as float32 and as float64 are distinguished."""
    found = [
        digests(
            pa.table({"id": ["a"], "x": pa.array([1.0], kind)}), tmp_path / "datacube_F.parquet"
        )
        for kind in (pa.float32(), pa.float64())
    ]
    assert found[0]["x"] != found[1]["x"]


def test_an_absent_column_is_said_to_be(tmp_path, table):
    """A column that the cube lacks has a digest of its own, which it leaves when it appears."""
    assert digests(table, tmp_path / "datacube_F.parquet")["no_such"] == ABSENT


def test_columns_of_each_modality():
    """What the jobs of a modality read follows the config: its columns, groups and bands."""
    tokenizers = {
        "scalar": {"columns": ["mag_pstotal_r"]},
        "spectrum": {"groups": ["desi_b", "ztf_g"]},
        "image": {"bands": ["R"]},
    }
    labels = {"kind": None, "redshift": "z", "stellar": ["teff"], "tied": ["z_error"]}
    config = load_config({"tokenizers": tokenizers, "evaluation": {"labels": labels}})
    found = modality_columns(planned_columns(config))
    assert set(found) == set(MODALITIES)
    assert found["sources"] == ("id", "ra", "dec", "mag_pstotal_r")
    assert {"desi_flux_b", "ztf_mag_g", "ztf_hmjd_g"} < set(found["spectra"])
    assert found["images"] == ("splus_cut_R", "a_pixel_det", "b_pixel_det", "theta_det")
    assert found["labels"] == ("z", "teff", "z_error", "mag_pstotal_r")
