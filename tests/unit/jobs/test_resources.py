import pytest
import yaml

from astromodal.errors import ConfigError
from astromodal.jobs.resources import (
    Record,
    RuleUse,
    growth,
    main,
    proposal,
    table,
    training_resources,
)

HEADER = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"


def use(*seconds, memory=1000.0, load=100.0, sizes=None):
    """Return the resources of jobs of these times."""
    sizes = sizes or [None] * len(seconds)
    pairs = zip(seconds, sizes, strict=True)
    return RuleUse.of("encode", [Record(s, memory, load, size) for s, size in pairs])


def test_a_rule_is_summed_up_over_its_jobs():
    """Median and longest time, the largest memory, and the load of the time that was measured."""
    records = [
        Record(10.0, 200.0, 50.0, None),
        Record(30.0, 400.0, 90.0, None),
        Record(0.1, None, None, None),
    ]
    found = RuleUse.of("encode", records)
    assert found == RuleUse("encode", 3, 10.0, 30.0, 400.0, pytest.approx(80.0), None)


def test_what_no_job_measured_is_unknown():
    """Neither memory nor load of jobs that were all too short is a zero."""
    found = use(0.1, 0.2, memory=None, load=None)
    assert (found.memory, found.load, found.mem_mb(1.5)) == (None, None, None)


@pytest.mark.parametrize(
    ("memory", "factor", "asked"),
    [
        (0.0, 1.5, 500),  # the floor
        (133.0, 1.5, 500),  # 199.5 + 300
        (134.0, 1.5, 600),  # 201 + 300
        (1000.0, 1.5, 1800),  # exactly 1500 + 300
        (1000.0, 1.1, 1400),  # 1100.0000000000002 + 300
        (1000.1, 1.5, 1900),
    ],
)
def test_memory_is_the_largest_seen_and_snakemakes_own(memory, factor, asked):
    """Times the factor, and 300 MB for the Snakemake around it, up to the next 100 MB."""
    assert use(1.0, memory=memory).mem_mb(factor) == asked


@pytest.mark.parametrize(
    ("seconds", "factor", "asked"),
    [(0.02, 1.5, 5), (200.0, 1.5, 5), (201.0, 1.5, 10), (3600.0, 1.5, 90), (0.0, 1.0, 5)],
)
def test_runtime_is_the_longest_seen(seconds, factor, asked):
    """Times the factor, up to the next 5 minutes."""
    assert use(0.0, seconds).runtime(factor) == asked


def test_time_that_grows_with_the_input_is_told():
    """Twice the input and twice the time: the slope is seconds a MB."""
    assert use(2.0, 4.1, 6.0, 7.9, sizes=[1.0, 2.0, 3.0, 4.0]).growth == pytest.approx(1.96)


@pytest.mark.parametrize("seconds", [(5.0, 5.0, 5.0, 5.0), (5.0, 3.0, 6.0, 4.0), (9, 7, 4, 1)])
def test_time_that_does_not_grow_is_told(seconds):
    """Even times, times without order and falling times do not grow."""
    assert use(*seconds, sizes=[1.0, 2.0, 3.0, 4.0]).growth == 0.0


def test_without_sizes_that_differ_growth_is_unknown():
    """Fewer than four sizes, or none recorded, say nothing."""
    few = [Record(float(size), 1.0, 1.0, size) for size in (1.0, 2.0, 3.0, 3.0, 3.0)]
    assert growth(few) is None
    assert use(1.0, 2.0, 3.0, 4.0).growth is None


def test_both_forms_of_records_go_together():
    """Growth comes from the records that know their input, whatever the others took."""
    sized = [Record(2.0 * size, 1.0, 1.0, size) for size in (1.0, 2.0, 3.0, 4.0)]
    assert growth([*sized, Record(500.0, 1.0, 1.0, None)]) == pytest.approx(2.0)


def test_the_table_has_a_line_a_rule():
    """Every number is in the column of its name, and unknown values are marked."""
    unmeasured = RuleUse("assemble", 1, 0.02, 0.02, None, None, 0.0)
    assert table([unmeasured, use(2.0, 4.1, 6.0, 7.9, sizes=[1.0, 2.0, 3.0, 4.0]), use(90.0)]) == (
        "rule      jobs  median s  longest s  max_rss MB  load %  with its input\n"
        "assemble     1       0.0        0.0           -       -  no growth seen\n"
        "encode       4       5.0        7.9        1000     100  grows by 2 s/MB\n"
        "encode       1      90.0       90.0        1000     100  unknown"
    )


def test_the_proposal_is_a_profiles_set_resources():
    """Memory and time a rule, more at each attempt; memory is left out where none was measured."""
    unmeasured = RuleUse("assemble", 1, 0.02, 0.02, None, None, None)
    assert yaml.safe_load(proposal([unmeasured, use(1000.0)], 1.5)) == {
        "set-resources": {
            "assemble": {"runtime": "5 * attempt"},
            "encode": {"mem_mb": "1800 * attempt", "runtime": "25 * attempt"},
        }
    }


def test_the_proposal_warns_of_time_that_grows():
    """A comment marks the runtime of a rule whose time grows with the input."""
    text = proposal([use(2.0, 4.0, 6.0, 8.0, sizes=[1.0, 2.0, 3.0, 4.0])], 1.5)
    assert "runtime: 5 * attempt  # time grows by 2 s/MB of input" in text


@pytest.mark.parametrize("factor", [0.9, float("nan"), float("inf")])
def test_less_than_was_seen_is_refused(factor):
    """A factor below 1, or no number, is an error."""
    with pytest.raises(ConfigError, match="--factor must be a number from 1, got"):
        proposal([use(1.0)], factor)


def test_the_command_prints_table_and_proposal(tmp_path, capsys):
    """Both, of the folder and with the factor that are given."""
    path = tmp_path / "benchmarks/encode/A.tsv"
    path.parent.mkdir(parents=True)
    path.write_text(HEADER + "600.5\t0:10:00\t900.00\t1\t1\t1\t0.00\t0.00\t97.00\t582.00\n")
    main([str(tmp_path), "--factor", "2"])
    shown, asked = capsys.readouterr().out.split("\n\n")
    line = " ".join(shown.splitlines()[1].split())
    assert line == "encode 1 600.5 600.5 900 97 unknown"
    assert yaml.safe_load(asked)["set-resources"]["encode"] == {
        "mem_mb": "2100 * attempt",
        "runtime": "25 * attempt",
    }


def test_the_command_ends_with_a_message_on_an_error(tmp_path):
    """An error ends with a message, not a traceback."""
    with pytest.raises(SystemExit, match=r"error: .*must be files .* got none; run the workflow"):
        main([str(tmp_path)])


def test_a_training_on_one_gpu_requests_it_with_time_to_save():
    """A day, a signal before its end, and more memory at each attempt; no task options."""
    found = training_resources(gpus=1, nodes=1)
    assert found.pop("mem_mb")("wildcards", attempt=2) == 128000
    assert found == {"gpu": 1, "runtime": 1440, "slurm_extra": "--signal=TERM@120"}


def test_a_training_on_several_gpus_is_one_task():
    """The script starts a process per GPU itself."""
    found = training_resources(gpus=4, nodes=1)
    assert (found["gpu"], found["tasks_per_gpu"]) == (4, -1)
    assert "nodes" not in found


def test_a_training_on_several_nodes_is_one_task_per_node():
    """GPUs are then requested per node, and the script calls srun."""
    found = training_resources(gpus=2, nodes=3)
    assert (found["gres"], found["nodes"], found["tasks"], found["mpi"]) == ("gpu:2", 3, 3, "srun")
    assert "gpu" not in found
