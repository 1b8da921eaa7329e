"""What plans know of cubes from their footers."""

from __future__ import annotations

import errno

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from astromodal.config import load_config
from astromodal.core.fields import layout, run_fields
from astromodal.data.parquet import Footer
from astromodal.errors import DataError
from astromodal.reruns.stamps import check_cubes
from astromodal.storage.json_files import read_json

GOOD = {"id": ["a"], "ra": [1.0], "dec": [1.0], "mag_pstotal_r": [15.0]}


@pytest.fixture
def survey(tmp_path):
    """Write cubes by field, plan, and give the lines that were said."""

    def plan(cubes=(), **settings):
        for field, columns in dict(cubes).items():
            path = tmp_path / f"datacube_{field}.parquet"
            if isinstance(columns, bytes):
                path.write_bytes(columns)
            else:
                pq.write_table(pa.table(columns), path)
        paths = {"results": f"{tmp_path}/results"}
        paths["datacube_template"] = f"{tmp_path}/datacube_{{field}}.parquet"
        config = load_config({"paths": paths, **settings})
        said: list[str] = []
        check_cubes(config, layout(config), run_fields(config), said.append)
        return said

    return plan


@pytest.fixture
def opened(monkeypatch):
    """Fields whose footers are read."""
    fields, ordinary = [], Footer.__init__

    def noting(self, path, field):
        fields.append(field)
        ordinary(self, path, field)

    monkeypatch.setattr(Footer, "__init__", noting)
    return fields


def renamed(**names):
    return {names.get(name, name): values for name, values in GOOD.items()}


def test_footers_are_read_once(survey, opened):
    """And again only of a cube whose size or time has changed."""
    survey({"A": GOOD, "B": GOOD})
    assert sorted(opened) == ["A", "B"]
    survey()
    assert len(opened) == 2
    survey({"B": {**GOOD, "more": [1]}})
    assert opened[2:] == ["B"]


def test_cubes_of_the_same_columns_share_them(survey, tmp_path):
    """Thousands of fields take little room."""
    survey({"A": GOOD, "B": GOOD, "C": {**GOOD, "more": [1]}})
    stored = read_json(tmp_path / "results/stamps/columns.json")
    assert (len(stored["columns"]), len(stored["cubes"])) == (2, 3)


def test_a_lost_file_is_made_again(survey, tmp_path, opened):
    """It holds nothing that the cubes do not."""
    before = survey({"A": GOOD})
    (tmp_path / "results/stamps/columns.json").write_text("{")
    assert survey() == before
    assert opened == ["A", "A"]


def test_the_errors_of_all_cubes_come_at_once(survey):
    """Before any job: those of the columns and those of damaged files."""
    cubes = {"A": renamed(id="ID"), "B": renamed(mag_pstotal_r="r"), "C": b"PAR1", "D": GOOD}
    with pytest.raises(DataError) as error:
        survey(cubes)
    lines = str(error.value).splitlines()
    assert [line.split(":")[0] for line in lines] == ["field C", "field A", "field B"]


def test_one_error_of_many_cubes_is_one_line(survey):
    """It names one of them and how many there are."""
    with pytest.raises(DataError, match=r"^field A: column 'id' is missing .* \(and in 2 more"):
        survey({field: renamed(id="ID") for field in "ABC"})


def test_many_errors_are_cut_short(survey):
    """A terminal holds no thousand lines."""
    with pytest.raises(DataError, match="… and 5 more$"):
        survey({f"F{i:02d}": b"no parquet" for i in range(25)})


def test_fields_that_are_skipped_are_named_and_planned(survey):
    """With ``on_bad_field: skip`` an error is a line, and the run goes on without the field."""
    said = survey({"A": renamed(id="ID"), "B": GOOD}, on_bad_field="skip")
    assert said[0].startswith("field A: column 'id' is missing")


def test_only_fields_of_the_run_are_looked_at(survey, opened):
    """A field that is left out may be as bad as it likes."""
    survey({"A": GOOD, "B": b"no parquet"}, fields=["A"], **{"tokenizers.fields": ["A"]})
    assert opened == ["A"]


def test_a_cube_that_may_not_be_read_is_an_error(survey, monkeypatch):
    """One line says whose it must be; the next plan looks again."""
    ordinary = Footer.__init__

    def forbidden(self, path, field):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Footer, "__init__", forbidden)
    with pytest.raises(DataError, match="datacube_A.parquet must be yours to read"):
        survey({"A": GOOD})
    monkeypatch.setattr(Footer, "__init__", ordinary)
    survey()


def test_a_plan_reads_no_rows(survey, monkeypatch):
    """Only `astromodal check` does: a repeated id is none of the plan's errors."""
    monkeypatch.setattr(Footer, "read", lambda *given: pytest.fail("rows were read"))
    assert (
        survey({"A": {**GOOD, "id": ["a"]}, "B": {k: v * 2 for k, v in GOOD.items()}}) == survey()
    )
