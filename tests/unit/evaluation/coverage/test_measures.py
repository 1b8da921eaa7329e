"""Summaries of fields, and why rows are left out."""

import numpy as np
import pytest

from astromodal.data.provenance import BandCounts
from astromodal.evaluation.coverage.measures import (
    FieldSummary,
    SourceTotal,
    measure_cutouts,
    measure_reasons,
    measure_sources,
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


def test_sources_by_hand(field_summary, source):
    """Sums over two fields, the percentage of their rows, and the median of three medians."""
    one = source(
        kind="desi_coadd", files=3, left_out=1, objects=40, dropped={"no flux": 3, "repeat": 1},
        matched=20, contested=2, separation=0.5,
    )  # fmt: skip
    two = source(
        kind="desi_coadd", files=2, objects=10, dropped={"repeat": 5}, matched=5, separation=0.1
    )
    three = source(kind="desi_coadd", matched=1, objects=1, separation=0.2)
    fields = [
        field_summary("A", sources={"desi": one}),
        field_summary("B", sources={"desi": two}, n_rows=300),
        field_summary("C", sources={"desi": three}),
    ]
    (total,) = measure_sources(fields)
    assert total == SourceTotal(
        name="desi", kind="desi_coadd", files=6, left_out=1, objects=51,
        dropped={"repeat": 6, "no flux": 3}, matched=26, percent=5.2, contested=2, separation=0.2,
    )  # fmt: skip
    assert total.used == 42


def test_a_source_that_is_joined_has_no_separation(field_summary, source):
    """Rows and objects with equal ids have no separation."""
    (total,) = measure_sources([field_summary("A", sources={"xp": source(matched=3)})])
    assert total.separation is None


def test_the_first_reason_is_the_most_frequent(field_summary, source):
    """Reasons stand in the order of their numbers over all fields."""
    sources = [{"desi": source(dropped=own)} for own in ({"a": 3, "b": 2}, {"b": 2, "c": 1})]
    (total,) = measure_sources([field_summary(str(k), sources=s) for k, s in enumerate(sources)])
    assert list(total.dropped.items()) == [("b", 4), ("a", 3), ("c", 1)]


def test_a_field_that_was_not_built_does_not_count(field_summary, source):
    """The percentage is of the rows of cubes that have the source."""
    fields = [field_summary("A", sources={"gaia": source(matched=40)}), field_summary("B")]
    assert [total.percent for total in measure_sources(fields)] == [40.0]


def test_images_have_cutouts_and_no_objects(field_summary, source):
    """Images are no source of objects; their cutouts are counted over fields by band."""
    own = {"n_files": 1, "n_cut": 60, "n_partial": 5, "n_outside": 40}
    stamps = source(kind="images", bands={"R": own, "G": {**own, "n_cut": 70}})
    other = source(kind="images", bands={"R": {**own, "n_outside": 2}})
    fields = [field_summary("A", sources={"s": stamps}), field_summary("B", sources={"s": other})]
    assert measure_sources(fields) == []
    assert measure_cutouts(fields) == {
        ("s", "R"): BandCounts(n_files=2, n_cut=120, n_partial=10, n_outside=42),
        ("s", "G"): BandCounts(n_files=1, n_cut=70, n_partial=5, n_outside=40),
    }
