"""Requests: names of targets and of what they are predicted from."""

from __future__ import annotations

import pytest

from astromodal.config import load_config
from astromodal.config.schema import SpectrumSettings
from astromodal.errors import ConfigError
from astromodal.inference.request import (
    KEYS,
    parse_request,
    photoz_column,
    requested_columns,
    require_columns,
    require_labels,
)
from astromodal.sequences.layout import sequence_layout
from helpers.model import COLUMNS, CONFIG

PARTS = CONFIG.tokenizers
LAYOUT = sequence_layout(PARTS)


def test_everything_else_is_given():
    """Without `given`, everything that is no target is given."""
    found = parse_request(LAYOUT, COLUMNS, ["specz_z", "image"], None)
    assert (found.columns, found.blocks) == ((2,), ("image",))
    assert found.given_columns == (0, 1, 3, 4, 5)
    assert found.given_blocks == ("desi_r", "gaiaxp_bp")
    assert not found.explicit


def test_a_modality_is_the_rest_of_it():
    """`scalar` and `spectrum` as targets are all of them; as given, all that are no target."""
    assert parse_request(LAYOUT, COLUMNS, "spectrum", []).blocks == ("desi_r", "gaiaxp_bp")
    assert parse_request(LAYOUT, COLUMNS, "scalar", None).columns == tuple(range(6))
    found = parse_request(LAYOUT, COLUMNS, ["specz_z", "desi_r"], ["scalar", "spectrum"])
    assert found.given_columns == (0, 1, 3, 4, 5)
    assert found.given_blocks == ("gaiaxp_bp",)


def test_nothing_given():
    """An empty list stands for nothing."""
    found = parse_request(LAYOUT, COLUMNS, "specz_z", [])
    assert (found.given_columns, found.given_blocks) == ((), ())


def test_labels_are_not_given_where_one_is_predicted():
    """Unless they are named: the error of a redshift is known where the redshift is."""
    labels = ("specz_z", "specz_e_z")
    other = COLUMNS.index("specz_e_z")
    found = parse_request(LAYOUT, COLUMNS, "specz_z", None, labels=labels)
    assert found.given_columns == tuple({0, 1, 3, 4, 5} - {other})
    assert (
        other in parse_request(LAYOUT, COLUMNS, "mag_pstotal_r", None, labels=labels).given_columns
    )
    named = parse_request(LAYOUT, COLUMNS, "specz_z", ["specz_e_z"], labels=labels)
    assert named.given_columns == (other,)


def test_a_model_of_one_order_predicts_in_it():
    """Trained on the layout's order alone, a block is predicted from those before it.

    Columns are asked after all blocks.
    """
    found = parse_request(LAYOUT, COLUMNS, "specz_z", None, shuffled=False)
    assert found.given_blocks == ("image", "desi_r", "gaiaxp_bp")
    assert parse_request(LAYOUT, COLUMNS, "image", None, shuffled=False).given_columns == ()
    with pytest.raises(ConfigError, match="given must be before the target .* got desi_r; leave"):
        parse_request(LAYOUT, COLUMNS, "image", ["desi_r"], shuffled=False)


@pytest.mark.parametrize(
    ("target", "given", "message"),
    [
        ("specz", None, r"target must be .*, got 'specz'; nearest: 'specz_e?_?z'"),
        ("desi_b", None, r"target must be a scalar column or one of scalar, .*, got 'desi_b'"),
        ("specz_z", ["imge"], r"given must be .*, got 'imge'; nearest: 'image'"),
        ("specz_z", ["specz_z"], r"given must be without any target, got 'specz_z' in both"),
        (["image"], "image", r"given must be without any target, got 'image' in both"),
        ([], None, r"target must be a column or block, got none"),
    ],
)
def test_wrong_names(target, given, message):
    """An unknown name, or one on both sides, is an error that names it."""
    with pytest.raises(ConfigError, match=message):
        parse_request(LAYOUT, COLUMNS, target, given)


def test_light_curves_cannot_be_requested():
    """The length of a curve is not modelled; a curve can be given."""
    spectrum = SpectrumSettings(groups=("ztf_r",), codebook_size=16)
    layout = sequence_layout(PARTS.model_copy(update={"spectrum": spectrum}))
    assert parse_request(layout, COLUMNS, "specz_z", ["ztf_r"]).given_blocks == ("ztf_r",)
    assert parse_request(layout, COLUMNS, ["image", "spectrum"], None).blocks == ("image",)
    with pytest.raises(ConfigError, match="the length of a light curve is not modelled, got ztf_r"):
        parse_request(layout, COLUMNS, "ztf_r", None)


def test_the_default_columns_are_those_that_the_run_has():
    """Default columns that the config lacks are left out."""
    assert len(requested_columns(load_config())) == 4
    few = load_config({"tokenizers": {"scalar": {"columns": ["specz_z", "mag_pstotal_r"]}}})
    assert requested_columns(few) == ("specz_z",)
    none = load_config({"tokenizers": {"scalar": {"columns": ["mag_pstotal_r"]}}})
    assert requested_columns(none) == ()
    with pytest.raises(ConfigError, match="predict.columns must be columns of .* got none; the"):
        require_columns(requested_columns(none))


@pytest.mark.parametrize(
    ("predict", "message"),
    [
        ({"columns": ["specz"]}, "predict.columns must be columns of .*, got specz; nearest"),
        ({"given": ["imagee"]}, "given must be .*, got 'imagee'; nearest: 'image'"),
        ({"columns": ["specz_z"], "given": ["specz_z"]}, "given must be without any target"),
    ],
)
def test_a_config_with_an_impossible_request(predict, message):
    """The error comes before any job runs."""
    with pytest.raises(ConfigError, match=message):
        requested_columns(load_config({"predict": predict}))


@pytest.mark.parametrize("name", ["specz_z", "image", "spectrum", "desi_r", *KEYS])
def test_a_label_has_a_name_of_its_own(name):
    """Not that of a column, a block, a modality or a column of every table of predictions."""
    labels = {name: {"column": "specz_class_spec"}}
    with pytest.raises(ConfigError, match=f"label must be a name .*, got '{name}'; give"):
        require_labels(load_config({"finetune": {"labels": labels}}))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"photoz": {"column": "specz_zz"}}, "photoz.column must be .* nearest: 'specz_z'"),
        ({"evaluation": {"labels": {"redshift": None}}}, "must be a column of redshifts, got none"),
    ],
)
def test_distributions_are_of_a_column_of_the_run(values, said):
    """It is that of the labels, unless another one is named."""
    assert photoz_column(load_config()) == "specz_z"
    assert photoz_column(load_config({"photoz": {"column": "specz_e_z"}})) == "specz_e_z"
    with pytest.raises(ConfigError, match=said):
        photoz_column(load_config(values))
