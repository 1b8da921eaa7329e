"""Bounds of settings."""

import re

import pytest

from astromodal.config import load_config
from astromodal.config.load import ablation_seeds, partial_config, plain_settings
from astromodal.errors import ConfigError

ONE = "simulate.fields"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("split.nside", 100, "must be a power of 2, got 100; next to it are 64 and 128"),
        ("split.nside", 0, "must be an int in [1, 65536], got 0"),
        ("split.nside", 131072, "must be an int in [1, 65536], got 131072"),
        ("tokenizers.image.bands", ["U", "U"], "must name each once, got 'U' twice; leave one out"),
        ("tokenizers.image.bands", [], "must be a list that is not empty, got []"),
        ("tokenizers.scalar.columns", ["a", "b", "a"], "must name each once, got 'a' twice"),
        ("tokenizers.scalar.columns", [], "must be a list that is not empty, got []"),
        ("tokenizers.scalar.columns", ["image"], "must be columns, got 'image', by which"),
        ("tokenizers.spectrum.groups", ["desi_b"] * 2, "must name each once, got 'desi_b' twice"),
        ("tokenizers.spectrum.groups", [], "must be a list that is not empty, got []"),
        ("cpu_threads", 1025, "must be an int in [1, 1024], got 1025"),
        ("evaluation.n_examples", 201, "must be an int in [1, 200], got 201"),
        ("freeze", "tokenizers,tokenizers", "must name each once, got 'tokenizers' twice"),
        ("evaluation.sections", ["scalars"] * 2, "must name each once, got 'scalars' twice"),
        ("evaluation.sections", [], "must be a list that is not empty, got []"),
        ("evaluation.labels.stellar", ["a", "a"], "must name each once, got 'a' twice"),
        ("evaluation.labels.tied", ["a", "a"], "must name each once, got 'a' twice"),
        ("evaluation.reconstruction.columns", ["a", "a"], "must name each once, got 'a' twice"),
        ("predict.columns", ["a", "a"], "must name each once, got 'a' twice"),
        ("predict.given", ["image", "image"], "must name each once, got 'image' twice"),
        ("container", "", "must be text that is not empty, got ''"),
        ("container", "my image.sif", "must hold letters, digits and _ . / : @ + - only, got 'my"),
        ("container", "docker://x;ls", "must hold letters, digits and _ . / : @ + - only, got"),
        ("fields", [], "must be a list that is not empty, got []"),
        ("tokenizers.fields", [], "must be a list that is not empty, got []"),
        ("training.fields", [], "must be a list that is not empty, got []"),
        ("evaluation.fields", [], "must be a list that is not empty, got []"),
        ("tokenizers.spectrum.seed", -1, "must be an int in [0, inf), got -1"),
        ("tokenizers.image.seed", 2**64, "must be an int in [-2^63, 2^64), got"),
        ("tokenizers.image.seed", -(2**63) - 1, "must be an int in [-2^63, 2^64), got"),
        ("training.seed", -1, "must be an int in [0, 2^64), got -1"),
        ("training.seed", 2**64, "must be an int in [0, 2^64), got"),
        ("evaluation.seed", -1, "must be an int in [0, 2^32), got -1"),
        ("evaluation.seed", 2**32, "must be an int in [0, 2^32), got 4294967296"),
        (ONE, {"A": {"dec": 90.1}}, ".A.dec must be a number in [-90, 90], got 90.1"),
        (ONE, {"A": {"ra": 361}}, ".A.ra must be a number in [-360, 360], got 361"),
        (ONE, {"A": {"seeing": 0}}, ".A.seeing must be a number in [0.8, 10], got 0"),
        (ONE, {"A": {"absent_bands": ["F396"]}}, ".A.absent_bands.0 must be 'U', 'F378'"),
        (ONE, {"A": {"absent_bands": ["U", "U"]}}, ".A.absent_bands must name each once"),
        (ONE, {"A": {"absent": ["desi", "desi"]}}, ".A.absent must name each once"),
        ("evaluation.downstream.label_fractions", [0.0], ".0 must be a number in (0, 1], got 0.0"),
        ("columns.id", "", "must be text that is not empty, got ''"),
        ("selection.column", "", "must be text that is not empty, got ''"),
        ("evaluation.labels.redshift", "", "must be text that is not empty, got ''"),
        ("tokenizers.image.bands", [""], ".0 must be text that is not empty, got ''"),
        ("columns.ra", "dec", ""),
        ("training", 3, "must be a group of settings, got 3"),
        ("fields", {"A": 1}, "must be a list, got {'A': 1}"),
        ("training.use_amp", "perhaps", "must be true or false, got perhaps"),
    ],
)
def test_what_does_not_work_is_refused(name, value, said):
    """Invalid values are errors that name the setting and its valid values."""
    said = f"{name}{'' if said.startswith('.') else ' '}{said}" if said else "columns.dec must be"
    with pytest.raises(ConfigError, match=f"^{re.escape(said)}"):
        load_config({name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("split.nside", 1), ("split.nside", 65536), ("split.nside", "512"), ("split.seed", -1),
        ("simulate.seed", -(2**70)), ("evaluation.n_examples", 200),
        ("tokenizers.spectrum.seed", 2**70), ("tokenizers.image.seed", -(2**63)),
        ("training.seed", 2**64 - 2), ("evaluation.seed", 2**32 - 1), ("predict.given", []),
        ("predict.columns", []), ("evaluation.reconstruction.columns", []), ("freeze", []),
        ("evaluation.labels.stars", []), ("evaluation.labels.stellar", []),
        ("tokenizers.image.bands", ["MINE"]), ("evaluation.downstream.label_fractions", [1]),
        (ONE, {"A": {"dec": -90, "ra": -10, "seeing": 0.8, "absent_bands": ["U"]}}),
    ],
)  # fmt: skip
def test_what_works_is_taken(name, value):
    """Valid values are taken, by configurations and by jobs, up to their bounds."""
    config = load_config({name: value})
    assert partial_config({name: plain_settings(name, config)}).model_dump() != {}


def test_an_identifier_is_no_position():
    """Identifier and position must be different columns."""
    with pytest.raises(ConfigError, match=r"columns.ra must be another column than columns.id"):
        load_config({"columns.id": "ra"})


def test_a_job_that_reads_one_column_does_not_miss_the_others():
    """A job that is given only the id is not checked for other columns."""
    config = load_config({"columns": {"id": "ra", "ra": "RA"}})
    assert partial_config({"columns.id": plain_settings("columns.id", config)}).columns.id == "ra"


def test_a_label_has_one_column():
    """A column cannot be redshift and stellar parameter."""
    must = r"labels.stellar \(z\) must be another column than evaluation.labels.redshift"
    with pytest.raises(ConfigError, match=must):
        load_config({"evaluation.labels": {"redshift": "z", "stellar": ["z"]}})


def test_seeds_of_ablations_are_seeds():
    """Seeds of ablations follow that of the training and must be valid."""
    config = load_config({"training.seed": 2**64 - 1, "ablations.seeds": 1})
    assert ablation_seeds(config) == (2**64 - 1,)
    config = load_config({"training.seed": 2**64 - 1, "ablations.seeds": 2})
    with pytest.raises(ConfigError, match=r"training.seed must be at most 2\^64 - ablations.seeds"):
        ablation_seeds(config)


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("fields", [1], "0 must be text, got the number 1"),
        ("fields", 1, "0 must be text, got the number 1"),
        ("fields", True, "0 must be text, got true"),
        ("tokenizers.image.bands", ["U", False], "1 must be text, got false"),
        ("simulate.fields", {1: {}}, "1 must be text, got the number 1"),
    ],
)
def test_text_that_yaml_took_for_something_else(name, value, read):
    """The error says what to write, in a file and on the command line."""
    do = "write it in quotes in a file, in brackets on the command line: --config 'fields=[0001]'"
    with pytest.raises(ConfigError, match=f"^{re.escape(f'{name}.{read}; {do}')}$"):
        load_config({name: value})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("fields: [0001]", "fields.0 must be text, got 0001 {}, which YAML reads as the number 1"),
        ("fields: 1_0", "fields.0 must be text, got 1_0 {}, which YAML reads as the number 10"),
        ("fields: [2021-03-24]", "got 2021-03-24 {}, which YAML reads as the date 2021-03-24"),
        ("columns: {id: 12:30}", "columns.id must be text, got 12:30 {}, which YAML reads as the"),
        ("simulate: {fields: {0010: {}}}", "simulate.fields.8 must be text, got 0010 {}, which"),
        ("fields: [on]", "fields.0 must be text, got on {}, which YAML reads as true; write 'on'"),
    ],
)
def test_text_is_named_as_it_is_spelt(tmp_path, text, said):
    """The error shows the text as spelt in the file, with its line."""
    path = tmp_path / "my.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=re.escape(said.format(f"(line 1 of {path})"))):
        load_config(path)


def test_null_of_the_command_line_is_null():
    """The text null of a command line is None."""
    config = load_config({"training": {"patience": "null"}, "selection": {"column": "null"}})
    assert (config.training.patience, config.selection.column) == (None, None)
    assert load_config({"fields": "null"}).fields is None
