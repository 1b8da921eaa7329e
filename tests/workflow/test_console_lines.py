"""Every line that the documentation says to type, typed as it stands, with stand-in programs."""

from __future__ import annotations

import gzip
import re
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import yaml

from astromodal.config import load_config
from astromodal.config.sources import Preset
from astromodal.core.fields import layout
from astromodal.simulate.field import simulate_field
from astromodal.simulate.raw import write_raw_survey
from helpers.console import Fence, checkout, fences, recipes, run, spans
from helpers.programs import PROGRAMS, install
from helpers.workflow import ROOT

pytestmark = pytest.mark.workflow

DOCS = ["README.md", "CONTRIBUTING.md", "config/README.md"]
DOCS += sorted(f"docs/{path.name}" for path in ROOT.glob("docs/*.md"))
COMMENTED = ["envs/Dockerfile"]
COMMENTED += sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("config/*.yaml"))
COMMENTED += sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("profiles/*/*.yaml"))
EXECUTED = ("README.md", *(f"docs/{n}.md" for n in ("model", "tutorial", "extending", "usage")))
"""Pages whose Python is run, by tests of those pages."""
TYPED = (*PROGRAMS, "grep", ".", "$EDITOR")
"""First words of lines that are typed; `grep` is the machine's own."""

PLACEHOLDERS = {
    "REPOSITORY": (str(ROOT), "where the reader's copy comes from"),
    "$EDITOR": ("editor", "the reader's own: the stand-in looks for the files"),
    "OWNER": ("owner", "whose repository it is"),
    "[...]": ("[STRIPE82-0001, STRIPE82-0002]", "fields of the reader's choice"),
    "/data/": ("", "where the reader's cubes lie: here, in the checkout"),
}
"""What a reader puts something in the place of: what stands there in the tests, and why."""

NO_LINES = {
    "kill -9": "names a signal; whom to kill is the reader's",
    "ulimit -v": "names a limit",
    "ulimit -n": "names a limit",
    "(a, b, …)": "an array as a file has it",
    "codes[indptr[i]:indptr[i + 1]]": "an expression of NumPy",
    "(embedding - mean) @ components": "an expression of NumPy",
    "index = model.open_index()": "Python, called in tests/unit/inference/test_similar.py",
    "munge slurmctld slurmd slurm-client": "names of Debian packages",
    "gridengine-master gridengine-exec gridengine-client": "names of Debian packages",
    "Output ... has older modification time": "what Snakemake says, in tests/cluster",
    "qdel -f": "deletes a job of Grid Engine; which one is the reader's",
    "Directory cannot be locked": "what Snakemake says, in tests/interruptions",
    "rule all": "names a rule",
    "use rule": "names a statement of Snakemake",
    "cp -r": "names a way to copy",
    "_ . + -": "characters",
}
"""Text in backticks that nobody types, and nothing else here holds to its word."""

OTHERS = {
    "module astromodal:\n": "read by test_module.py",
    "module north:\n": "run by test_module.py",
    'configfile: "config.yaml"': "run by test_module.py",
    "astromodal:\n  simulate": "run by test_module.py",
    "Auto-selected partition 'cpu'": "of a Slurm: `make cluster` runs what it shows",
    "slurmstepd-cpu1: error": "of a Slurm, which `make cluster` makes fail so",
    "field C: datacube_C.parquet is newer": "compared by test_sample_outputs.py",
    "encoded with the tokenizers that exist": "compared by test_sample_outputs.py",
    "changed since the last run: training": "compared by test_sample_outputs.py",
    "tokenizers.scalar.n_bins must be": "compared by test_sample_outputs.py",
    "import lsdb": "called by test_hats.py",
    "import qp": "run by test_photoz.py",
    "from astromodal.inference import AstroModel": "run by test_photoz.py",
    "from astropy.table import Table": "run by test_photoz.py",
    "from astromodal import AstroModel": "run by test_pytorch.py",
    "import astromodal": "run by test_pytorch.py",
    "from torch.utils.data import DataLoader": "run by test_pytorch.py",
    "from astromodal.config import load_config": "run by test_pytorch.py",
    "from torchdata.stateful_dataloader": "run by test_pytorch.py",
    "import onnxruntime": "run by test_pytorch.py",
    "from astromodal.inference.catalogue": "run by test_photoz.py",
}
"""Beginnings of fenced blocks that show what is printed, and what holds them to it."""

CALLS = {
    "numpy.load(path, allow_pickle=False)": "test_guide.py",
    "torch.load(path, weights_only=True)": "test_guide.py",
    'model.calibrated({"scalar": 1.16})': "test_tutorial.py",
    "pyarrow.parquet.write_table(..., write_page_checksum=True)": "tests/faults/jobs.py",
}
"""Calls in backticks, and where such a call is made."""

KINDS: dict[str, Callable[[str], object]] = {
    "line": lambda text: text.split()[0] in TYPED,
    "option": lambda text: text.startswith("--"),
    "setting": lambda text: re.match(r"[\w.-]+: \S", text),
    "python": lambda text: text.startswith("from ") or re.fullmatch(r"[\w.]+\(.*\)", text),
    "values": lambda text: re.fullmatch(r"\[.*\]|[\w-]+(, [\w-]+)+", text),
    "output": lambda text: text.startswith("changed since the last run: "),
    "no line": lambda text: text in NO_LINES,
}
SPANS = [span for page in (*DOCS, *COMMENTED) for span in spans(page)]
FENCES = [fence for page in DOCS for fence in fences(page)]
MARK = "== the line above ended with"


def kind_of(text: str) -> str | None:
    """What text in backticks is, by the first of `KINDS` that knows it."""
    return next((kind for kind, knows in KINDS.items() if knows(text)), None)


def filled(text: str) -> str:
    """Text with something in the place of each placeholder."""
    for placeholder, (value, _) in PLACEHOLDERS.items():
        text = text.replace(placeholder, value)
    return text


def typed(fence: Fence) -> tuple[str, ...]:
    """Lines of a block that are typed; all of them, or those behind a prompt."""
    text = fence.text.replace("\\\n", " ")
    prompted = tuple(re.findall(r"^\$ (.*)$", text, re.MULTILINE))
    alone = fence.language in ("", "console") and text.split()[0] in TYPED
    return prompted or (tuple(text.strip().splitlines()) if alone else ())


BLOCKS = [(fence, typed(fence)) for fence in FENCES if typed(fence)]
AFTER_A_RUN = re.compile(r"--report |jobs\.resources|astromodal audit ")
"""Lines that look at what a run has made."""


def place_of(page: str, line: str) -> str:
    """Fixture whose folder a line, the first of its block, is typed in."""
    if line.startswith("git clone "):
        return "login_node"
    if AFTER_A_RUN.search(line):
        return "finished_checkout"
    return "sky" if page == "config/README.md" else "survey"


SINGLE = [*(span for span in SPANS if kind_of(span.text) == "line"), *recipes()]
TOGETHER = [*BLOCKS, *((span, (span.text,)) for span in SINGLE)]
LINES = [
    pytest.param(
        place_of(found.page, lines[0]), lines, i, id=f"{found.page}:{found.number}: {line}"
    )
    for found, lines in TOGETHER
    for i, line in enumerate(lines)
]


LABELS = "\nfinetune: {labels: {kind: {column: specz_class_spec}}}\n"
"""What docs/usage.md says to write before models are fine-tuned."""


def readme_config() -> str:
    """The README's configuration of cubes of one's own."""
    return filled(next(fence.text for fence in FENCES if fence.language == "yaml"))


def raw_files(folder: Path) -> None:
    """Write a small sky as raw survey files, once as simulated and once as the README has them."""
    names = [f"STRIPE82-{number}" for number in ("0001", "0002", "0003", "0101", "0102")]
    sky = {"n_sources": 8, "xp_fraction": 0.5, "desi_fraction": 0.5, "specz_fraction": 0.5}
    settings = load_config({"simulate": {**sky, "fields": {name: {} for name in names}}}).simulate
    sources = write_raw_survey(settings, folder / "raw_sky", 100)
    for name in ("raw_sky/config.yaml", "raw_config.yaml"):
        (folder / name).write_text(yaml.safe_dump({"sources": sources}, sort_keys=False))
    raw, made = folder / "raw", folder / "raw_sky"
    shutil.copytree(made, raw)
    (raw / "gaia").rename(raw / "gaia_hats")
    for path in (raw / "images").iterdir():
        path.rename(path.with_suffix(".fits.fz"))
    for path in (raw / "xp").iterdir():
        path.with_suffix(".csv.gz").write_bytes(gzip.compress(path.read_bytes()))


@pytest.fixture(scope="session")
def survey(tmp_path_factory) -> Path:
    """A checkout with the README's configuration, its raw files, cubes, and files to freeze."""
    folder = checkout(tmp_path_factory.mktemp("survey"))
    raw_files(folder)
    (folder / "config/config.yaml").write_text(readme_config() + LABELS)
    shutil.copy(folder / "config/config.yaml", folder / "my_config.yaml")
    cube = folder / "cubes/datacube_STRIPE82-0001.parquet"
    cube.parent.mkdir()
    sky = load_config({"simulate": {"n_sources": 8, "fields": {"STRIPE82-0001": {}}}}).simulate
    simulate_field(sky, "STRIPE82-0001", str(cube))
    for number in ("0002", "0003", "0101", "0102"):
        shutil.copy(cube, cube.with_name(f"datacube_STRIPE82-{number}.parquet"))
    paths = layout(load_config(folder / "config/config.yaml"))
    for path in (*paths.tokenizers.values(), *paths.transformer.values()):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).touch()
    return folder


@pytest.fixture(scope="session")
def sky(tmp_path_factory) -> Path:
    """A checkout as it comes, with a configuration of one's own, and two fields more."""
    folder = checkout(tmp_path_factory.mktemp("sky"))
    path = folder / "config/config.yaml"
    names = [*load_config(path).simulate.fields, "0001", "0002"]
    config = yaml.safe_load(path.read_text()) | {
        "simulate": {"fields": {name: {} for name in names}}
    }
    path.write_text(yaml.safe_dump(config))
    shutil.copy(path, folder / "my_config.yaml")
    return folder


@pytest.fixture(scope="session")
def login_node(tmp_path_factory) -> Path:
    """A folder with nothing in it."""
    return tmp_path_factory.mktemp("login_node")


@pytest.fixture(scope="session")
def programs(tmp_path_factory) -> Path:
    return install(tmp_path_factory.mktemp("console") / "bin")


@pytest.fixture(scope="session")
def ended(request, programs) -> Callable[[str, tuple[str, ...]], list[tuple[str, int]]]:
    """Types a block's lines in a place, once; gives what each printed, and its status."""

    @cache
    def type_in(place: str, lines: tuple[str, ...]) -> list[tuple[str, int]]:
        status = f'printf "\\n%s %s\\n" "{MARK}" $?'
        script = "".join(f"{filled(line)}\n{status}\n" for line in lines)
        text = run(script, request.getfixturevalue(place), programs).stdout
        parts = re.split(rf"\n{MARK} (\d+)\n", text)
        codes = (int(code) for code in parts[1::2])
        return list(zip(parts[:-1:2], codes, strict=True))

    return type_in


@pytest.fixture(scope="session")
def finished_checkout(finished, tmp_path_factory) -> Path:
    """A checkout in which the tiny sky has been run."""
    folder = tmp_path_factory.mktemp("finished_checkout")
    shutil.copytree(finished.folder, folder, dirs_exist_ok=True)
    checkout(folder)
    (folder / "config/config.yaml").write_text(yaml.safe_dump(finished.config))
    return folder


@pytest.mark.parametrize(("place", "lines", "i"), LINES)
def test_a_line_does_what_it_says(place, lines, i, ended):
    """Typed as it stands, behind the lines above it in its block, it ends without an error."""
    results = ended(place, lines)
    assert len(results) == len(lines), "a line above ended the shell"
    said, status = results[i]
    assert status == 0, said[-3000:]


@pytest.mark.parametrize("span", SPANS, ids=lambda span: span.name)
def test_every_text_in_backticks_is_known(span):
    """No line is left out: what is none is of another kind, or stands in `NO_LINES`."""
    assert kind_of(span.text), "let a stand-in check it (helpers/programs.py), or list it above"


@pytest.mark.parametrize("fence", FENCES, ids=lambda fence: fence.name)
def test_every_block_is_known(fence):
    """It is typed, run by Python, loaded, drawn, or it shows what is printed."""
    if fence.language == "python":
        assert fence.page in EXECUTED
    elif fence.language != "yaml":
        assert typed(fence) or any(fence.text.startswith(text) for text in OTHERS)


def test_the_tables_name_what_is_there():
    """An exception of a line that is gone is gone, too."""
    texts = {span.text for span in SPANS}
    assert [text for text in (*NO_LINES, *CALLS, *OF_OTHERS) if text not in texts] == []
    pages = "".join((ROOT / page).read_text() for page in DOCS)
    assert [text for text in PLACEHOLDERS if text not in pages] == []
    begun = [text for text in OTHERS if not any(f.text.startswith(text) for f in FENCES)]
    assert begun == []


def test_options_in_the_text_exist():
    """An option named by itself is Snakemake's, or one of the docker lines."""
    from snakemake.cli import get_argument_parser

    known = {*get_argument_parser()._option_string_actions, "--build-arg"}
    options = [span for span in SPANS if kind_of(span.text) == "option"]
    assert [span.name for span in options if span.text.split()[0] not in known] == []


def is_setting(text: str) -> bool:
    """Whether YAML is a configuration, a preset of a catalogue, or keys of a profile."""
    from snakemake.cli import get_argument_parser

    values = yaml.safe_load(text)
    actions = get_argument_parser()._actions
    if values.keys() <= {name.strip("-") for a in actions for name in a.option_strings}:
        return True
    if {"ra", "dec"} <= values.keys():
        return bool(Preset.model_validate(values))
    load_config(values)
    return True


OF_OTHERS = {
    'encode_images: {lsf_queue: gpu, lsf_extra: "-gpu num=1"}': "of `set-resources`, for LSF",
    "gpu_manufacturer: nvidia": "of `default-resources`, for Kubernetes",
}
"""Settings in backticks of executors that are not installed."""


@pytest.mark.parametrize(
    "span", [s for s in SPANS if kind_of(s.text) == "setting"], ids=lambda span: span.name
)
def test_a_setting_in_the_text_loads(span):
    """It is a configuration, or a key of a profile."""
    assert span.text in OF_OTHERS or is_setting(filled(span.text))


@pytest.mark.parametrize(
    "span", [s for s in SPANS if kind_of(s.text) == "python"], ids=lambda span: span.name
)
def test_python_in_the_text_works(span):
    """An import works; a call is made elsewhere."""
    if span.text not in CALLS:
        exec(span.text, {})


@pytest.mark.parametrize(
    "fence",
    [f for f in FENCES if f.language == "yaml" and f.page != "docs/extending.md"],
    ids=lambda fence: fence.name,
)
def test_a_yaml_block_loads(fence):
    """It is a configuration, or the keys of a profile."""
    assert is_setting(filled(fence.text))
