import logging
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

import astromodal
from astromodal.config import load_config
from astromodal.config.load import plain_settings
from astromodal.errors import AstromodalError
from astromodal.jobs.entry import SCRIPTS, TORCH_THREADS, start


@pytest.fixture
def snakemake(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    root = logging.getLogger()
    before = root.handlers[:]
    yield SimpleNamespace(
        scriptdir=str(SCRIPTS),
        log=[str(tmp_path / "logs/job.log")],
        rule="encode_scalars",
        wildcards={"field": "F1"},
        params={
            "settings": {"tokenizers.scalar": plain_settings("tokenizers.scalar", load_config())}
        },
        threads=1,
    )
    for handler in set(root.handlers) - set(before):
        handler.close()
    root.handlers[:] = before


def test_settings_arrive_as_models(snakemake):
    """A job reads the frozen settings that its rule named."""
    assert start(snakemake).settings.tokenizers.scalar.n_bins == 1024


def test_a_job_reads_only_what_its_rule_named(snakemake):
    """A setting that the rule left out is refused, not taken at its default."""
    snakemake.params["settings"] |= {"tokenizers.image.size": 32, "tokenizers.image.seed": 9}
    image = start(snakemake).settings.tokenizers.image
    assert (image.size, image.seed) == (32, 9)
    with pytest.raises(AttributeError, match=r"ImageSettings\.bands must be given to the job"):
        _ = image.bands


def test_messages_go_to_the_job_s_log(snakemake):
    """What the job says stands in its log file."""
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


def test_another_copy_of_the_package_is_refused(snakemake, tmp_path):
    """A stale install does not shadow the working copy in silence."""
    snakemake.scriptdir = str(tmp_path)
    with pytest.raises(AstromodalError, match="must be imported from .*; uninstall the other copy"):
        start(snakemake)
    assert astromodal.__version__


def test_progress_is_logged(snakemake):
    """A long step says when it is done, and passes its items on."""
    job = start(snakemake)
    assert list(job.progress(range(3), 3, "counting")) == [0, 1, 2]
    assert "counting: done in" in Path(snakemake.log[0]).read_text()


def test_linear_algebra_has_one_thread(snakemake):
    """Whatever the cores of a job: BLAS splits its sums by threads."""
    snakemake.threads = 2
    with threadpool_limits(2, "blas"):
        start(snakemake)
        threads = {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}
    assert threads == {1}


@pytest.mark.parametrize("cores", [1, 2, 16])
def test_torch_has_the_same_threads_on_any_number_of_cores(snakemake, monkeypatch, cores):
    """On a CPU, where a sum is split among them."""
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    snakemake.threads, before = cores, torch.get_num_threads()
    try:
        start(snakemake).device()
        assert torch.get_num_threads() == TORCH_THREADS
    finally:
        torch.set_num_threads(before)
