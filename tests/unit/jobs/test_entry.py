import errno
import gc
import logging
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

import astromodal
from astromodal.jobs.entry import SCRIPTS, start
from astromodal.config import load_config
from astromodal.config.load import plain_settings
from astromodal.errors import AstromodalError, ChangedError, DataError
from astromodal.extensions import VARIABLE, hand_down
from astromodal.jobs.failures import VARIABLE as SKIPPED
from astromodal.jobs.failures import allow_skips, read_notes
from astromodal.storage.formats import Skip, SkippedError, skip_at
from astromodal.storage.json_files import write_json


@pytest.fixture
def snakemake(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setenv(VARIABLE, "")
    root = logging.getLogger()
    before = root.handlers[:]
    yield SimpleNamespace(
        scriptdir=str(SCRIPTS),
        log=[str(tmp_path / "logs/job.log")],
        rule="encode_scalars",
        wildcards={"field": "F1"},
        input={"cube": str(tmp_path / "cube.parquet")},
        output=[str(tmp_path / "codes.npz"), str(tmp_path / "latents.npz")],
        params={
            "settings": {"tokenizers.scalar": plain_settings("tokenizers.scalar", load_config())}
        },
        threads=1,
    )
    gc.unfreeze()
    for handler in set(root.handlers) - set(before):
        handler.close()
    root.handlers[:] = before


def test_settings_arrive_as_models(snakemake):
    """A job reads the frozen settings that its rule named."""
    assert start(snakemake).settings.tokenizers.scalar.n_bins == 1024


@pytest.mark.parametrize(("first", "collects"), [("snakemake = 1", False), ("", True)])
def test_a_job_s_imports_cost_no_search_for_garbage(first, collects):
    """Only in a job: a test or a notebook that imports the module collects as before."""
    code = f"{first}\nimport astromodal.jobs.entry, gc\nprint(gc.isenabled())"
    environment = os.environ | {"PYTHONPATH": str(SCRIPTS)}
    said = subprocess.check_output([sys.executable, "-c", code], env=environment, text=True)
    assert said.strip() == str(collects)


def test_a_job_collects_its_own_garbage_alone(snakemake):
    """From its start on, and what was imported before is left out."""
    start(snakemake)
    assert gc.isenabled()
    assert gc.get_freeze_count() > 10_000


def test_a_job_reads_only_what_its_rule_named(snakemake):
    """A setting that the rule left out is refused, not taken at its default."""
    snakemake.params["settings"] |= {"tokenizers.image.size": 32, "tokenizers.image.seed": 9}
    image = start(snakemake).settings.tokenizers.image
    assert (image.size, image.seed) == (32, 9)
    with pytest.raises(AttributeError, match=r"tokenizers\.image\.bands must be given to the job"):
        _ = image.bands


def test_a_job_imports_the_extensions_of_its_code(snakemake, tmp_path):
    """An extension file that the job's code cannot reach costs it nothing."""
    for name in ("counted", "other"):
        (tmp_path / f"{name}.py").write_text("x = 1")
    hand_down([tmp_path / "counted.py", tmp_path / "other.py"], os.environ)
    snakemake.params["code"] = "0123456789abcdef/counted.py"
    start(snakemake)
    assert sys.modules.pop("astromodal_extension_counted").x == 1
    assert "astromodal_extension_other" not in sys.modules


def test_messages_go_to_the_job_s_log(snakemake):
    """The job's messages are in its log file."""
    start(snakemake).logger.info("hello")
    assert "hello" in Path(snakemake.log[0]).read_text()


def test_an_error_of_ours_is_one_line_in_the_log(snakemake):
    """A user's mistake shows its message, not a traceback."""
    start(snakemake)
    sys.excepthook(AstromodalError, AstromodalError("a must be b"), None)
    text = Path(snakemake.log[0]).read_text()
    assert "a must be b" in text
    assert "Traceback" not in text


def test_another_error_shows_its_traceback(snakemake):
    """A bug shows where it happened."""
    start(snakemake)
    sys.excepthook(KeyError, KeyError("k"), None)
    assert "KeyError: 'k'" in Path(snakemake.log[0]).read_text()


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, "text", "a.png"), "a.png must be on a disk with room for it"),
        (MemoryError("Unable to allocate 3 GiB"), "memory must be enough for the job, got Unable"),
    ],
)
def test_an_error_of_the_machine_is_one_line_in_the_log(snakemake, error, message):
    """An error of a full disk or memory is logged without a traceback."""
    start(snakemake)
    sys.excepthook(type(error), error, None)
    text = Path(snakemake.log[0]).read_text()
    assert message in text
    assert "Traceback" not in text


def test_a_log_on_a_full_disk_makes_no_noise(snakemake, capsys):
    """A message that the log file cannot take is on stderr, once."""
    job = start(snakemake)
    (log,) = [h for h in logging.getLogger().handlers if isinstance(h, logging.FileHandler)]
    log.stream.close()
    log.stream = Path("/dev/full").open("w")  # noqa: SIM115
    job.logger.info("hello")
    with pytest.raises(OSError, match="No space left"):  # what did not fit is still in its buffer
        log.stream.close()
    log.stream = None
    said = capsys.readouterr().err
    assert said.count("hello") == 1
    assert "Logging error" not in said


def test_a_bug_in_logging_is_told(snakemake, capsys):
    """Only the disk is forgiven."""
    start(snakemake).logger.info("%d", "no number")
    assert "Logging error" in capsys.readouterr().err


def test_another_copy_of_the_package_is_refused(snakemake, tmp_path):
    """A stale install does not shadow the working copy in silence."""
    snakemake.scriptdir = str(tmp_path)
    with pytest.raises(AstromodalError, match="must be imported from .*; uninstall the other copy"):
        start(snakemake)
    assert astromodal.__version__


def test_a_script_out_of_a_repository_has_the_package_of_the_plan(snakemake, monkeypatch):
    """Its folder is a URI, and the plan names the folder of the package."""
    snakemake.scriptdir = "https://raw.githubusercontent.com/owner/astromodal/v1/scripts"
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["/modules", str(SCRIPTS)]))
    assert start(snakemake).name == "encode_scalars"
    monkeypatch.setenv("PYTHONPATH", "/modules")
    with pytest.raises(AstromodalError, match="must be imported from /modules, got"):
        start(snakemake)


def test_progress_is_logged(snakemake):
    """A long step says when it is done, and passes its items on."""
    job = start(snakemake)
    assert list(job.progress(range(3), 3, "counting")) == [0, 1, 2]
    assert "counting: done in" in Path(snakemake.log[0]).read_text()


@pytest.fixture
def skipping(tmp_path, monkeypatch):
    """The folder of notes of a run that may skip a bad field, whose cube is there."""
    (tmp_path / "cube.parquet").write_bytes(b"bad")
    allow_skips(str(tmp_path), str(tmp_path / "skipped"), True, environment := {})
    monkeypatch.setenv(SKIPPED, environment[SKIPPED])
    return tmp_path / "skipped"


def test_a_bad_field_is_skipped(snakemake, skipping):
    """Every output says why, and a note."""
    with start(snakemake).one_field():
        raise DataError("it is bad")
    skip = Skip("F1", "encode_scalars", "it is bad")
    assert [skip_at(path) for path in snakemake.output] == [skip, skip]
    assert [note.skip for note in read_notes(skipping, ["F1"])] == [skip]


def test_a_bad_field_stops_its_job_by_default(snakemake, tmp_path):
    """Nothing is written in place of its outputs."""
    with pytest.raises(DataError, match="it is bad"), start(snakemake).one_field():
        raise DataError("it is bad")
    assert not Path(snakemake.output[0]).exists()


def test_what_follows_a_skipped_field_is_skipped(snakemake, skipping):
    """For the reason that the first job met; that job's note is enough."""
    skip = Skip("F1", "split_field", "it is bad")
    with start(snakemake).one_field():
        raise SkippedError(skip)
    assert [skip_at(path) for path in snakemake.output] == [skip, skip]
    assert read_notes(skipping, ["F1"]) == []


def test_a_job_without_a_cube_skips_nothing_of_its_own(snakemake, skipping):
    """A job without a cube skips a skipped input, and fails on an error of its own."""
    snakemake.input = {}
    with pytest.raises(DataError, match="it is bad"), start(snakemake).one_field():
        raise DataError("it is bad")
    assert not Path(snakemake.output[0]).exists()


def test_a_cube_that_changes_is_not_skipped(snakemake, skipping):
    """Another attempt may find it whole."""
    with pytest.raises(ChangedError, match="changed"), start(snakemake).one_field():
        raise ChangedError("changed")
    assert not skipping.exists()


def test_a_field_that_is_good_again_has_no_note(snakemake, skipping):
    """A success deletes the note of its own rule, and keeps those of other rules."""
    for name in ("F1.encode_scalars.json", "F1.encode_images.json"):
        write_json(skipping / name, {})
    with start(snakemake).one_field():
        pass
    assert [path.name for path in skipping.iterdir()] == ["F1.encode_images.json"]


def test_linear_algebra_has_one_thread(snakemake):
    """Whatever the cores of a job: BLAS splits its sums by threads."""
    snakemake.threads = 2
    with threadpool_limits(2, "blas"):
        start(snakemake)
        threads = {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}
    assert threads == {1}


@pytest.mark.parametrize(("wanted", "threads"), [(None, 2), (3, 3)])
def test_torch_has_the_job_s_cores_or_what_the_config_wants(
    snakemake, monkeypatch, wanted, threads
):
    """On a CPU, where a sum is split among them."""
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    snakemake.params["settings"]["cpu_threads"] = wanted
    snakemake.threads, before = 2, torch.get_num_threads()
    try:
        start(snakemake).device()
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
