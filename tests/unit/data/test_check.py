import pytest

from astromodal.config import load_config
from astromodal.data.check import cube_errors, notices, unread_lists
from astromodal.data.columns import cube_columns, group_columns, modality_columns

CONFIG = load_config(
    {
        "tokenizers": {
            "scalar": {"columns": ["mag_pstotal_r", "gaia_parallax"]},
            "spectrum": {"groups": ["desi_b", "gaiaxp_bp", "ztf_r"]},
            "image": {"bands": ["R", "F378"]},
        }
    }
)
GOOD = {
    "id": "text",
    "ra": "numbers",
    "dec": "numbers",
    "mag_pstotal_r": "numbers",
    "gaia_parallax": "numbers",
    **dict.fromkeys(group_columns("desi_b"), "lists"),
    **dict.fromkeys(group_columns("gaiaxp_bp"), "text"),
    **dict.fromkeys(group_columns("ztf_r"), "lists"),
    "splus_cut_R": "lists",
    "splus_cut_F378": "lists",
    "specz_z": "numbers",
    "specz_class_spec": "text",
    "gaia_teff_gspphot": "nothing",
    "other": "timestamp[ns]",
}


def errors_of(config=CONFIG, drop=(), **changes):
    held = {name: kind for name, kind in {**GOOD, **changes}.items() if name not in drop}
    return cube_errors("F1", "datacube_F1.parquet", list(held.items()), config)


def notices_of(cubes, config=CONFIG, fitted=("F1",)):
    return notices({f: tuple(held.items()) for f, held in cubes.items()}, config, fitted)


def without(*names, **more):
    return {name: kind for name, kind in {**GOOD, **more}.items() if name not in names}


def test_a_good_cube_has_no_errors():
    """Whatever else stands in it."""
    assert errors_of() == []


def test_a_cube_without_identifiers_names_the_setting():
    """Another name is close, in whatever case, and ``columns.id`` takes it."""
    (error,) = errors_of(drop=["id"], ID="text")
    assert error == (
        "field F1: column 'id' is missing from datacube_F1.parquet; nearest: 'ID'; "
        "name the column of identifiers in columns.id"
    )


def test_a_cube_without_the_cut_s_magnitude_names_the_setting():
    """A cube of spectra alone has no magnitude to select by."""
    (error,) = errors_of(drop=["mag_pstotal_r"])
    assert "column 'mag_pstotal_r' is missing from datacube_F1.parquet" in error
    assert error.endswith("in selection.column, or null to select every row")
    everything = load_config({**CONFIG.model_dump(mode="json"), "selection.column": None})
    assert errors_of(everything, drop=["mag_pstotal_r"]) == []


@pytest.mark.parametrize(
    ("column", "kind", "must"),
    [
        ("id", "numbers", "a column of text, bytes or whole numbers"),
        ("ra", "text", "a column of numbers"),
        ("mag_pstotal_r", "lists", "a column of numbers"),
        ("desi_flux_b", "text", "a column of lists of numbers"),
        ("gaiaxp_bp_coefficients", "numbers", "a column of lists of numbers or of texts"),
        ("splus_cut_R", "list<item: list<item: float>>", "a column of lists of numbers"),
        ("specz_class_spec", "whole numbers", "a column of text"),
        ("specz_f_z", "lists", "a column of flags, text or numbers"),
    ],
)
def test_columns_of_another_type_are_errors(column, kind, must):
    """A job would end with the same error when it reads them."""
    (error,) = errors_of(**{column: kind})
    assert error.startswith(f"field F1: column {column!r} of datacube_F1.parquet must be {must}")
    assert f"got {kind}; repair the cube" in error


@pytest.mark.parametrize("name", ["desi_ivar_b", "gaiaxp_bp_coefficient_errors"])
def test_a_group_with_a_column_missing_is_an_error(name):
    """Flux without its errors cannot be read."""
    (error,) = errors_of(drop=[name])
    assert f"column {name!r} is missing" in error


def test_a_light_curve_without_errors_is_none():
    """The summary warns of it; jobs go on."""
    assert errors_of(drop=["ztf_magerr_r"]) == []


def test_columns_that_stand_twice_are_an_error():
    """Which one would be read?"""
    (error,) = cube_errors("F1", "f.parquet", [*GOOD.items(), ("ra", "numbers")], CONFIG)
    assert "column names of f.parquet must be unique, got ['ra'] twice" in error


def test_a_cube_of_nothing_that_is_read_is_an_error():
    """An id alone makes no field."""
    config = load_config({"selection.column": None})
    (error,) = cube_errors("F1", "f.parquet", [("id", "text"), ("R", "numbers")], config)
    assert "columns of f.parquet must be some of those that are read, such as ra, dec" in error
    assert "got none of them, but id, R" in error


def test_all_errors_of_a_cube_come_at_once():
    """Whoever repairs a cube does so once."""
    assert len(errors_of(drop=["id", "desi_wave_b"], ra="text", specz_z="text")) == 4


def test_lists_by_other_names_are_found_with_the_nearest():
    """Cutouts that are named as catalogues name bands."""
    kinds = list(without("splus_cut_F378", splus_cut_J0378="lists").items())
    read = [name for names in modality_columns(cube_columns(CONFIG)).values() for name in names]
    assert unread_lists(kinds, read) == ["'splus_cut_J0378' (nearest: 'splus_cut_F378')"]


def test_notices_name_lists_that_are_not_read_and_their_fields():
    """A band that vanishes from some fields only is in those fields' notice."""
    odd = without("splus_cut_F378", splus_cut_J0378="lists")
    lines = notices_of({"A": GOOD, "B": odd}, fitted=("A", "B"))
    (line,) = [line for line in lines if line.startswith("lists")]
    assert line == ("lists that are not read (in B): 'splus_cut_J0378' (nearest: 'splus_cut_F378')")


def test_a_misspelt_column_is_in_no_cube():
    """Its setting and the nearest name in the cubes are named, once for all fields."""
    settings = {"tokenizers.scalar.columns": ["mag_pstotl_r", "gaia_parallax", "far_off"]}
    config = load_config({**CONFIG.model_dump(mode="json"), **settings})
    lines = notices_of({"A": GOOD, "B": GOOD}, config, ("A",))
    (line,) = [line for line in lines if "tokenizers.scalar.columns" in line]
    assert line.endswith(": 'mag_pstotl_r' (nearest: 'mag_pstotal_r'), 'far_off'")


def test_what_one_cube_has_is_configured_well():
    """A survey that matched nothing in a field is no mistake."""
    assert not [
        line
        for line in notices_of({"A": GOOD, "B": without("gaia_parallax")}, fitted=("A",))
        if "gaia_parallax" in line
    ]


@pytest.mark.parametrize("kind", ["nothing", None])
def test_tokenizers_without_a_cutout_are_announced(kind):
    """Where the training fields' columns of cutouts are absent, or null throughout."""
    bands = dict.fromkeys(("splus_cut_R", "splus_cut_F378"), kind)
    held = {name: k for name, k in {**GOOD, **bands}.items() if k}
    lines = notices_of({"A": held, "B": GOOD}, fitted=("A",))
    assert any("the image tokenizer is trained on nothing" in line for line in lines)
    assert not any("trained on nothing" in line for line in notices_of({"A": GOOD}, fitted=("A",)))


def test_cubes_without_positions_are_announced():
    """Then neighbours on the sky may stand in training and test."""
    lines = notices_of({"F1": without("ra", "dec")})
    assert any(line.startswith("no cube has positions") for line in lines)
