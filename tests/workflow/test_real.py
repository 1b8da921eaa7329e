"""The workflow on real cubes, to the trained model and the report; skipped where there are none."""

import numpy as np
import pytest

from astromodal.core.paths import Layout
from astromodal.storage.json_files import read_json
from astromodal.tokenizers.scalars.tokenizer import load_scalar_tokens
from helpers.workflow import ROOT, made_once, tiny

pytestmark = pytest.mark.workflow


@pytest.fixture(scope="module")
def run(real_cubes, tmp_path_factory):
    def make(folder):
        workflow = tiny(folder, "real")
        workflow.config["paths"]["datacube_template"] = str(real_cubes / "datacube_{field}.parquet")
        workflow.run()

    workflow = made_once(tmp_path_factory, "real", make)
    paths = Layout(str(workflow.results), codebook_size=64)
    return paths, lambda field: read_json(paths.summary(field))


def test_the_cut_out_images_are_counted(run):
    """STRIPE82-REAL has 16 sources with cutouts: 9 whole, 7 cut short at the image's edge."""
    images = run[1]("STRIPE82-REAL")["images"]
    assert (images["n_whole"], images["n_short"]) == (9, 7)
    with np.load(run[0].image_tokens("STRIPE82-REAL")) as tokens:
        assert tokens["codes"].shape == (9, 576)


@pytest.mark.parametrize("group", ["desi_b", "desi_r", "desi_z"])
def test_dead_fibres_are_counted(run, group):
    """8 of the 12 DESI fibres of STRIPE82-REAL are alive, and only those are encoded."""
    spectra = run[1]("STRIPE82-REAL")["spectra"][group]
    assert (spectra["n_spectra"], spectra["n_live"]) == (12, 8)
    with np.load(run[0].spectrum_tokens("STRIPE82-REAL")) as tokens:
        assert np.count_nonzero(np.diff(tokens[f"{group}_indptr"])) == 8


@pytest.mark.parametrize(("group", "n"), [("gaiaxp_bp", 6), ("gaiaxp_rp", 7)])
def test_xp_spectra_are_counted(run, group, n):
    """GAIAXP-REAL has 7 RP spectra and a BP for 6 of them."""
    assert run[1]("GAIAXP-REAL")["spectra"][group]["n_live"] == n
    with np.load(run[0].spectrum_tokens("GAIAXP-REAL")) as tokens:
        assert np.count_nonzero(np.diff(tokens[f"{group}_indptr"])) == n


def test_a_field_of_magnitudes_alone_is_encoded(run):
    """HYDRA-REAL has no image, spectrum or Gaia column, and scalars of all its 1218 rows."""
    paths, summary = run
    field = summary("HYDRA-REAL")
    assert field["images"]["n_whole"] == 0
    assert all(group["n_spectra"] == 0 for group in field["spectra"].values())
    assert "gaia_parallax" in field["absent_columns"]
    tokens = load_scalar_tokens(paths.scalar_tokens("HYDRA-REAL"))
    assert tokens.codes.shape == (1218, 55)
    assert (tokens.codes[:, tokens.columns == "gaia_parallax"] == 65535).all()


def test_it_ends_in_a_model_and_a_report(run):
    """final_model.pt and the report are there."""
    from pathlib import Path

    assert Path(run[0].final_model).stat().st_size > 0
    assert "STRIPE82-REAL" in Path(run[0].report).read_text()


def test_the_config_names_the_cubes_beside_the_checkout():
    """tests/config/real.yaml discovers the fields by the template alone."""
    text = (ROOT / "tests/config/real.yaml").read_text()
    assert "../shared/data/cubes/datacube_{field}.parquet" in text
