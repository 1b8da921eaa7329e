"""The description of a cube's columns, as table, as JSON and as page."""

import json
import re

import numpy as np
import pytest

from astromodal.config import load_config
from astromodal.data.columns import cube_columns, planned_columns
from astromodal.data.problems import judge_unit
from astromodal.data.schema import as_json, describe, every_group, page, table

EVERY = every_group()
BY_NAME = {entry["name"]: entry for entry in as_json(EVERY)}


def names(columns):
    return {column.name for own in columns.values() for column in own}


def test_every_column_that_is_read_is_in_each_form():
    """No more and no less in JSON; all of them in table and page."""
    read = names(planned_columns(EVERY))
    assert BY_NAME.keys() == read
    for text in (table(EVERY), page()):
        assert all(re.search(rf"\b{name}\b", text) for name in read)


def test_the_columns_are_those_of_the_configuration():
    """Two scalars and one group, and labels that models are fine-tuned to."""
    config = load_config(
        {
            "tokenizers": {
                "scalar": {"columns": ["mag_psf_r", "z_phot"]},
                "spectrum": {"groups": ["ztf_g"]},
            },
            "selection": {"column": "mag_psf_r"},
            "finetune": {"labels": {"age": {"column": "my_age", "unit": "Gyr"}}},
        }
    )
    found = {entry["name"]: entry for entry in as_json(config)}
    assert {"mag_psf_r", "z_phot", "ztf_hmjd_g", "my_age"} <= found.keys()
    assert not {"desi_flux_b", "mag_pstotal_u"} & found.keys()
    assert found["mag_psf_r"]["required"]
    assert found["my_age"]["settings"] == ["finetune.labels.age.column"]
    assert (found["my_age"]["unit"], found["z_phot"]["unit"]) == ("Gyr", None)
    assert "Labels that models are fine-tuned to" in table(config)


def test_json_is_plain_and_has_every_key():
    """Types, shape, unit, what is missing, settings, and an example, of every column."""
    assert json.loads(json.dumps(as_json(EVERY), allow_nan=False)) == as_json(EVERY)
    (keys,) = {tuple(entry) for entry in as_json(EVERY)}
    assert keys == ("name", "modalities", "settings", "kind", "dtype", "also_read", "unit", "shape",
                    "required", "missing", "sentinels", "meaning", "example")  # fmt: skip


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("id", "required", True),
        ("mag_pstotal_r", "modalities", ["sources", "scalars", "labels"]),
        ("mag_pstotal_r", "sentinels", [-99.0, 99.0]),
        ("vista_japermag6", "sentinels", [-999999500.0]),
        ("gaia_parallax", "unit", "mas"),
        ("gaia_parallax", "shape", []),
        ("splus_cut_R", "shape", [9216]),
        ("desi_flux_r", "shape", [2326]),
        ("desi_wave_r", "example", [5760.0, 5760.8, 5761.6]),
        ("gaiaxp_bp_coefficients", "dtype", "string"),
        ("ztf_mag_g", "shape", [None]),
        ("specz_z", "settings", ["tokenizers.scalar.columns", "evaluation.labels.redshift"]),
        ("specz_f_z", "modalities", ["scalars", "labels"]),
    ],
)
def test_facts_of_columns(name, key, value):
    """As the survey and the settings have them."""
    assert (
        BY_NAME[name][key] == pytest.approx(value)
        if key == "example"
        else (BY_NAME[name][key] == value)
    )


def test_examples_are_of_their_column_s_kind_and_unit():
    """A number is a number in the range that `astromodal check` finds likely."""
    for entry in as_json(EVERY):
        kinds = {"number": float, "list": list}
        assert isinstance(entry["example"], kinds.get(entry["kind"], str)), entry["name"]
        values = np.atleast_1d(entry["example"])
        if values.dtype.kind == "f":
            assert not list(judge_unit(entry["name"], np.repeat(values, 5))), entry["name"]


def test_the_columns_of_a_table_are_aligned():
    """In each section, every cell begins where its heading does."""
    for section in table(EVERY).split("\n\n"):
        head, *rows = section.splitlines()
        if not head.startswith("column "):
            continue
        for heading in ("type", "missing", "example", "meaning"):
            place = head.index(heading)
            assert {row[place - 1] for row in rows} == {" "}
            assert all(row[place] != " " for row in rows)


def test_without_unit_and_length_a_table_has_no_such_columns():
    """Empty columns are left out of a section."""
    section = table(EVERY).partition("Identifier")[2].split("\n\n")[1]
    assert "length" not in section
    assert "unit" in section


def test_the_page_has_a_section_for_each_modality():
    """In the order in which plans know them; one row per column."""
    text = page()
    tables = re.findall(r"\| --- .*\n((?:\|.*\n)+)", text)
    counts = [len(block.splitlines()) for block in tables[:-1]]
    assert counts == [len(dict.fromkeys(own)) for own in cube_columns(EVERY).values()]


def test_each_entry_says_where_its_name_comes_from():
    """A setting, or the fixed name of a shape, a Gaia source or a flag."""
    for entries in describe(EVERY).values():
        for entry in entries:
            fixed = entry.column.name in (
                "gaia_designation",
                "a_pixel_det",
                "b_pixel_det",
                "theta_det",
            )
            assert entry.column.setting or fixed
