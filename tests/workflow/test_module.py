"""The workflow as a Snakemake module of another workflow, which stands in a folder of its own."""

from __future__ import annotations

import http.server
import os
import shutil
import subprocess
import threading
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

import astromodal
from astromodal.core.paths import Layout
from helpers.console import checkout, fences
from helpers.console import run as run_line
from helpers.programs import install
from helpers.workflow import ROOT, Workflow, job_table, made_once, tiny

pytestmark = pytest.mark.workflow

OUTER = """\
configfile: "config.yaml"

module astromodal:
    snakefile: {snakefile}
    config: config["astromodal"]
    prefix: "sky"

use rule * from astromodal

rule count_bins:
    input: astromodal.PATHS.scalar_tokenizer
    output: "bins.txt"
    shell: "wc -c < {{input}} > {{output}}"

onstart: astromodal.onstart()
onsuccess: astromodal.onsuccess()
onerror: astromodal.onerror()
"""
"""A workflow around the module, with a rule and settings of its own."""

SURVEYS = """\
module north:
    snakefile: "{north}/Snakefile"
    config: config["north"]
    prefix: "north"
use rule * from north as north_*

module south:
    snakefile: "{south}/Snakefile"
    config: config["south"]
    prefix: "south"
use rule * from south as south_*
"""
FIELDS = ("T-1", "T-2", "T-3")
PATHS = Layout("sky/results")
TARGETS = ["bins.txt", *(PATHS.scalar_tokens(f) for f in FIELDS)]
TARGETS += [PATHS.summary(f) for f in FIELDS]


def quoted(folder: Path) -> str:
    """The value of `snakefile` for a checkout."""
    return f'"{folder}/Snakefile"'


def outer(folder: Path, snakefile: str = quoted(ROOT)) -> Workflow:
    """The workflow around the module, with cubes of the tiny sky below its prefix."""
    config = tiny(folder).config
    config["paths"]["datacube_template"] = "cubes/datacube_{field}.parquet"
    (folder / "Snakefile").write_text(OUTER.format(snakefile=snakefile))
    return Workflow(folder, {"astromodal": config, "mine": 1}, folder / "Snakefile")


def run_outer(folder: Path) -> None:
    """Simulate the cubes, and run the module as far as the scalar tokens."""
    (folder / "sky").mkdir()
    tiny(folder).simulate("sky/cubes")
    outer(folder).run(*TARGETS)


@pytest.fixture(scope="module")
def once(tmp_path_factory) -> Workflow:
    """The run that every test of a second plan begins with, made once."""
    return made_once(tmp_path_factory, "module", run_outer)


@pytest.fixture
def run(once, tmp_path) -> Workflow:
    """A copy of that run, which a test may change."""
    shutil.copytree(once.folder, tmp_path, dirs_exist_ok=True)
    return outer(tmp_path)


def checkout_of(folder: Path) -> Path:
    """A checkout that a test may edit."""
    for name in ("rules", "scripts", "envs", "config"):
        unread = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(ROOT / name, folder / name, ignore=unread)
    shutil.copy(ROOT / "Snakefile", folder)
    return folder


def edit(copy: Path) -> None:
    """Change what one entry script does."""
    script = copy / "scripts/train_scalar_tokenizer.py"
    script.write_text(script.read_text() + "print(1)\n")


def test_a_module_plans_nothing_after_a_run(run):
    """The digests of code and the stamps of cubes hold in the workflow around the module."""
    assert run.planned(*TARGETS) == {}


def test_a_module_writes_below_its_prefix(run):
    """What the package writes by itself, such as stamps and the inventory, stands there, too."""
    assert Path(run.folder, PATHS.stamps).is_file()
    assert Path(run.folder, PATHS.inventory).is_file()
    assert not (run.folder / "results").exists()


def test_a_setting_of_a_module_plans_what_reads_it(run):
    """As in the workflow alone; the handlers of the module have recorded the setting before."""
    run.config["astromodal"]["tokenizers"]["scalar"]["n_bins"] = 32
    text = run.run("--dry-run", *TARGETS).text
    assert "changed since the last run: tokenizers.scalar.n_bins: 16 became 32" in text
    planned = run.planned(*TARGETS)
    assert planned == {"train_scalar_tokenizer": 1, "encode_scalars": 3, "count_bins": 1}


def test_a_changed_cube_of_a_module_plans_its_field(run):
    """One column of the field that nothing is trained on."""
    cube = run.folder / "sky/cubes/datacube_T-3.parquet"
    table = pq.read_table(cube)
    at = table.column_names.index("mag_pstotal_g")
    fainter = pa.array([None if m is None else m + 0.1 for m in table.column(at).to_pylist()])
    pq.write_table(table.set_column(at, "mag_pstotal_g", fainter), cube)
    assert run.planned(*TARGETS) == {"encode_scalars": 1, "summarize_field": 1}


def test_a_touched_cube_of_a_module_plans_nothing(run):
    """Its columns are what they were."""
    os.utime(run.folder / "sky/cubes/datacube_T-3.parquet")
    assert run.planned(*TARGETS) == {}


def test_an_edit_of_the_checkout_of_a_module_plans_what_runs_it(run, tmp_path):
    """Another checkout of the same code plans nothing; an edited script plans its rule."""
    copy = checkout_of(tmp_path / "checkout")
    moved = outer(tmp_path, quoted(copy))
    assert moved.planned(*TARGETS) == {}
    edit(copy)
    planned = moved.planned(*TARGETS)
    assert planned == {"train_scalar_tokenizer": 1, "encode_scalars": 3, "count_bins": 1}


def test_the_default_target_of_a_module_is_the_whole_workflow(run):
    """Without a default target of its own, the outer workflow makes the report."""
    planned = run.planned()
    assert planned["render_report"] == planned["all"] == 1


@pytest.fixture
def surveys(tmp_path) -> Workflow:
    """Two surveys, both with a cube whose rows are damaged; one of them skips bad fields."""
    for name in ("north", "south"):
        cube = tmp_path / name / "cubes/datacube_BAD.parquet"
        cube.parent.mkdir(parents=True)
        rows = {"id": ["a"], "ra": [1.0], "dec": [1.0], "mag_pstotal_r": [15.0]}
        pq.write_table(pa.table(rows), cube)
        whole = cube.read_bytes()
        cube.write_bytes(whole[:4] + bytes(60) + whole[64:])
    config = {"paths": {"datacube_template": "cubes/datacube_{field}.parquet"}}
    both = {"north": config | {"on_bad_field": "skip"}, "south": config}
    (tmp_path / "Snakefile").write_text(SURVEYS.format(north=ROOT, south=ROOT))
    return Workflow(tmp_path, both, tmp_path / "Snakefile")


def test_two_surveys_in_one_workflow_have_their_own_errors(surveys):
    """One skips its bad field, and the other one stops."""
    splits = [Layout(f"{name}/results").split("BAD") for name in ("north", "south")]
    assert surveys.planned(*splits) == {"north_split_field": 1, "south_split_field": 1}
    done = surveys.call("--keep-going", *splits)
    assert done.returncode != 0
    failed = [line for line in done.text.splitlines() if line.startswith("Error in rule")]
    assert failed == ["Error in rule south_split_field:"]
    assert (surveys.folder / "north/results/skipped/BAD.north_split_field.json").is_file()
    assert not (surveys.folder / "south/results/skipped").exists()


def test_two_checkouts_in_one_workflow_are_refused(surveys, tmp_path):
    """Python imports a package once."""
    other = checkout_of(tmp_path / "other")
    surveys.snakefile.write_text(SURVEYS.format(north=ROOT, south=other))
    done = surveys.call("--dry-run")
    assert done.returncode != 0
    assert f"must be one checkout in all modules of a workflow, got {other}/scripts" in done.text


ALONE = """\
module astromodal:
    snakefile: "{root}/Snakefile"
{config}
use rule * from astromodal
"""


@pytest.fixture
def alone(tmp_path) -> Workflow:
    """A workflow of nothing but the module, without settings."""
    (tmp_path / "Snakefile").write_text(ALONE.format(root=ROOT, config=""))
    return Workflow(tmp_path, {}, tmp_path / "Snakefile")


def test_a_module_without_config_reads_the_file(alone):
    """It is config/config.yaml of the folder, as for the workflow alone."""
    (alone.folder / "config").mkdir()
    (alone.folder / "config/config.yaml").write_text("simulate: {fields: {MINE: {}}}\n")
    assert alone.planned("cubes") == {"simulate_field": 1, "cubes": 1}


@pytest.mark.parametrize(
    ("config", "text", "refused"),
    [
        ("config", "split: {seed: 1}\nsplit: {seed: 2}\n", True),
        ('config["sky"]', "sky: {}\nsplit: {seed: 1}\nsplit: {seed: 2}\n", False),
    ],
)
def test_a_file_counts_where_the_module_gets_all_of_it(alone, config, text, refused):
    """A repeated setting is an error, but not a repeated key that is no setting."""
    path = alone.folder / "outer.yaml"
    path.write_text(text)
    begin = f'configfile: "{path.name}"\n'
    rules = ALONE.format(root=ROOT, config=f"    config: {config}")
    alone.snakefile.write_text(begin + rules)
    command = [*alone.command("cubes", "--dry-run")]
    at = command.index("--configfile")
    del command[at : at + 2]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    done = subprocess.run(command, env=alone.environment(), **pipes)
    assert (done.returncode != 0) == refused, done.stdout
    assert ("split must be given once in" in done.stdout) == refused


def git(folder: Path, *command: str) -> None:
    """Call git, whatever the configuration of the user."""
    identity = ["-c", "user.name=tests", "-c", "user.email=tests@example.org"]
    options = {"cwd": folder, "check": True, "capture_output": True}
    subprocess.run(["git", *identity, *command], **options)


@pytest.fixture
def hosted(run, tmp_path) -> Workflow:
    """The run with its module out of a repository that stands in for one on GitHub."""
    repository = checkout_of(tmp_path / "hub/owner/astromodal")
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "all"], ["tag", "v1"]):
        git(repository, *command)
    edit(repository)
    for command in (["commit", "-qam", "an edit"], ["tag", "v2"]):
        git(repository, *command)
    workflow = outer(tmp_path, github("v1"))
    workflow.variables = {
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.file://{tmp_path}/hub/.insteadOf",
        "GIT_CONFIG_VALUE_0": "https://github.com/",
    }
    return workflow


def github(tag: str) -> str:
    """The value of `snakefile` for the repository."""
    return f'github("owner/astromodal", path="Snakefile", tag="{tag}")'


def test_a_module_from_github_runs(hosted):
    """Its jobs import the package of the tag, and its digests are those of a checkout."""
    assert hosted.planned(*TARGETS) == {}
    assert hosted.ran("--forcerun", "train_scalar_tokenizer", "--", "bins.txt") == {
        "train_scalar_tokenizer",
        "count_bins",
    }
    outer(hosted.folder, github("v2"))
    planned = hosted.planned(*TARGETS)
    assert planned == {"train_scalar_tokenizer": 1, "encode_scalars": 3, "count_bins": 1}
    assert len([*(hosted.folder / ".snakemake/astromodal").iterdir()]) == 2


@pytest.fixture
def page(tmp_path) -> dict[str, str]:
    """The blocks of docs/tools.md by their first words, beside a checkout of the name they use."""
    checkout(tmp_path / "astromodal-workflow")
    return {" ".join(each.text.split()[:2]): each.text for each in fences("docs/tools.md")}


def typed(line: str, folder: Path) -> str:
    """What a line that plans prints, after a user has typed it in a folder."""
    done = run_line(line, folder, install(folder / "bin"))
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_the_module_of_the_page_works(page, tmp_path):
    """As typed, its plan is that of the workflow alone, below the prefix, and a rule of its own."""
    (tmp_path / "Snakefile").write_text(page['configfile: "config.yaml"'])
    (tmp_path / "config.yaml").write_text(page["astromodal: simulate:"])
    text = typed(page["snakemake -n"].strip() + " publish", tmp_path)
    assert job_table(text)["simulate_field"] == 2
    assert "input: survey/results/report/report.html" in text


def test_the_surveys_of_the_page_work(page, tmp_path):
    """Each has its own rules and settings."""
    (tmp_path / "Snakefile").write_text('configfile: "config.yaml"\n' + page["module north:"])
    survey = {"simulate": {"fields": {"A": {}}}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"north": survey, "south": survey}))
    text = typed(page["snakemake -n"].strip() + " north_cubes south_cubes", tmp_path)
    assert job_table(text) == dict.fromkeys(
        ("north_simulate_field", "north_cubes", "south_simulate_field", "south_cubes"), 1
    )


def test_the_repository_of_the_page_is_read_by_tag(page):
    """The tag is that of this version, and the Snakefile stands at the top."""
    line = 'github("OWNER/astromodal", path="Snakefile", tag="v{}")'
    assert line.format(astromodal.__version__) in page["module astromodal:"]


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files without a log."""

    def log_message(self, *_: object) -> None:
        """Print nothing."""


def test_a_module_from_a_web_address_is_refused(run):
    """Single files can be read from there, but no package."""
    handler = partial(Quiet, directory=str(ROOT))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        outer(run.folder, f'"http://127.0.0.1:{server.server_port}/Snakefile"')
        done = run.call("--dry-run")
        server.shutdown()
    assert done.returncode != 0
    assert "snakefile of the module must be a file, github(...) or gitlab(...)" in done.text
