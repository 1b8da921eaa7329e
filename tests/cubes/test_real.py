"""From small real survey files to a model and a report; skipped where there are none."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import yaml
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.nddata import Cutout2D
from astropy.wcs import WCS

from astromodal.core.paths import Layout
from astromodal.data.provenance import BandCounts, read_provenance
from astromodal.storage.json_files import read_json
from helpers.workflow import ROOT, Workflow, made_once

pytestmark = pytest.mark.workflow

BRIGHT = "DR4_3_STRIPE82-0001_0005971"
"""The one source of the catalogue that stands inside the real stamps."""


@pytest.fixture(scope="module")
def run(real_raw, tmp_path_factory):
    """The run of tests/config/raw.yaml to its end, made once for all of the test processes."""

    def make(folder: Path) -> None:
        text = (
            (ROOT / "tests/config/raw.yaml")
            .read_text()
            .replace("../shared/data/raw", str(real_raw))
        )
        config = yaml.safe_load(text)
        config["paths"]["results"] = "results"
        Workflow(folder, config).run()

    return Layout(str(made_once(tmp_path_factory, "real_raw", make).results), codebook_size=16)


@pytest.fixture(scope="module")
def rows(real_raw) -> list[dict[str, str]]:
    """The rows of the real catalogue as text."""
    with (real_raw / "splus_dr4_dual.csv").open() as stream:
        return list(csv.DictReader(stream))


def of_field(rows, field: str) -> list[dict[str, str]]:
    return [row for row in rows if f"_{field}_" in row["ID_dual"]]


@pytest.mark.parametrize(
    ("field", "n"), [("STRIPE82-0001", 44), ("STRIPE82-0035", 113), ("STRIPE82-0047", 116)]
)
def test_a_field_has_the_rows_that_its_ids_name(run, rows, field, n):
    """Rows of a field are those with its name in the id, which grep counts too."""
    cube = pq.read_table(run.cube(field))
    assert len(of_field(rows, field)) == n == len(cube)
    assert set(cube.column("id").to_pylist()) == {row["ID_dual"] for row in of_field(rows, field)}


def test_magnitudes_are_those_of_the_file(run, rows):
    """Every magnitude is the number of the CSV, and null where that is 99."""
    cube = pq.read_table(run.cube("STRIPE82-0047"))
    found = dict(
        zip(cube.column("id").to_pylist(), cube.column("mag_auto_u").to_pylist(), strict=True)
    )
    for row in of_field(rows, "STRIPE82-0047"):
        magnitude = float(row["u_auto_dual"])
        assert found[row["ID_dual"]] == (None if magnitude == 99 else magnitude)


def test_one_source_has_a_cutout(run):
    """Of 44 sources one stands inside the stamps, in each of 12 bands; the others are outside."""
    bands = read_provenance(run.cube("STRIPE82-0001"))["stamps"].bands
    assert len(bands) == 12
    for counts in bands.values():
        assert counts == BandCounts(n_files=1, n_cut=1, n_partial=0, n_outside=43)


def test_the_cutout_is_that_of_astropy(run, real_raw, rows):
    """Its pixels are those of Cutout2D at the source's position."""
    row = next(row for row in rows if row["ID_dual"] == BRIGHT)
    cube = pq.read_table(run.cube("STRIPE82-0001"))
    found = cube.filter(pc.equal(cube.column("id"), BRIGHT)).column("splus_cut_R")[0]
    path = next((real_raw / "splus_images").glob("*_R.fits"))
    data, header = fits.getdata(path, header=True)
    where = SkyCoord(float(row["RA_dual"]), float(row["DEC_dual"]), unit="deg")
    cut = Cutout2D(data, where, 96, wcs=WCS(header))
    np.testing.assert_array_equal(found.values.to_numpy().reshape(96, 96), cut.data)


def test_spectra_elsewhere_on_the_sky_match_nothing(run):
    """The DESI and SDSS targets are 105 and 213 degrees of RA away: no match, and no columns."""
    found = read_provenance(run.cube("STRIPE82-0001"))
    assert [found[name].matched for name in ("desi", "sdss")] == [0, 0]
    names = pq.read_schema(run.cube("STRIPE82-0001")).names
    assert not [name for name in names if name.startswith(("desi_", "sdss_"))]


def test_codes_are_made_of_all_selected_rows(run, rows):
    """Sequences hold the rows with 14 <= r <= 22, as the CSV counts them."""
    r = [float(row["r_auto_dual"]) for row in of_field(rows, "STRIPE82-0035")]
    summary = read_json(run.summary("STRIPE82-0035"))
    assert summary["n_selected"] == sum(14 <= magnitude <= 22 for magnitude in r)


def test_it_ends_in_a_model_and_a_report(run):
    """The model is there, and the report shows the sources."""
    assert Path(run.final_model).stat().st_size > 0
    assert "stamps" in Path(run.report).read_text()
