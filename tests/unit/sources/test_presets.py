"""Presets of surveys."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from astromodal.config.load import load_config
from astromodal.config.schema import SCALAR_COLUMNS
from astromodal.data.columns import planned_columns
from astromodal.errors import ConfigError
from astromodal.sources.presets import FOLDER, PRESETS, load_preset

BANDS = ("u", "j0378", "j0395", "j0410", "j0430", "g", "j0515", "r", "j0660", "i", "j0861", "z")


def written(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_the_presets_are_those_of_the_settings():
    """The description of `sources.<name>.preset` names each of them."""
    from astromodal.config.sources import SourceSettings

    listed = SourceSettings.model_fields["preset"].description or ""
    assert set(PRESETS) == set(re.findall(r"[a-z]+_?\w+", listed.split("(")[1].split(")")[0]))


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_valid(name):
    """It has a title, a position, and columns or light curves."""
    preset = load_preset(name)
    assert preset.title
    assert preset.ra
    assert preset.columns or preset.curves


@pytest.mark.parametrize(("name", "suffix"), [("splus_dr4", "PStotal_dual"), ("jplus", None)])
def test_bands_are_written_out(name, suffix):
    """One rule with {band} becomes one rule per band, in the names of the cube."""
    columns = load_preset(name).columns
    for band in BANDS:
        assert f"mag_pstotal_{band}" in columns
        assert f"err_mag_pstotal_{band}" in columns
    assert not [column for column in columns if "{" in column]
    if suffix is not None:
        assert columns["mag_pstotal_j0378"].names[0] == f"J0378_{suffix}"
        assert columns["mag_pstotal_u"].names[0] == f"u_{suffix}"


def test_every_scalar_column_comes_from_a_preset():
    """The default columns of the vocabulary can be built from S-PLUS, Gaia, VISTA and specz."""
    names = ("splus_dr4", "gaia_dr3", "vista", "specz_compilation")
    given = {column for name in names for column in load_preset(name).columns}
    assert set(SCALAR_COLUMNS) - given == set()


@pytest.mark.parametrize("name", [name for name in PRESETS if name != "ztf"])
def test_columns_have_the_types_and_units_of_the_cube(name):
    """A column that is read has the type and unit of the table of columns."""
    planned = planned_columns(load_config()).values()
    expected = {column.name: column for columns in planned for column in columns}
    types = {"text": "string"}
    for column, rule in load_preset(name).columns.items():
        if column in expected:
            assert types.get(rule.type, rule.type) == expected[column].dtype, column
            assert (rule.unit or "") == expected[column].unit, column


def test_a_copy_of_a_preset_is_the_same(tmp_path):
    """A user copies the file, and names its path."""
    path = written(tmp_path / "mine.yaml", (FOLDER / "gaia_dr3.yaml").read_text())
    assert load_preset(path) == load_preset("gaia_dr3")


def test_a_preset_may_be_json(tmp_path):
    """JSON is read as YAML is."""
    path = written(tmp_path / "p.json", json.dumps({"title": "t", "ra": "RA", "dec": ["DEC"]}))
    assert load_preset(path).ra == ("RA",)


def test_an_unknown_name_is_an_error():
    """The message names the nearest preset."""
    with pytest.raises(ConfigError, match=r"preset must be one of gaia_dr3, .*'gaia_dr2'; nearest"):
        load_preset("gaia_dr2")


def test_a_missing_file_is_an_error(tmp_path):
    """A path is not compared with the names of presets."""
    with pytest.raises(ConfigError, match=r"got '.*mine\.yaml'; there is no such file"):
        load_preset(f"{tmp_path}/mine.yaml")


HEAD = "title: t\nra: RA\ndec: DEC\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEAD + "colums: {}", r"mine\.yaml: colums is no key; nearest: 'columns'"),
        (HEAD + "columns: {z: {names: z, unti: m}}", r"columns\.z\.unti is no key; nearest: 'un"),
        (HEAD + "qqq: 1", r"qqq is no key; known: bands, columns, .*title"),
        ("ra: RA\ndec: DEC", r"mine\.yaml: title must be given, got nothing"),
        (
            HEAD + "field: [{column: f, pattern: a}]",
            r"field\.0\.pattern must have one group, got 0",
        ),
        (HEAD + "field: [{column: f, pattern: '('}]", r"pattern must be a regular expression, got"),
        (HEAD + "columns: {z: {names: z, type: int}}", r"columns\.z\.type must be 'float64', .*"),
        (HEAD + "columns: {'m_{band}': m}", r"the file must give bands for columns\.m_\{band\}"),
        (HEAD + "title: u", r"title must be given once in .*mine\.yaml, got lines 1 and 4"),
        ("- a", r"mine\.yaml must be a mapping of settings, got list"),
    ],
)
def test_an_invalid_preset_is_an_error(tmp_path, text, message):
    """The message names the file, the key, and the nearest key where it is unknown."""
    with pytest.raises(ConfigError, match=message):
        load_preset(written(tmp_path / "mine.yaml", text))
