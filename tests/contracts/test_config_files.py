"""The generated files under config/ and the settings' models say the same."""

from pathlib import Path

import pytest
import yaml
from snakemake.exceptions import WorkflowError
from snakemake.utils import validate

from astromodal.config import load_config
from astromodal.config.document import generated, write
from astromodal.config.schema import Config
from astromodal.data.schema import page

CONFIG = Path(__file__).parents[2] / "config"
CONFIGS = [*CONFIG.glob("*.yaml"), *CONFIG.parent.glob("tests/config/*.yaml")]


@pytest.mark.parametrize("name", ["default.yaml", "README.md", "schema.json"])
def test_generated_files_are_in_step(name):
    """`make docs` was run after the last change of a setting."""
    assert (CONFIG / name).read_text() == generated()[name]


def test_the_page_of_columns_is_in_step():
    """`make docs` was run after the last change of a column that is read."""
    assert (CONFIG.parent / "docs/columns.md").read_text(encoding="utf-8") == page()


def test_the_default_file_is_the_defaults():
    """default.yaml, given as a config, changes nothing."""
    assert load_config(CONFIG / "default.yaml") == load_config()


def test_writing_writes_what_is_generated(tmp_path):
    """The command behind `make docs` writes the three files."""
    write(tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == generated()


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_every_config_of_the_repository_is_valid(path):
    """The configs that come with the project load."""
    assert isinstance(load_config(path), Config)
    assert yaml.safe_load(path.read_text())


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_snakemake_validates_every_config(path):
    """The schema accepts them, and the defaults that Snakemake sets from it change nothing."""
    values = yaml.safe_load(path.read_text())
    validate(values, CONFIG / "schema.json")
    assert load_config(values) == load_config(path)


@pytest.mark.parametrize(
    ("values", "message"),
    [({"trainig": {}}, "'trainig' was unexpected"), ({"cpu_threads": 0}, "'cpu_threads'")],
)
def test_snakemake_refuses_what_the_schema_does(values, message):
    """An unknown setting, and a value out of bounds."""
    with pytest.raises(WorkflowError, match=message):
        validate(values, CONFIG / "schema.json")


@pytest.mark.parametrize(("name", "millions"), [("tiny", 0.8), ("base", 85), ("large", 302)])
def test_sizes_are_what_they_are_called(name, millions):
    """Weights of the layers' matrices: 12 D² a layer."""
    model = load_config(CONFIG / f"{name}.yaml").model
    assert model.d_ff == 4 * model.d_model
    matrices = 12 * model.d_model**2 * model.n_layers
    assert matrices / 1e6 == pytest.approx(millions, rel=0.02)


def test_the_base_size_is_the_guides():
    """Its model is the default."""
    assert load_config(CONFIG / "base.yaml").model == Config().model


def test_a_job_that_saved_and_stopped_is_tried_again():
    """Training ends with a status of its own when it is asked to stop: Slurm's profile retries."""
    profile = yaml.safe_load((CONFIG.parent / "profiles/slurm/config.yaml").read_text())
    assert profile["retries"] >= 1


def test_every_setting_is_documented():
    """A line of documentation a setting."""
    undocumented = []

    def visit(model, name):
        for key, field in model.model_fields.items():
            if not field.description:
                undocumented.append(f"{name}{key}")
            if hasattr(field.annotation, "model_fields"):
                visit(field.annotation, f"{name}{key}.")

    visit(Config, "")
    assert undocumented == []


def test_the_slurm_profile_has_what_always_holds():
    """`--workflow-profile profiles/slurm` replaces profiles/default: the same stands in both."""
    profiles = CONFIG.parent / "profiles"
    default, slurm = (
        yaml.safe_load((profiles / name / "config.yaml").read_text())
        for name in ("default", "slurm")
    )
    assert {key: slurm.get(key) for key in default} == default


def test_no_rule_names_a_partition():
    """Partitions are a site's: rules ask for GPUs, memory and time."""
    rules = CONFIG.parent.glob("rules/*.smk")
    assert [path.name for path in rules if "partition" in path.read_text()] == []
