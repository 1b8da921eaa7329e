"""What a plan makes of the settings that it is given, in files and on the command line."""

import json
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from helpers.workflow import ROOT

pytestmark = pytest.mark.workflow


def refused(workflow, *options):
    """What a dry run says that ends with an error of the settings, and makes nothing."""
    before = set(workflow.folder.iterdir())
    done = workflow.call("--dry-run", *options)
    assert done.returncode != 0
    assert "Traceback" not in done.text
    made = {path.name for path in set(workflow.folder.iterdir()) - before}
    assert made <= {".snakemake", "config.yaml"}
    found = re.search(r"^ConfigError in file .*:\n((?:(?!  File ).+\n)+)", done.text, re.MULTILINE)
    assert found, done.text
    return found[1].splitlines()


def test_a_key_that_stands_twice_in_a_file(fresh):
    """Snakemake has dropped the first when the workflow is given its config."""
    second = fresh.folder / "second.yaml"
    second.write_text("split: {seed: 2}\ntraining:\n  epochs: 0\n  epochs: 3\nsplit: {}\n")
    said = refused(fresh, "--configfile", str(fresh.folder / "config.yaml"), str(second))
    assert said == [
        f"training.epochs must be given once in {second}, got lines 3 and 4; join the two",
        f"split must be given once in {second}, got lines 1 and 5; join the two",
    ]


def test_a_key_that_stands_twice_in_the_workflow_s_own_file(fresh, tmp_path):
    """The file that the Snakefile itself names is looked at too."""
    own = "config/config.yaml"
    (tmp_path / "config").mkdir()
    (tmp_path / own).write_text("training: {epochs: 0}\ntraining: {epochs: 1}\n")
    command = fresh.command("--dry-run")
    place = command.index("--configfile")
    del command[place : place + 2]
    fresh.command = lambda *options: command
    (line,) = refused(fresh)
    assert line == f"training must be given once in {own}, got lines 1 and 2; join the two"


def test_a_json_file_is_a_config(fresh):
    """With tabs too; a key that stands twice is refused as well."""
    path = fresh.folder / "config.json"
    path.write_text(json.dumps(fresh.config, indent="\t"))
    assert fresh.planned("--configfile", str(path))["encode_scalars"] == 3
    path.write_text('{\n\t"training": {},\n\t"training": {}\n}')
    found = refused(fresh, "--configfile", str(path))
    assert found == [f"training must be given once in {path}, got lines 2 and 3; join the two"]


def test_paths_are_a_shell_s(fresh):
    """``~`` and variables of the environment, in the paths of outputs and of cubes."""
    cubes = fresh.folder / "my cubes"
    cubes.mkdir()
    columns = {"id": ["a"], "ra": [1.0], "dec": [1.0], "mag_pstotal_r": [15.0]}
    pq.write_table(pa.table(columns), cubes / "datacube_MINE.parquet")
    fresh.variables = {"HOME": str(fresh.folder), "CUBES": str(cubes)}
    fresh.config["paths"] = {
        "results": "~/out of it",
        "datacube_template": "${CUBES}/datacube_{field}.parquet",
    }
    del fresh.config["tokenizers"]["fields"]
    text = fresh.run("--dry-run").text
    assert f"output: {fresh.folder}/out of it/splits/datacube_MINE_split.npz" in text
    assert f"{cubes}/datacube_MINE.parquet" in text
    assert not [path for path in fresh.folder.iterdir() if set("~$") & set(path.name)]


@pytest.mark.parametrize(
    ("paths", "said"),
    [
        ({"results": "$NOWHERE/x"}, "paths.results must hold variables that are set, and NOWHERE"),
        ({"results": ""}, "paths.results must be text that is not empty, got ''"),
        ({"results": "{x}"}, "paths.results must hold no {, which Snakemake would replace, got"),
        ({"results": "<x>"}, "paths.results must hold no <x>, which Snakemake would replace, got"),
        ({"datacube_template": "{a}/{field}"}, "paths.datacube_template must hold no {, which"),
    ],
)
def test_paths_that_cannot_be(fresh, paths, said):
    """In one line, which names the setting."""
    fresh.config["paths"] |= paths
    (line,) = refused(fresh)
    assert line.startswith(said)


def test_what_does_not_work_is_said_in_a_line_each(fresh):
    """Every wrong setting at once, when it is planned."""
    fresh.config["split"]["nside"] = 100
    fresh.config["tokenizers"]["image"]["bands"] = ["U", "U"]
    fresh.config["simulate"]["fields"]["T-1"] = {"dec": 91, "absent_bands": ["X"]}
    assert [line.partition(" must")[0] for line in refused(fresh)] == [
        "split.nside",
        "simulate.fields.T-1.dec",
        "simulate.fields.T-1.absent_bands.0",
        "tokenizers.image.bands",
    ]


def test_names_that_yaml_takes_for_numbers(fresh):
    """They are named as they are written."""
    text = yaml.safe_dump(fresh.config).replace("T-1:", "0001:").replace("T-2:", "0010:")
    path = fresh.folder / "numbers.yaml"
    path.write_text(
        f"{text}\nfields: [0001]\n".replace("- T-1", "- '0001'").replace("- T-2", "- 1_0")
    )
    said = refused(fresh, "--configfile", str(path))
    assert [re.sub(r"\(line \d+ of .*?\)", "", line) for line in said] == [
        f"{name} must be text, got {text} , which YAML reads as the number {number}; write '{text}'"
        for name, text, number in [
            ("fields.0", "0001", 1),
            ("simulate.fields.1", "0001", 1),
            ("simulate.fields.8", "0010", 8),
            ("tokenizers.fields.1", "1_0", 10),
        ]
    ]


def test_a_field_of_digits_on_the_command_line(fresh):
    """The error says the form that reaches the workflow as text, and that form does."""
    fresh.config["simulate"]["fields"]["0001"] = {}
    (line,) = refused(fresh, "--config", "fields=0001")
    assert line.startswith("fields.0 must be text, got the number 1; write it in quotes in a")
    form = line.partition("--config ")[2].strip("'")
    planned = fresh.planned("encode", "--config", form)
    assert (planned["encode_scalars"], form) == (1, "fields=[0001]")


def test_one_setting_of_a_group_on_the_command_line(fresh):
    """It is laid over the file's, whose others stay; numbers, null and deeper groups arrive."""
    flow = fresh.folder / "flow"
    flow.mkdir()
    for name in ("rules", "scripts"):
        (flow / name).symlink_to(ROOT / name)
    show = "print('SHOWN', CONFIG.training.model_dump_json(), file=sys.stderr)\n"
    (flow / "Snakefile").write_text((ROOT / "Snakefile").read_text() + show)
    fresh.config["training"] |= {"patience": 3, "epochs": 2}
    fresh.snakefile = flow / "Snakefile"
    given = "training={epochs: 10, learning_rate: 1e-3, patience: null, fields: [T-1, T-2], "
    given += "use_amp: false, meaningful_loss: {lambda_image: 0.5}}"
    text = fresh.run("--dry-run", "--config", given, "split={seed: 2}").text
    found = json.loads(re.search("^SHOWN (.*)$", text, re.MULTILINE)[1])
    assert {name: found[name] for name in ("epochs", "learning_rate", "patience", "fields")} == {
        "epochs": 10, "learning_rate": 1e-3, "patience": None, "fields": ["T-1", "T-2"],
    }  # fmt: skip
    assert (found["use_amp"], found["meaningful_loss"]["lambda_image"]) == (False, 0.5)
    assert found["token_budget"] == fresh.config["training"]["token_budget"]


def test_a_setting_of_the_command_line_reaches_the_job(fresh):
    """Snakemake hands it to the job's own process, in whatever quotes."""
    cube = "results/cubes/datacube_T-1.parquet"
    given = ["simulate={n_sources: 7, fields: {T-1: {dec: -10}}}", "paths={results: 'results'}"]
    fresh.run(cube, "--config", *given)
    log = (fresh.results / "logs/simulate_field/T-1.log").read_text()
    assert "simulated" in log
    table = pq.read_table(fresh.folder / cube)
    assert table.num_rows == 7
    assert max(abs(dec + 10) for dec in table["dec"].to_pylist()) < 1


def test_a_file_s_dotted_name_does_not_hide_the_command_line(fresh):
    """Where the file also has the group, Snakemake cannot tell which is meant: it is an error."""
    fresh.config["training.epochs"] = fresh.config["training"].pop("epochs")
    assert "train_transformer" in fresh.planned()
    (line,) = refused(fresh, "--config", "training={epochs: 10}")
    do = "write it below training: in every file"
    assert line == f"training.epochs must be given once, got '10' and 2; {do}"
