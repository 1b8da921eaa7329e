"""Counts, warnings and digests of a cube's columns: of what it says, not of how it is written."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astromodal.config.load import load_config
from astromodal.config.schema import (
    ImageSettings,
    SelectionSettings,
    SpectrumSettings,
    SplitSettings,
)
from astromodal.core.paths import MODALITIES
from astromodal.data.columns import group_columns, modality_columns, planned_columns
from astromodal.data.cube import Cube
from astromodal.data.provenance import PROVENANCE, BandCounts, Provenance
from astromodal.data.splits import split_field
from astromodal.data.summary import ABSENT, column_digests, summarise_field

COLUMNS = ("mag_pstotal_r", "err_mag_pstotal_u", "gaia_parallax")


@pytest.fixture
def summary(write_cube):
    def of(spectrum=SpectrumSettings(), sources=None, **columns):  # noqa: B008
        base = {"id": ["a", "b", "c"], "ra": [359.5, 0.5, None], "dec": [0.0, 0.0, None]}
        base |= {"mag_pstotal_r": [15.0, 16.0, 30.0], "err_mag_pstotal_u": [0.1, None, 2e6]}
        metadata = None
        if sources is not None:
            gave = {name: asdict(found) for name, found in sources.items()}
            metadata = {PROVENANCE: json.dumps(gave)}
        cube = Cube(write_cube(base | columns, metadata=metadata), "F1")
        split = split_field(cube, SplitSettings(), SelectionSettings())
        lists = [name for group in spectrum.groups for name in group_columns(group)]
        labels = [name for name in columns if "specz" in name]
        read = {"sources": ["id", "x"], "spectra": lists, "labels": labels}
        return summarise_field(
            cube, split, COLUMNS, spectrum, ImageSettings(), SelectionSettings(), read
        )

    return of


def test_counts_by_hand(summary):
    """Rows, selected rows, present values among the selected, absent columns."""
    found = summary()
    assert (found["n_rows"], found["n_selected"]) == (3, 2)
    assert sum(found["splits"].values()) == 2
    assert found["scalars"] == {COLUMNS[0]: 2, COLUMNS[1]: 1, COLUMNS[2]: 0}
    assert found["absent_columns"] == ["gaia_parallax"]


def test_why_rows_are_not_selected(summary):
    """Without a magnitude, too bright, too faint; the rest is selected."""
    found = summary(
        id=list("abcde"),
        ra=[1.0] * 5,
        dec=[1.0] * 5,
        mag_pstotal_r=[None, 10.0, 14.0, 22.0, 22.1],
        err_mag_pstotal_u=[0.1] * 5,
    )
    assert found["cut"] == {"missing": 1, "brighter": 1, "fainter": 1}
    assert found["n_selected"] == 2


def test_odd_rows_are_counted(summary):
    """Rows with an id or a Gaia source that an earlier row has, and rows without a position."""
    odd = summary(id=["a", "a", "c"], gaia_designation=["G 1", "G 1", "G 1"])["odd"]
    assert odd == {"repeated_id": 1, "repeated_gaia": 2, "no_position": 1}


def test_a_field_without_images_and_spectra_counts_none(summary):
    """A survey that matched nothing has no columns, and is counted as nothing."""
    found = summary()
    assert found["images"]["n_whole"] == 0
    assert {group["n_spectra"] for group in found["spectra"].values()} == {0}


def test_the_centre_of_a_field_across_ra_zero(summary):
    """359.5 and 0.5 degrees lie around 0, not around 180."""
    position = summary()["position"]
    assert np.isclose((position["ra"] + 180) % 360, 180, atol=1e-6)


def test_what_is_odd_is_said(summary):
    """Repeated ids, lost positions, shared Gaia sources and absurd errors are warned of."""
    warnings = summary(id=["a", "a", "c"], gaia_designation=["G 1", "G 1", None])["warnings"]
    text = "\n".join(warnings)
    assert "1 rows repeat an id, for example 'a'" in text
    assert "1 rows without a position" in text
    assert "1 rows share their Gaia source" in text
    assert "err_mag_pstotal_u reaches 2e+06 mag" in text


def test_short_cutouts_are_warned_of(summary):
    """A cutout cut short at the image's edge is counted and said."""
    cut = pa.array([[0.0] * 100, None, None], pa.list_(pa.float32()))
    found = summary(splus_cut_R=cut)
    assert found["images"]["n_short"] == 1
    assert "1 cutouts of a wrong length are missing" in found["warnings"]


def test_a_field_without_a_selected_row_is_said(summary):
    """A cut that nothing passes is worth a word."""
    assert "no row passes the selection" in summary(mag_pstotal_r=[30.0] * 3)["warnings"]


def test_light_curves_are_counted(summary):
    """All, and those with a good epoch; a group that lacks a column has none and is warned of."""
    spectrum = SpectrumSettings(groups=("ztf_g", "ztf_r", "ztf_i"))
    curves = {
        "ztf_mag_r": [[18.0, 18.1], [17.0], None],
        "ztf_magerr_r": [[0.1, 0.1], [0.0], None],
        "ztf_hmjd_r": [[58000.0, 58001.0], [58000.0], None],
    }
    found = summary(spectrum, **curves, ztf_mag_i=[[18.0], None, None])
    assert found["spectra"]["ztf_r"] == {"n_spectra": 2, "n_live": 1}
    assert found["spectra"]["ztf_g"] == found["spectra"]["ztf_i"] == {"n_spectra": 0, "n_live": 0}
    assert found["warnings"][-1] == "no ztf_i light curves without ztf_magerr_i, ztf_hmjd_i"


def test_it_is_plain_json(summary):
    """The summary can be written as it is."""
    found = summary()
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_the_content_is_noted_down(summary, tmp_path):
    """Size and time of the cube, and the digests of the columns that are read of it."""
    content = summary()["content"]
    stat = (tmp_path / "datacube_F1.parquet").stat()
    assert (content["size"], content["mtime_ns"]) == (stat.st_size, stat.st_mtime_ns)
    groups = SpectrumSettings().groups
    lists = [name for group in groups for name in group_columns(group)]
    assert content["columns"].keys() == {"id", "x", *lists}
    assert content["columns"]["x"] == "absent"


def test_values_that_count_as_missing_are_counted_and_said(summary):
    """Sentinels and unreliable redshifts, by column."""
    found = summary(
        mag_pstotal_r=[15.0, 99.0, -99.0],
        specz_z=[0.1, 0.2, 0.3],
        specz_f_z=["KEEP", "REMOVE(1)", None],
    )
    assert found["missing"] == {"sentinel": {"mag_pstotal_r": 2}, "unreliable": {"specz_z": 1}}
    assert found["cut"]["missing"] == 2
    text = "\n".join(found["warnings"])
    assert "2 values stand for missing ones: mag_pstotal_r (2)" in text
    assert "1 values are unreliable by their flags: specz_z (1)" in text


def test_a_pile_up_far_outside_is_warned_of(summary):
    """With what to set, if it is a sentinel."""
    n = 40
    parallax = [*np.linspace(0.1, 5, n - 6).tolist(), *[-999.0] * 6]
    magnitudes = np.linspace(15, 21, n).tolist()
    found = summary(
        id=[f"o{i}" for i in range(n)], ra=[1.0] * n, dec=[1.0] * n, mag_pstotal_r=magnitudes,
        err_mag_pstotal_u=[0.1] * n, gaia_parallax=parallax,
    )  # fmt: skip
    (warning,) = [w for w in found["warnings"] if w.startswith("gaia_parallax")]
    assert "6 rows hold -999, far outside of its other values; name it in columns.sent" in warning


def test_lists_that_are_not_read_are_warned_of(summary):
    """A band by another name would vanish without a message."""
    (warning,) = [
        w for w in summary(splus_cut_J0378=[[0.0], None, None])["warnings"] if "J0378" in w
    ]
    assert warning.startswith("columns of lists that are not read: 'splus_cut_J0378'")


def test_a_column_of_almost_the_same_name_is_warned_of(summary):
    """A configured column that the cube lacks may be misspelt."""
    assert (
        "no columns 'gaia_parallax' (nearest: 'Gaia_Parallax')"
        in (summary(Gaia_Parallax=[1.0, 2.0, 3.0])["warnings"])
    )


def test_what_sources_gave_is_kept(summary):
    """Of the files there are numbers; all else is as in the cube."""
    files = {"a.fits": "", "b.fits": ""}
    desi = Provenance("desi_coadd", files, 9, {"no flux": 2}, 5, 1, 0.25, ["c.fits"])
    stamps = Provenance("images", {"r.fits": "0a"}, bands={"R": BandCounts(1, 4, 2, 3)})
    found = summary(sources={"desi": desi, "stamps": stamps})["sources"]
    assert found["desi"] == {
        "kind": "desi_coadd", "files": 2, "objects": 9, "dropped": {"no flux": 2}, "matched": 5,
        "contested": 1, "separation": 0.25, "left_out": 1, "bands": {},
    }  # fmt: skip
    bands = {"R": {"n_files": 1, "n_cut": 4, "n_partial": 2, "n_outside": 3}}
    assert (found["stamps"]["files"], found["stamps"]["bands"]) == (1, bands)


def test_a_cube_that_was_not_built_has_no_sources(summary):
    """Cubes from elsewhere do not say what they were made of."""
    assert summary()["sources"] == {}


GOOD = Provenance("catalogue", {"raw/a.csv": ""}, objects=3, matched=2)


@pytest.mark.parametrize(
    ("changes", "warning"),
    [
        (
            {"left_out": ["raw/b.csv", "raw/c.csv"]},
            "damaged files that are left out: b.csv, c.csv",
        ),
        (
            {"left_out": [f"raw/{n}.csv" for n in "bcdefg"]},
            "damaged files that are left out: b.csv, c.csv, d.csv, e.csv and 2 more files",
        ),
        (
            {"matched": 0},
            "no row matches any of its 3 objects in and around the field",
        ),
        (
            {"matched": 0, "dropped": {"no flux": 2}},
            "no row matches any of its 3 objects in and around the field; not used: no flux (2)",
        ),
        ({"contested": 2}, "2 objects match several rows best"),
        (
            {"bands": {"R": BandCounts(1, 9, 3, 0), "G": BandCounts(1, 9, 4, 0)}},
            "7 cutouts reach beyond the edge of their image",
        ),
    ],
)
def test_what_is_unusual_about_a_source_is_said(summary, changes, warning):
    """Files left out, objects of which none matches, contested ones, and edges give one line."""
    found = Provenance(**{**vars(GOOD), **changes})
    lines = [line for line in summary(sources={"gaia": found})["warnings"] if "source g" in line]
    assert lines == [f"source gaia: {warning}"]


@pytest.mark.parametrize("found", [GOOD, Provenance("catalogue", {"raw/a.csv": ""})])
def test_usual_sources_are_not_warned_of(summary, found):
    """Nothing is said of a source that matches, or that has no object near the field."""
    assert not [line for line in summary(sources={"g": found})["warnings"] if "source g" in line]


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
        patch.setattr("astromodal.data.summary._ROWS", rows)
        patch.setattr("astromodal.data.summary._ROWS_OF_LISTS", rows)
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
