import json

import numpy as np
import pyarrow as pa
import pytest

from astromodal.config.schema import (
    ImageSettings,
    SelectionSettings,
    SpectrumSettings,
    SplitSettings,
)
from astromodal.data.columns import group_columns
from astromodal.data.cube import Cube
from astromodal.data.splits import split_field
from astromodal.data.summary import summarise_field

COLUMNS = ("mag_pstotal_r", "err_mag_pstotal_u", "gaia_parallax")


@pytest.fixture
def summary(write_cube):
    def of(spectrum=SpectrumSettings(), **columns):  # noqa: B008
        base = {"id": ["a", "b", "c"], "ra": [359.5, 0.5, None], "dec": [0.0, 0.0, None]}
        base |= {"mag_pstotal_r": [15.0, 16.0, 30.0], "err_mag_pstotal_u": [0.1, None, 2e6]}
        cube = Cube(write_cube(base | columns), "F1")
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
