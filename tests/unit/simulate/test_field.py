from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from threadpoolctl import threadpool_limits

from astromodal.config.inputs import BANDS, SimulatedField, SimulateSettings
from astromodal.config.schema import SCALAR_COLUMNS
from astromodal.data.cube import Cube
from astromodal.data.summary import column_digests
from astromodal.errors import ConfigError
from astromodal.simulate.field import simulate_field


def numbers(table: pa.Table, name: str) -> np.ndarray:
    return table[name].to_numpy().astype(np.float64)


def test_same_seed_same_bytes(sky: SimulateSettings, cube_path: Path, tmp_path: Path) -> None:
    """The same settings give the same file to the byte, whatever the number of threads."""
    again = tmp_path / "again.parquet"
    with threadpool_limits(2):
        simulate_field(sky, "WHOLE", again)
    digests = {hashlib.sha256(path.read_bytes()).hexdigest() for path in (cube_path, again)}
    assert len(digests) == 1


def test_other_seed_other_sky(sky: SimulateSettings, cube: pa.Table, tmp_path: Path) -> None:
    """Another seed gives other sources."""
    path = tmp_path / "other.parquet"
    small = SimulatedField(absent=("gaia", "desi"), n_sources=90)
    other = sky.model_copy(update={"seed": 8, "fields": {"WHOLE": small}})
    simulate_field(other, "WHOLE", path)
    assert pq.read_table(path)["sim_r_mag"].to_pylist() != cube["sim_r_mag"].to_pylist()


def test_field_does_not_depend_on_its_neighbours(
    sky: SimulateSettings, cube: pa.Table, tmp_path: Path
) -> None:
    """A field is the same whichever other fields the sky has."""
    alone = sky.model_copy(update={"fields": {"WHOLE": sky.fields["WHOLE"]}})
    simulate_field(alone, "WHOLE", tmp_path / "alone.parquet")
    assert pq.read_table(tmp_path / "alone.parquet", columns=["id", "mag_pstotal_r"]).equals(
        cube.select(["id", "mag_pstotal_r"])
    )


def test_absent_survey_changes_nothing_else(
    sky: SimulateSettings, cube: pa.Table, tmp_path: Path
) -> None:
    """Taking one survey away leaves the other surveys' columns as they were."""
    without = sky.model_copy(
        update={"fields": {"WHOLE": SimulatedField(absent=("images", "vista"))}}
    )
    simulate_field(without, "WHOLE", tmp_path / "without.parquet")
    left = pq.read_table(tmp_path / "without.parquet")
    for name in ("gaia_designation", "desi_flux_r", "gaiaxp_rp_coefficients", "specz_class_spec"):
        assert left[name].to_pylist() == cube[name].to_pylist()


def test_every_scalar_column_is_there(cube: pa.Table) -> None:
    """A field with all surveys has all scalar columns of the default config."""
    assert set(SCALAR_COLUMNS) <= set(cube.column_names)


def test_types(cube: pa.Table) -> None:
    """Types are those of real cubes."""
    expected = {
        "id": pa.binary(),
        "field": pa.binary(),
        "ra": pa.float64(),
        "mag_pstotal_r": pa.float64(),
        "err_mag_pstotal_r": pa.float32(),
        "a_pixel_det": pa.float32(),
        "gaia_source_id": pa.int64(),
        "gaia_designation": pa.string(),
        "gaia_parallax": pa.float64(),
        "desi_TARGETID": pa.float64(),
        "desi_flux_b": pa.list_(pa.float32()),
        "splus_cut_F378": pa.list_(pa.float32()),
        "gaiaxp_bp_coefficients": pa.string(),
        "gaiaxp_bp_n_parameters": pa.float64(),
        "specz_z": pa.float64(),
        "vista_ksapermag6err": pa.float64(),
        "sim_class": pa.string(),
    }
    found = {name: cube.schema.field(name).type for name in expected}
    assert {n: t.value_type if pa.types.is_list(t) else t for n, t in found.items()} == {
        n: t.value_type if pa.types.is_list(t) else t for n, t in expected.items()
    }


def test_ids_are_unique(cube: pa.Table) -> None:
    """Identifiers are unique in a field."""
    assert len(set(cube["id"].to_pylist())) == cube.num_rows


def test_row_groups_change_no_value(
    sky: SimulateSettings, cube_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row groups bound the memory of the writer; however long they are, the sky is the same."""
    monkeypatch.setattr("astromodal.simulate.field.ROW_GROUP", 64)
    short = tmp_path / "short.parquet"
    simulate_field(sky, "WHOLE", short)
    assert pq.ParquetFile(short).num_row_groups == 2
    names = pq.read_schema(short).names
    assert column_digests(Cube(short, "WHOLE"), names) == column_digests(
        Cube(cube_path, "WHOLE"), names
    )


def test_absent_surveys_have_no_columns(sky: SimulateSettings, tmp_path: Path) -> None:
    """A survey that matched nothing has no columns; without Gaia there is no XP and no cutout."""
    simulate_field(sky, "BARE", tmp_path / "bare.parquet")
    names = pq.read_schema(tmp_path / "bare.parquet").names
    gone = ("gaia", "splus_cut", "desi", "specz")
    assert not [name for name in names if name.startswith(gone)]
    assert "vista_japermag6" in names


def test_absent_band_is_null(sky: SimulateSettings, tmp_path: Path) -> None:
    """A band without images is a column of nulls; the others are there."""
    simulate_field(sky, "NO-BLUE", tmp_path / "cube.parquet")
    table = pq.read_table(tmp_path / "cube.parquet", columns=["splus_cut_F395", "splus_cut_R"])
    assert table["splus_cut_F395"].null_count == table.num_rows
    assert table["splus_cut_R"].null_count == table.num_rows - 20
    assert table.schema.field("splus_cut_F395").type == table.schema.field("splus_cut_R").type


def test_right_ascension_wraps(sky: SimulateSettings, tmp_path: Path) -> None:
    """A field centred on right ascension 0 has sources on both sides of it."""
    simulate_field(sky, "WRAPPED", tmp_path / "cube.parquet")
    ra = numbers(pq.read_table(tmp_path / "cube.parquet"), "ra")
    assert ((ra >= 0) & (ra < 360)).all()
    assert (ra < 0.71).any()
    assert (ra > 359.29).any()


def test_cutouts_need_a_gaia_match(cube: pa.Table) -> None:
    """Only rows with a Gaia match have cutouts."""
    has = np.array(cube["splus_cut_R"].is_valid())
    assert has.sum() == 45
    assert np.array(cube["gaia_designation"].is_valid())[has].all()


def test_short_cutouts_are_short_in_all_bands(cube: pa.Table) -> None:
    """A cutout at an image's edge has the same short length in every band."""
    lengths = [
        [None if p is None else len(p) for p in cube[f"splus_cut_{band}"].to_pylist()]
        for band in BANDS
    ]
    assert all(other == lengths[0] for other in lengths)
    found = {length for length in lengths[0] if length}
    assert 9216 in found
    assert found <= {9216, 5376, 8544, 3840, 7392}
    assert len(found) > 1


def test_gaia_ids_lose_digits_and_designations_keep_them(cube: pa.Table) -> None:
    """``gaia_source_id`` went through float64, the designation did not."""
    exact = [
        int(t.removeprefix("Gaia DR3 ")) for t in cube["gaia_designation"].drop_null().to_pylist()
    ]
    rounded = cube["gaia_source_id"].drop_null().to_pylist()
    assert rounded == [int(float(number)) for number in exact]
    assert rounded != exact


def test_one_gaia_source_on_two_rows(cube: pa.Table) -> None:
    """A duplicated match repeats all of the Gaia source, XP included, within an arcsec or so."""
    names = np.array(cube["gaia_designation"].to_pylist(), dtype=object)
    present = [name for name in names if name]
    twice = next(name for name in present if present.count(name) > 1)
    first, second = np.flatnonzero(names == twice)
    for column in ("gaia_phot_g_mean_flux", "gaiaxp_rp_coefficients"):
        values = cube[column].to_pylist()
        assert values[first] == values[second]
    assert abs(numbers(cube, "dec")[first] - numbers(cube, "dec")[second]) < 1 / 3600


def test_some_gaps_are_nan(sky: SimulateSettings, tmp_path: Path) -> None:
    """Most missing scalars are null, a few NaN."""
    wide = SimulatedField(n_sources=1500, absent=("gaia", "desi", "specz"))
    simulate_field(sky.model_copy(update={"fields": {"W": wide}}), "W", tmp_path / "w.parquet")
    column = pq.read_table(tmp_path / "w.parquet", columns=["vista_japermag6"])["vista_japermag6"]
    nan = np.isnan(column.drop_null().to_numpy()).sum()
    assert 0 < nan < column.null_count / 10


def test_xp_arrays_are_text(cube: pa.Table) -> None:
    """XP arrays are text of the right numbers of values, some of it quoted once more."""
    raw = cube["gaiaxp_rp_coefficient_correlations"].drop_null().to_pylist()
    parsed = [json.loads(text) for text in raw]
    assert {str, list} == {type(value) for value in parsed}
    assert {len(json.loads(v) if isinstance(v, str) else v) for v in parsed} == {1485}


def test_bp_can_be_missing(cube: pa.Table) -> None:
    """Some sources have RP without BP, none BP without RP."""
    bp = np.array(cube["gaiaxp_bp_coefficients"].is_valid())
    rp = np.array(cube["gaiaxp_rp_coefficients"].is_valid())
    assert (rp & ~bp).any()
    assert not (bp & ~rp).any()


def test_truth_says_what_applies(cube: pa.Table) -> None:
    """Truth is given for every row; what does not apply to a class is null."""
    kind = np.array(cube["sim_class"].to_pylist())
    assert set(kind) == {"STAR", "GALAXY", "QSO"}
    assert cube["sim_redshift"].null_count == 0
    np.testing.assert_array_equal(np.array(cube["sim_teff"].is_valid()), kind == "STAR")
    np.testing.assert_array_equal(np.array(cube["sim_axis_ratio"].is_valid()), kind == "GALAXY")


def test_unknown_field_is_refused(sky: SimulateSettings, tmp_path: Path) -> None:
    """A field that the settings do not have is an error that suggests one."""
    with pytest.raises(ConfigError, match=r"field must be one of .* got WHOL; nearest: 'WHOLE'"):
        simulate_field(sky, "WHOL", tmp_path / "x.parquet")


def test_one_source_is_a_field(tmp_path: Path) -> None:
    """A field of one source is written like any other."""
    one = SimulateSettings(n_sources=1, fields={"A": SimulatedField()})
    simulate_field(one, "A", tmp_path / "a.parquet")
    assert pq.read_table(tmp_path / "a.parquet").num_rows == 1
