"""What Grid Engine's profile asks qsub for, and what it says of a job; `make cluster` runs both."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from helpers.workflow import ROOT

PROFILE = ROOT / "profiles/gridengine"


def module(name: str) -> ModuleType:
    """A program of the profile, as a module of the test's own."""
    spec = importlib.util.spec_from_file_location(f"gridengine_{name}", PROFILE / f"{name}.py")
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


@pytest.fixture
def submit() -> ModuleType:
    return module("submit")


@pytest.fixture
def status(tmp_path, monkeypatch) -> ModuleType:
    """The program in a folder where a run has submitted jobs; no qstat, and no time passes."""
    monkeypatch.chdir(tmp_path)
    made = module("status")
    made.RECORDS.mkdir(parents=True)
    return made


def job(threads: int = 1, **resources: object) -> dict:
    return {"threads": threads, "resources": {"mem_mb": 3000, "runtime": 10, **resources}}


def test_a_job_has_a_limit_and_a_notice_before_it(submit):
    """Minutes become seconds; the notice comes two minutes earlier."""
    given = submit.arguments(job())
    assert given[given.index("-l") + 1] == "h_rt=600,s_rt=480,mem_free=3000M"


def test_a_short_job_has_no_notice(submit):
    """It would come at once."""
    given = submit.arguments(job(runtime=2))
    assert given[given.index("-l") + 1] == "h_rt=120,mem_free=3000M"


def test_memory_per_slot_is_rounded_up(submit):
    """Three slots have no less than the job needs."""
    submit.PER_SLOT = True
    given = submit.arguments(job(threads=3, mem_mb=4000))
    assert "mem_free=1334M" in given[given.index("-l") + 1].split(",")
    assert given[given.index("-pe") :][:3] == ["-pe", "smp", "3"]


def test_a_site_without_a_resource_of_memory_has_none_asked_for(submit):
    """Then the job requests a time alone."""
    submit.MEMORY = ""
    given = submit.arguments(job())
    assert given[given.index("-l") + 1] == "h_rt=600,s_rt=480"


def test_only_a_gpu_job_sees_gpus(submit):
    """It asks for them; any other is shown none."""
    with_gpu, without = submit.arguments(job(gpu=2)), submit.arguments(job())
    assert "gpu=2" in with_gpu[with_gpu.index("-l") + 1].split(",")
    assert "CUDA_VISIBLE_DEVICES=" not in with_gpu
    assert without[without.index("-v") + 1] == "CUDA_VISIBLE_DEVICES="


def test_other_arguments_are_passed_on(submit):
    """Those of the site, and those of a rule, as words and through no shell."""
    submit.OTHER = ["-P", "survey"]
    given = submit.arguments(job(sge_extra="-q 'gpu.q@@new' -p -5"))
    assert given[-6:] == ["-P", "survey", "-q", "gpu.q@@new", "-p", "-5"]


def test_properties_are_those_of_the_jobscript(submit, tmp_path):
    """They stand in its comment; a file without them is refused."""
    script = tmp_path / "script"
    script.write_text(f"#!/bin/sh\n# properties = {json.dumps(job())}\necho\n")
    assert submit.properties(str(script)) == job()
    script.write_text("#!/bin/sh\n")
    with pytest.raises(SystemExit, match="must have a line '# properties = ...', got none"):
        submit.properties(str(script))


@pytest.mark.parametrize(("written", "said"), [("0\n", "success"), ("1\n", "failed")])
def test_a_record_says_how_a_job_ended(status, written, said):
    """Nobody asks qstat; the record is gone afterwards, as job numbers come again."""
    status.queue = None
    (status.RECORDS / "7").write_text(written)
    assert status.state("7", 0.0) == said
    assert not (status.RECORDS / "7").exists()


def test_a_listed_job_runs(status):
    """One answer of qstat serves for a while."""
    answers = iter([{"7": "r", "8": "qw"}])
    status.queue = lambda: next(answers)
    assert [status.state(number, 100.0) for number in ("7", "8")] == ["running"] * 2


def test_a_job_that_is_gone_without_a_record_has_failed(status):
    """Not at once: a record may be late, and a job just submitted is not in an earlier answer."""
    status.queue = dict
    said = [status.state("7", now) for now in (100.0, 115.0, 159.0, 161.0)]
    assert said == ["running", "running", "running", "failed"]


def test_a_job_that_is_listed_again_is_not_gone(status):
    """The time of its absence begins anew."""
    answers = iter([{}, {"7": "r"}, {}, {}])
    status.queue = lambda: next(answers)
    said = [status.state("7", now) for now in (100.0, 150.0, 170.0, 200.0)]
    assert said == ["running"] * 4


def test_without_an_answer_nothing_is_known_to_have_ended(status):
    """A scheduler that restarts fails no job."""
    status.queue = lambda: None
    assert [status.state("7", now) for now in (100.0, 200.0, 900.0)] == ["running"] * 3


def test_a_clock_set_back_asks_again(status):
    """An answer from the future is none."""
    answers = iter([{"7": "r"}, {"7": "r", "8": "r"}])
    status.queue = lambda: next(answers)
    status.state("7", 1000.0)
    assert status.state("8", 10.0) == "running"
    assert next(answers, None) is None


def test_a_job_that_cannot_start_is_deleted_and_has_failed(status, monkeypatch):
    """Grid Engine would keep it in the queue, in an error state."""
    calls = []
    monkeypatch.setattr(status.subprocess, "run", lambda command, **_: calls.append(command))
    status.queue = lambda: {"7": "Eqw"}
    assert status.state("7", 100.0) == "failed"
    assert calls == [["qdel", "7"]]


def test_qstat_that_fails_gives_no_answer(status, monkeypatch, tmp_path):
    """And one that succeeds, the states by number."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    program = tmp_path / "qstat"
    head = "job-ID prior name user state\n-----\n"
    program.write_text(f"#!/bin/sh\nprintf '{head}  12 0.5 codes me r 12/01/2026\\n'\n")
    program.chmod(0o755)
    assert status.queue() == {"12": "r"}
    program.write_text("#!/bin/sh\nexit 1\n")
    assert status.queue() is None


def test_its_programs_can_be_run():
    """Snakemake calls them by their paths."""
    assert all((PROFILE / name).stat().st_mode & 0o111 for name in ("submit.py", "status.py"))


def test_what_goes_together_is_that_of_the_slurm_profile():
    """Groups, retries and what always holds stand in both profiles."""
    texts = [
        Path(ROOT / f"profiles/{name}/config.yaml").read_text() for name in ("slurm", "gridengine")
    ]
    slurm, gridengine = map(yaml.safe_load, texts)
    own = ("executor", "jobscript", "jobname")
    shared = [key for key in slurm if not key.startswith("slurm-") and key not in own]
    assert {key: gridengine.get(key) for key in shared} == {key: slurm[key] for key in shared}
