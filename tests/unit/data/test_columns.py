import astropy.units as u
import pytest

from astromodal.config import load_config
from astromodal.config.schema import SCALAR_COLUMNS
from astromodal.core.paths import MODALITIES
from astromodal.data.columns import (
    ACCEPTED,
    cube_columns,
    group_columns,
    modality_columns,
    planned_columns,
    scalar_unit,
)
from astromodal.data.parquet import Footer
from astromodal.surveys.registry import GROUPS, spectrum_group
from faults.jobs import CONFIG, FIELD, good_table, run_jobs, tokenizers, write

EVERY = load_config({"tokenizers": {"spectrum": {"groups": list(GROUPS.names)}}})


def test_columns_go_by_modality():
    """Each modality that stamps know has its columns."""
    assert tuple(planned_columns(EVERY)) == MODALITIES
    assert tuple(cube_columns(EVERY)) == MODALITIES[:-1]


def test_labels_to_fine_tune_to_are_columns_of_plans():
    """Of numbers or classes, with their errors; a table is none of the cube's columns."""
    labels = {
        "kind": {"column": "my_class"},
        "age": {"column": "my_age", "error": "my_age_error", "unit": "Gyr"},
        "other": {"table": "labels.csv", "value": "x", "error": "dx"},
    }
    found = planned_columns(load_config({"finetune": {"labels": labels}}))["finetuned"]
    assert [(c.name, c.kind, c.unit) for c in found] == [
        ("my_class", "label", None),
        ("my_age", "label", "Gyr"),
        ("my_age_error", "number", None),
    ]


def test_every_column_is_described():
    """Type, meaning, and a unit that is known, of all that is read by default."""
    for column in (c for columns in cube_columns(EVERY).values() for c in columns):
        assert column.kind in ACCEPTED
        assert column.dtype
        assert column.meaning
        assert column.unit is not None


def test_all_scalars_are_there():
    """In the order of the vocabulary."""
    assert modality_columns(cube_columns(EVERY))["scalars"][: len(SCALAR_COLUMNS)] == SCALAR_COLUMNS


@pytest.mark.parametrize("group", GROUPS.names)
def test_a_group_has_three_columns(group):
    """Light curves too: magnitude, error, time."""
    assert len(group_columns(group)) == 3
    assert group_columns(group) == [column.name for column in spectrum_group(group).columns]


def test_jobs_read_no_other_columns(tmp_path, monkeypatch):
    """What is read of a cube, from its split to its sequences, stands in the table."""
    path, read = tmp_path / f"datacube_{FIELD}.parquet", set()
    write(good_table(), path)
    fitted, ordinary = tokenizers(path), Footer.read
    listed = {name for names in modality_columns(cube_columns(CONFIG)).values() for name in names}

    def noting(self, columns, *options):
        read.update(columns)
        return ordinary(self, columns, *options)

    monkeypatch.setattr(Footer, "read", noting)
    run_jobs(path, fitted, tmp_path)
    assert read <= listed
    assert {*group_columns("desi_r"), "mag_pstotal_r", "ra"} <= read


def test_a_good_cube_s_columns_are_of_the_kinds_that_are_accepted(tmp_path):
    """The table's kinds are those of a cube that every job reads."""
    path = tmp_path / f"datacube_{FIELD}.parquet"
    write(good_table(), path)
    held = dict(Footer(path, FIELD).kinds())
    for columns in cube_columns(CONFIG).values():
        for column in columns:
            assert held.get(column.name, "nothing") in {*ACCEPTED[column.kind][1], "nothing"}


@pytest.mark.parametrize(
    ("column", "unit"),
    [
        ("mag_pstotal_r", "mag"), ("vista_japermag6err", "mag"), ("a_pixel_det", "pix"),
        ("theta_det", "deg"), ("gaia_pmra_error", "mas / yr"), ("gaia_teff_gspphot", "K"),
        ("gaia_phot_g_mean_flux", "electron / s"), ("specz_z", ""), ("another", None),
    ],
)  # fmt: skip
def test_units_of_columns(column, unit):
    """Empty without one, None where it is not known."""
    assert scalar_unit(column) == unit


def test_astropy_reads_every_unit():
    """Of each default column, and of spectra."""
    for name in SCALAR_COLUMNS:
        u.Unit(scalar_unit(name))
    for group in GROUPS:
        for unit in (group.values.unit, group.axis.unit, *(c.unit for c in group.columns)):
            u.Unit(unit)
    flux, ivar, _ = (u.Unit(column.unit) for column in spectrum_group("desi_b").columns)
    assert ivar == flux**-2
