import re
from pathlib import Path

import pytest

from astromodal.config import load_config
from astromodal.core.fields import (
    check_frozen,
    cube_template,
    frozen_files,
    layout,
    notices,
    run_fields,
    spread_evenly,
    starting_model,
)
from astromodal.errors import ConfigError


def simulated(**settings):
    return load_config({"simulate": {"fields": {"A": {}, "B": {}, "C": {}}}, **settings})


def test_a_simulated_run_has_the_simulated_fields():
    """Without a template, the fields are the sky's, and cubes lie among the results."""
    config = simulated()
    assert run_fields(config).every == ("A", "B", "C")
    assert cube_template(config) == "results/cubes/datacube_{field}.parquet"


BUILT = {"cat": {"kind": "catalogue", "files": "a.csv", "preset": "splus_dr4"}}


def test_fields_are_not_known_before_sources_are_indexed():
    """Until then, lists may name fields that do not exist yet."""
    config = load_config({"sources": BUILT, "tokenizers": {"fields": ["A"]}})
    assert run_fields(config).used == ()
    assert run_fields(config, ("A", "B")).tokenizers == ("A",)
    with pytest.raises(ConfigError, match=r"tokenizers.fields: 'A' is no field of this run"):
        run_fields(config, ("B",))


def test_fields_that_nothing_was_trained_on_are_evaluated():
    """The report is made on fields kept aside, where there are some."""
    fields = run_fields(simulated(tokenizers={"fields": ["A"]}, training={"fields": ["B"]}))
    assert (fields.tokenizers, fields.training) == (("A",), ("B",))
    assert fields.trained == ("A", "B")
    assert fields.evaluation == ("C",)


def test_without_fields_aside_all_are_evaluated():
    """Where everything trained, every field is evaluated (on its test split)."""
    assert run_fields(simulated()).evaluation == ("A", "B", "C")


def test_the_transformer_trains_on_the_tokenizers_fields():
    """training.fields defaults to tokenizers.fields."""
    assert run_fields(simulated(tokenizers={"fields": ["B"]})).training == ("B",)


def test_cubes_are_discovered(tmp_path):
    """Every file that the template matches is a field, in the order of names."""
    for name in ("datacube_B-1.parquet", "datacube_A.parquet", "other.parquet"):
        (tmp_path / name).touch()
    config = load_config({"paths": {"datacube_template": f"{tmp_path}/datacube_{{field}}.parquet"}})
    assert run_fields(config).every == ("A", "B-1")


@pytest.mark.parametrize("name", ["A;rm x", "A B", "..", "A\nB", "$(x)", "é", "-A", ""])
def test_cubes_of_other_names_are_refused(tmp_path, name):
    """A file name cannot bring spaces or shell characters in, nor is its cube left out silently."""
    (tmp_path / f"datacube_{name}.parquet").touch()
    (tmp_path / "datacube_A.parquet").touch()
    config = load_config({"paths": {"datacube_template": f"{tmp_path}/datacube_{{field}}.parquet"}})
    with pytest.raises(ConfigError) as caught:
        run_fields(config)
    assert "must be a name of letters, digits" in str(caught.value)
    assert f"got {name!r}; rename the cube, or move it" in str(caught.value)


def test_no_cube_at_all_is_an_error(tmp_path):
    """A template that matches no cube is an error."""
    config = load_config({"paths": {"datacube_template": f"{tmp_path}/{{field}}.parquet"}})
    with pytest.raises(ConfigError, match=r"datacube_template must be the path of some cube"):
        run_fields(config)


def test_a_sky_of_no_field_is_an_error():
    """A run without simulated fields and cubes is an error."""
    with pytest.raises(ConfigError, match="simulate.fields must be a field or more, got none"):
        run_fields(load_config({"simulate": {"fields": {}}}))


def test_a_listed_field_needs_its_cube(tmp_path):
    """A field without a file is named, with the nearest that has one."""
    (tmp_path / "A-1.parquet").touch()
    template = f"{tmp_path}/{{field}}.parquet"
    config = load_config({"paths": {"datacube_template": template}, "fields": ["A-2"]})
    with pytest.raises(ConfigError, match="fields: 'A-2' is no field of this run; nearest: 'A-1'"):
        run_fields(config)


def test_a_training_field_must_be_a_field():
    """A misspelt field is refused with the nearest one."""
    config = load_config(
        {"simulate": {"fields": {"SIM-1": {}}}, "tokenizers": {"fields": ["SIM1"]}}
    )
    with pytest.raises(ConfigError, match="'SIM1' is no field of this run; nearest: 'SIM-1'"):
        run_fields(config)


def test_fields_from_the_command_line():
    """`--config fields=A,C` restricts a run."""
    assert run_fields(simulated(fields="A,C")).every == ("A", "C")


def test_fields_by_pattern():
    """Fields are matched by `*` and `[...]`, as in a shell."""
    assert run_fields(simulated(fields="[AB]")).every == ("A", "B")
    assert run_fields(simulated(fields="*")).every == ("A", "B", "C")


def test_what_is_encoded_does_not_restrict_what_trains():
    """A field alone is encoded with the tokenizers of others."""
    fields = run_fields(simulated(fields="C", tokenizers={"fields": ["A", "B"]}))
    assert (fields.every, fields.tokenizers) == (("C",), ("A", "B"))
    assert fields.used == ("C", "A", "B")


@pytest.fixture
def fitted(tmp_path):
    """Settings of a run whose tokenizers were fitted on A and B."""
    config = simulated(paths={"results": str(tmp_path)})
    paths = layout(config)
    for path in (paths.scalar_tokenizer, paths.quantiles("A"), paths.quantiles("B")):
        Path(path).parent.mkdir(exist_ok=True)
        Path(path).touch()
    return {"paths": {"results": str(tmp_path)}}


def test_a_new_field_trains_nothing(fitted):
    """Once tokenizers exist, a field that they were not fitted on is only encoded; it is said."""
    config = simulated(**fitted)
    fields = run_fields(config)
    assert (fields.tokenizers, fields.training) == (("A", "B"), ("A", "B"))
    said = "encoded with the tokenizers that exist, not trained on: C; to train on them, list them"
    assert list(notices(config, fields)) == [f"{said} in tokenizers.fields"]


def test_a_new_field_trains_where_it_is_listed(fitted):
    """A list is followed whatever was done before, and nothing more is said."""
    config = simulated(**fitted, tokenizers={"fields": ["A", "B", "C"]})
    assert run_fields(config).tokenizers == ("A", "B", "C")
    assert list(notices(config, run_fields(config))) == []


def test_what_is_frozen_must_exist(fitted):
    """Freezing a part that does not exist is an error."""
    config = simulated(**fitted, freeze=["tokenizers"])
    with pytest.raises(ConfigError, match="freeze: tokenizers must be made before it is frozen"):
        check_frozen(config)


def test_parts_are_frozen_from_the_command_line():
    """`--config freeze=tokenizers,transformer` is a list of both."""
    assert simulated(freeze="tokenizers,transformer").freeze == ("tokenizers", "transformer")


def test_what_is_frozen_is_said(fitted):
    """The plan names frozen parts and when they were made."""
    config = simulated(**fitted, freeze=["tokenizers"], tokenizers={"fields": ["A"]})
    for path in frozen_files(config)["tokenizers"]:
        Path(path).parent.mkdir(exist_ok=True)
        Path(path).touch()
    check_frozen(config)
    assert [re.sub(r"\d", "0", line) for line in notices(config, run_fields(config))] == [
        "tokenizers frozen: kept as made on 0000-00-00 00:00, whatever changes before them"
    ]


def test_a_run_does_not_start_from_its_own_model():
    """The run's own model is refused, with `last` as the alternative."""
    own = "./results/runs_tokens_transformer/final_model.pt"
    must = "training.init_from must be 'last' or another run's model, got .*, this run's own"
    with pytest.raises(ConfigError, match=must):
        starting_model(simulated(training={"init_from": own}))


@pytest.mark.parametrize(("start", "file"), [(None, None), ("last", None), ("a.pt", "a.pt")])
def test_the_model_that_training_starts_from(start, file):
    """A path is an input of the training; the run's last model is no file that a rule knows."""
    assert starting_model(simulated(training={"init_from": start})) == file


def test_fields_are_spread_evenly():
    """Fields are evenly spaced from the first on; all are chosen if they fit."""
    assert spread_evenly("abcdefg", 3) == ("a", "c", "e")
    assert spread_evenly("ab", 64) == ("a", "b")
    assert spread_evenly((), 3) == ()


@pytest.mark.parametrize(
    ("sky", "announced"),
    [
        ({}, False),
        ({"cutout_fraction": 0.0}, True),
        ({"fields": {"A": {"absent": ["images"]}, "B": {}}}, True),
        ({"fields": {"A": {}, "B": {"absent": ["images"]}}}, False),
    ],
)
def test_a_simulated_sky_without_cutouts_to_train_on_is_announced(sky, announced):
    """The plan says that no training field has cutouts."""
    config = load_config(
        {"simulate": {"fields": {"A": {}, "B": {}}, **sky}, "tokenizers": {"fields": ["A"]}}
    )
    lines = list(notices(config, run_fields(config)))
    assert any("trained on nothing" in line for line in lines) == announced
