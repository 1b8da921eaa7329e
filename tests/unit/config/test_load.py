import re

import pytest
from pydantic import ValidationError

from astromodal.config import Config, load_config
from astromodal.config.load import in_braces, partial_config, placed, plain_settings, settings_at
from astromodal.config.schema import TrainingSettings
from astromodal.errors import ConfigError


def test_the_defaults_are_the_design_s():
    """Without a file, the design's defaults hold."""
    c = load_config()
    m = c.model
    assert (m.d_model, m.n_layers, m.n_heads, m.d_ff, m.dropout) == (768, 12, 12, 3072, 0.1)
    t = c.training
    assert (t.batch_size, t.epochs, t.learning_rate, t.weight_decay) == (16, 5, 2e-4, 0.05)
    assert (t.warmup_steps, t.grad_clip, t.use_amp, t.save_every) == (2000, 1.0, True, 5000)
    loss = t.meaningful_loss
    assert (loss.enabled, loss.sample_k_per_modality, loss.lambda_image) == (True, 64, 0.1)
    assert (loss.lambda_scalar, loss.lambda_spectrum) == (0.1, 0.1)
    k = c.tokenizers
    assert (k.scalar.n_bins, k.spectrum.codebook_size, k.image.latent_dim) == (1024, 2048, 2)
    assert len(k.scalar.columns) == 55


def test_a_file_overrides_only_what_it_names(tmp_path):
    """A user's YAML changes one value and leaves its neighbours."""
    (tmp_path / "my.yaml").write_text("training: {epochs: 9}\n")
    config = load_config(tmp_path / "my.yaml")
    assert (config.training.epochs, config.training.learning_rate) == (9, 2e-4)


def test_an_empty_file_gives_the_defaults(tmp_path):
    """A file of comments alone is the defaults."""
    (tmp_path / "my.yaml").write_text("# nothing yet\n")
    assert load_config(tmp_path / "my.yaml") == load_config()


def test_keys_with_dots_and_text_values():
    """A dotted name reaches the setting; values of the command line are text."""
    assert load_config({"training.epochs": "3"}).training.epochs == 3


def test_dotted_keys_join_nested_ones():
    """A dotted key adds to the group that a file names."""
    config = load_config({"training": {"epochs": 3}, "training.grad_clip": 2})
    assert (config.training.epochs, config.training.grad_clip) == (3, 2.0)


def test_what_is_given_stays_as_it_is():
    """A dotted key that joins a group does not change the caller's."""
    given = {"training": {"epochs": 3}, "training.grad_clip": 2}
    load_config(given)
    assert given["training"] == {"epochs": 3}


def test_of_several_files_none_may_hide_another(tmp_path):
    """Snakemake joins equal keys only: of a dotted and a nested one it does not know the last."""
    path = tmp_path / "my.yaml"
    path.write_text("training: {seed: 1}\ntraining.epochs: 3\n")
    joined = {"training": {"seed": 1, "epochs": "10"}, "training.epochs": 3}
    must = "training.epochs must be given once, got '10' and 3; write it below training: in every"
    with pytest.raises(ConfigError, match=must):
        load_config(joined, [path])
    assert load_config(joined | {"training": {"seed": 1}}, [path]).training.epochs == 3


def test_a_dotted_key_below_a_value_is_refused():
    """A dotted key below a value is an error."""
    with pytest.raises(ConfigError, match=r"fields\.x must be below a group of settings"):
        load_config({"fields": ["A"], "fields.x": 1})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"trainig": {}}, r"trainig is no setting; nearest: 'training'"),
        (
            {"evaluation": {"parts": []}},
            r"\.parts is no setting any more; write evaluation",
        ),
        (
            {"predict": {"prior_mass": 0.9}},
            r"\.prior_mass is no setting any more: .* remove it",
        ),
        ({"tokenizers": {"scalar": {"nbins": 3}}}, r"nearest: 'tokenizers\.scalar\.n_bins'"),
        ({"model": {"qqq": 1}}, r"model\.qqq is no setting; known: d_ff, d_model"),
        (
            {"tokenizers": {"scalar": {"n_bins": 1}}},
            r"tokenizers\.scalar\.n_bins must be an int in \[2, 65535\], got 1",
        ),
        ({"training": {"epochs": "x"}}, r"training\.epochs must be an int in \[1, inf\), got x"),
        ({"sequences": {"block_order": "x"}}, r"must be 'fixed' or 'shuffled', got x"),
        ({"fields": ["a/b"]}, r"fields\.0 must be a name of letters, digits"),
        ({"fields": ["../x"]}, r"must be a name of letters, digits"),
        ({"paths": {"datacube_template": "x"}}, r"must hold \{field\} exactly once, got 'x'"),
        ({"selection": {"minimum": 30}}, r"minimum must be below maximum, got 30\.0 and 22\.0"),
        ({"split": {"test": 0.6, "validation": 0.4}}, r"validation \+ test must be below 1"),
        ({"model": {"d_model": 10}}, r"d_model / n_heads must be an even integer, got 10 / 12"),
        ({"training": 3}, r"training must be a group of settings, got 3"),
        ({"training": {"learning_rate": float("nan")}}, r"training\.learning_rate must be"),
    ],
)
def test_what_is_wrong_is_said(values, message):
    """A wrong key or value gives one error that names it and what it must be."""
    with pytest.raises(ConfigError, match=message):
        load_config(values)


@pytest.mark.parametrize(
    ("text", "message"), [("a: [", "must be a YAML file"), ("- a", "must be a mapping of settings")]
)
def test_what_is_no_mapping_is_refused(tmp_path, text, message):
    """A file that is no YAML mapping is named."""
    (tmp_path / "my.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_config(tmp_path / "my.yaml")


def test_yaml_runs_no_code(tmp_path):
    """A YAML tag that would call Python is refused."""
    (tmp_path / "my.yaml").write_text("paths: !!python/object/apply:os.getcwd []\n")
    with pytest.raises(ConfigError, match="must be a YAML file"):
        load_config(tmp_path / "my.yaml")


def test_a_config_is_frozen():
    """Settings do not change once they are loaded."""
    with pytest.raises(ValidationError, match="frozen"):
        load_config().training.epochs = 3


@pytest.mark.parametrize(
    "name", ["tokenizers.scalar", "tokenizers.scalar.n_bins", "simulate", "paths", "training"]
)
def test_settings_travel_as_plain_values(name):
    """A job rebuilds exactly the settings that the workflow wrote out for it."""
    config = load_config({"tokenizers": {"scalar": {"n_bins": 7}}})
    plain = plain_settings(name, config)
    assert not hasattr(plain, "model_dump")
    assert settings_at(name, partial_config({name: plain})) == settings_at(name, config)


def test_names_in_braces():
    """Several settings of a group are named at once."""
    assert in_braces(["columns.id", "a.b.{c,d}", "e"]) == ["columns.id", "a.b.c", "a.b.d", "e"]


def test_a_partial_config_holds_what_it_was_given():
    """Settings of one group side by side, whole groups, and nothing else."""
    config = partial_config({"columns.id": "name", "split": {"nside": 4}, "columns.ra": "x"})
    assert config.model_dump() == {
        "columns": {"id": "name", "ra": "x"},
        "split": {"nside": 4},
    }


@pytest.mark.parametrize("name", ["split.seed", "model"])
def test_a_partial_config_refuses_what_it_was_not_given(name):
    """Reading a setting that was not given is an error, not its default."""
    config = partial_config({"split.nside": 4})
    message = f"^{re.escape(name)} must be given to the job that reads it; name it in the settings"
    with pytest.raises(AttributeError, match=message):
        settings_at(name, config)


def test_a_partial_config_is_of_the_same_classes():
    """A view is an instance of its group's class, with its methods and properties."""
    config = partial_config({"training": {"gpus": 2, "nodes": 3, "seed": 1}})
    assert isinstance(config, Config)
    assert isinstance(config.training, TrainingSettings)
    assert config.training.processes == 6
    copied = config.training.model_copy(update={"epochs": 7})
    assert (copied.epochs, copied.seed) == (7, 1)


def test_a_property_refuses_what_it_needs_and_was_not_given():
    """The error names the setting that is missing, not the property."""
    config = partial_config({"training": {"gpus": 2}})
    with pytest.raises(AttributeError, match=r"^training\.nodes must be given to the job"):
        _ = config.training.processes


def test_a_partial_config_is_frozen():
    """Settings of a view do not change either."""
    with pytest.raises(ValidationError, match="frozen"):
        partial_config({"split.nside": 4}).split.nside = 8


def test_a_partial_config_leaves_the_defaults_as_they_are():
    """Settings left out of a view are not left out of other configurations."""
    partial_config({"split.nside": 4})
    assert load_config().split.seed == 1


def test_an_unknown_attribute_is_an_ordinary_error():
    """A name that is no setting at all gets Python's own message."""
    with pytest.raises(AttributeError, match="object has no attribute 'sede'"):
        _ = load_config().split.sede


def test_an_unknown_dotted_name_is_refused():
    """The error of a rule that names an unknown setting suggests the nearest."""
    with pytest.raises(ConfigError, match=r"tokenizers\.scaler is no setting; nearest: 'scalar'"):
        settings_at("tokenizers.scaler", load_config())


def test_combinations_are_written_in_one_way():
    """Modalities are sorted and spaces removed, also in text of a command line."""
    found = load_config({"evaluation.downstream.given": "image+scalar, spectrum"})
    assert found.evaluation.downstream.given == ("scalar+image", "spectrum")


@pytest.mark.parametrize("given", ["scalar+pixels", "", "scalar++image"])
def test_an_unknown_combination_is_refused(given):
    """The error lists the modalities."""
    must = "given.0: a combination must be one or more of scalar, image, spectrum, joined by +"
    with pytest.raises(ConfigError, match=re.escape(must)):
        load_config({"evaluation.downstream.given": [given]})


def test_the_order_of_fields_does_not_matter():
    """Fields in another order give the same settings."""
    first, second = (
        load_config({
            "simulate": {"fields": {name: {} for name in names}},
            "fields": names,
            "tokenizers": {"fields": names[:2]},
        })
        for names in (["C", "A", "B"], ["A", "C", "B"])
    )  # fmt: skip
    assert first.model_dump_json() == second.model_dump_json()
    assert list(first.simulate.fields) == ["A", "B", "C"]


def test_paths_of_data_are_placed():
    """Those of cubes, raw files, tables, models and results; not those of Python files."""
    config = load_config(
        {
            "paths": {"results": "out"},
            "sources": {"splus": {"kind": "catalogue", "files": "raw/*.csv", "preset": "ztf"}},
            "training": {"init_from": "old/final_model.pt"},
            "finetune": {
                "labels": {
                    "kind": {"column": "k"},
                    "age": {"table": "ages.csv", "id": "id", "value": "age"},
                }
            },
        }
    )
    moved = placed(config, "sky/{}".format)
    assert moved.paths.results == "sky/out"
    assert moved.paths.datacube_template is None
    assert moved.sources["splus"].files == "sky/raw/*.csv"
    assert moved.training.init_from == "sky/old/final_model.pt"
    assert moved.finetune.labels["age"].table == "sky/ages.csv"
    assert moved.finetune.labels["kind"] == config.finetune.labels["kind"]


def test_the_template_of_cubes_is_placed():
    """With its place for the field."""
    paths = {"datacube_template": "cubes/{field}.parquet"}
    moved = placed(load_config({"paths": paths}), lambda path: f"sky/{path}")
    assert moved.paths.datacube_template == "sky/cubes/{field}.parquet"


@pytest.mark.parametrize("start", [None, "last"])
def test_what_is_no_path_is_not_placed(start):
    """No model to start from, and the last checkpoint."""
    config = load_config({"training": {"init_from": start}})
    assert placed(config, "sky/{}".format).training == config.training


def test_a_config_stays_the_same_in_its_place():
    """Outside of a module, and without a prefix."""
    config = load_config()
    assert placed(config, str) == config
