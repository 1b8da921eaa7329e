"""Summaries of fields, and why rows are left out."""

import numpy as np
import pytest

from astromodal.evaluation.coverage.measures import (
    FieldSummary,
    measure_reasons,
    modality_counts,
    percentages,
)
from astromodal.storage.json_files import write_json


def test_reasons_by_hand(field_summary):
    """Over two fields: what is left out and why, how many, of how many, and where most."""
    reasons = measure_reasons([field_summary("A"), field_summary("B", spectra={}, n_rows=300)])
    found = {r.what: [r.n, r.percent, r.n_fields, r.most] for r in reasons}
    assert found == {
        "row without a magnitude": [2, 0.5, 2, "A: 1"],
        "row too bright": [4, 1.0, 2, "A: 2"],
        "row too faint": [14, pytest.approx(3.5), 2, "A: 7"],
        "row with an earlier row's Gaia source": [6, 1.5, 2, "A: 3"],
        "cutout of a wrong length": [4, pytest.approx(400 / 124), 2, "A: 2"],
        "desi_b without a good value": [1, 20.0, 1, "A: 1"],
    }


def test_modalities_are_counted_by_survey(field_summary):
    """The largest number among the groups of a survey counts; a survey without a group has none."""
    spectra = {
        "desi_b": {"n_spectra": 9, "n_live": 4},
        "desi_r": {"n_spectra": 7, "n_live": 6},
        "ztf_g": {"n_spectra": 3, "n_live": 3},
    }
    counts = modality_counts([field_summary("A", spectra=spectra), field_summary("B", spectra={})])
    assert {name: own.tolist() for name, own in counts.items()} == {
        "cutouts": [60, 60], "desi": [6, 0], "ztf": [3, 0],
    }  # fmt: skip


def test_a_summary_is_read_from_its_file(tmp_path, summary):
    """Live and dead spectra, the position and the digests of columns."""
    write_json(tmp_path / "s.json", summary("A"))
    field = FieldSummary.load(tmp_path / "s.json")
    assert field == FieldSummary.from_json(summary("A"))
    assert (field.ra, field.dec, field.size) == (10.0, -30.0, 2_500_000)
    assert field.live_and_dead("desi_b") == (4, 1)
    assert field.live_and_dead("desi_z") == (0, 0)
    assert (field.role(["A"]), field.role(["B"])) == ("trained", "held out")


def test_percentages_need_selected_objects(field_summary):
    """A field without one has NaN, a column that a field lacks has 0."""
    fields = [field_summary("A"), field_summary("B", n_selected=0)]
    found = percentages(fields, ["mag_r", "w"])
    assert found[:, 0].tolist() == [100, 0]
    assert np.isnan(found[:, 1]).all()
