"""Stamps of a user's cubes: what changes them and what does not."""

from __future__ import annotations

import os
import time
from dataclasses import asdict

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from astromodal.config import load_config
from astromodal.core.fields import layout
from astromodal.core.paths import MODALITIES
from astromodal.data.columns import modality_columns, planned_columns
from astromodal.data.cube import Cube
from astromodal.data.summary import column_digests
from astromodal.errors import DataError
from astromodal.reruns import stamps
from astromodal.storage.json_files import read_json, write_json

FIELD = "F1"


class Survey:
    """A field's cube, its results, and the plans made of it."""

    def __init__(self, folder):
        self.cube = folder / f"datacube_{FIELD}.parquet"
        self.config = load_config(
            {
                "paths": {
                    "results": str(folder / "results"),
                    "datacube_template": str(folder / "datacube_{field}.parquet"),
                },
                "tokenizers": {
                    "scalar": {"columns": ["mag_pstotal_r", "fwhm_n_det"]},
                    "spectrum": {"groups": ["desi_b"]},
                    "image": {"bands": ["R"]},
                },
            }
        )
        self.paths = layout(self.config)
        self.columns = {
            "id": ["a", "b"], "ra": [10.0, 10.1], "dec": [-1.0, -1.1],
            "mag_pstotal_r": [15.0, 16.0], "fwhm_n_det": [3.0, None],
            "desi_flux_b": [[1.0, 2.0], None], "desi_ivar_b": [[1.0, 1.0], None],
            "splus_cut_R": [[1.0] * 4, None], "unread": [1, 2],
            "specz_class_spec": ["GALAXY", "STAR"],
        }  # fmt: skip
        self.said: list[str] = []
        self.write()

    def write(self, later=1.0, **changed):
        """Write the cube, with a new time."""
        self.columns |= changed
        before = self.cube.stat().st_mtime_ns if self.cube.exists() else 10**18
        pq.write_table(pa.table(self.columns), self.cube)
        self.touch(before + int(later * 1e9))

    def touch(self, mtime_ns):
        """Give the cube a time."""
        os.utime(self.cube, ns=(mtime_ns, mtime_ns))

    def plan(self):
        """Make a plan; the stamps of each modality."""
        self.said = []
        stamps.refresh_stamps(self.config, self.paths, [FIELD], self.said.append)
        found = {}
        for modality in MODALITIES:
            with open(self.paths.stamp(modality, FIELD)) as stream:
                found[modality] = stream.read()
        return found

    def summarise(self):
        """Write the summary of the field."""
        cube, names = Cube(self.cube, FIELD), modality_columns(planned_columns(self.config))
        every = [name for group in names.values() for name in group]
        content = {**asdict(cube.version), "columns": column_digests(cube, every)}
        write_json(self.paths.summary(FIELD), {"content": content})


@pytest.fixture
def survey(tmp_path):
    return Survey(tmp_path)


def changed(before, after):
    """Modalities whose stamps differ."""
    return {modality for modality in MODALITIES if before[modality] != after[modality]}


def test_a_new_cube_is_not_read(survey, monkeypatch):
    """The first plan takes size and time alone: a survey's terabytes are not read to plan it."""
    monkeypatch.setattr(stamps, "_digests", None)
    assert survey.plan()["images"].startswith(str(survey.cube.stat().st_size))
    assert survey.said == []


def test_nothing_is_written_while_a_cube_stands(survey):
    """A second plan leaves stamps and index as they are, to the nanosecond."""
    survey.plan()
    folder = survey.cube.parent / "results/stamps"
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    survey.plan()
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_a_touched_cube_changes_no_stamp(survey):
    """After the field was summarised, another time or another writing is no change."""
    before = survey.plan()
    survey.summarise()
    survey.write()
    assert survey.plan() == before
    assert survey.said[-1] == "field F1: changed: no column that a job reads"


def test_it_is_read_once(survey, monkeypatch):
    """The plan after the one that compared a touched cube has nothing to compare."""
    survey.plan()
    survey.summarise()
    survey.write()
    survey.plan()
    monkeypatch.setattr(stamps, "_digests", None)
    survey.plan()
    assert survey.said == []


@pytest.mark.parametrize(
    ("column", "values", "modalities"),
    [
        ("desi_flux_b", [[1.0, 3.0], None], {"spectra"}),
        ("splus_cut_R", [[2.0] * 4, None], {"images"}),
        ("fwhm_n_det", [3.0, 4.0], {"scalars"}),
        ("mag_pstotal_r", [15.5, 16.0], {"sources", "scalars", "labels"}),
        ("specz_class_spec", ["QSO", "STAR"], {"labels"}),
        ("ra", [11.0, 10.1], {"sources"}),
        ("unread", [1, 3], set()),
    ],
)
def test_a_column_changes_the_stamps_of_its_modalities(survey, column, values, modalities):
    """Other spectra change the spectra's stamp alone; a column that nothing reads changes none."""
    before = survey.plan()
    survey.summarise()
    survey.write(**{column: values})
    assert changed(before, survey.plan()) == modalities


def test_a_change_that_is_taken_back_gives_the_stamps_back(survey):
    """A cube that returns to its first state gets its first stamps back, whatever its time."""
    before = survey.plan()
    survey.summarise()
    old = survey.columns["desi_flux_b"]
    survey.write(desi_flux_b=[[9.0, 9.0], None])
    assert changed(before, survey.plan()) == {"spectra"}
    survey.write(desi_flux_b=old)
    assert survey.plan() == before


def test_a_second_change_is_compared_with_the_first(survey):
    """Without a run in between, a cube is compared with the state that the last plan read."""
    survey.plan()
    survey.summarise()
    survey.write(desi_flux_b=[[9.0, 9.0], None])
    before = survey.plan()
    survey.write(splus_cut_R=[[5.0] * 4, None])
    assert changed(before, survey.plan()) == {"images"}


def test_without_a_summary_every_stamp_changes(survey):
    """A changed cube without a summary counts as new in all modalities."""
    before = survey.plan()
    survey.write()
    assert changed(before, survey.plan()) == set(MODALITIES)


def test_an_index_of_an_earlier_release_lacks_a_modality(survey):
    """Its cubes get a stamp of the new one, and keep the stamps that they have."""
    before = survey.plan()
    index = read_json(survey.paths.stamps)
    del index[FIELD]["stamps"]["labels"]
    write_json(survey.paths.stamps, index)
    os.unlink(survey.paths.stamp("labels", FIELD))
    assert survey.plan() == before


def test_a_summary_of_another_cube_is_not_trusted(survey):
    """A summary of a cube that changed after the plan does not count."""
    before = survey.plan()
    survey.write(desi_flux_b=[[9.0, 9.0], None])
    survey.summarise()
    assert changed(before, survey.plan()) == set(MODALITIES)


def test_a_damaged_cube_is_left_to_the_jobs(survey):
    """A plan goes on where a changed cube cannot be read; its field counts as changed."""
    before = survey.plan()
    survey.summarise()
    survey.cube.write_bytes(b"no parquet")
    assert changed(before, survey.plan()) == set(MODALITIES)
    assert "must be a whole parquet file" in survey.said[-1]


def test_a_cube_from_the_future_is_refused(survey):
    """Of a machine whose clock is ahead: it is said before any job runs; a minute is forgiven."""
    survey.touch(time.time_ns() + 30 * 10**9)
    survey.plan()
    survey.touch(time.time_ns() + 3600 * 10**9)
    message = "field F1: .* must be written in the past, got a time that is 0:59:59 ahead"
    with pytest.raises(DataError, match=message):
        survey.plan()


def test_two_plans_at_once_write_the_same(survey):
    """Plans made from the same index end in the same stamps."""
    survey.plan()
    survey.summarise()
    survey.write(desi_flux_b=[[9.0, 9.0], None])
    index = survey.paths.stamps
    with open(index) as stream:
        old = stream.read()
    first = survey.plan()
    with open(index, "w") as stream:
        stream.write(old)
    assert survey.plan() == first


@pytest.mark.parametrize("text", ["", "{]", '{"F1": 3}', '{"F1": {"version": {}}}'])
def test_a_lost_index_is_made_again(survey, text):
    """Without it every cube is new; stamps of cubes that never changed come out the same."""
    before = survey.plan()
    with open(survey.paths.stamps, "w") as stream:
        stream.write(text)
    assert survey.plan() == before


def test_a_lost_stamp_is_written_again(survey):
    """With the text that it had."""
    before = survey.plan()
    os.unlink(survey.paths.stamp("images", FIELD))
    assert survey.plan() == before
