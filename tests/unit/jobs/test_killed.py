"""Jobs that were killed are told of when a run ends."""

from astromodal.jobs.killed import killed

FAILED = """\
RuleException:
CalledProcessError in file "/w/rules/encode.smk", line 20:
Command 'set -euo pipefail;  /usr/bin/python /r/.snakemake/scripts/tmpvpf6c.{}.py' {}.
"""


def test_killed_jobs_are_counted_by_rule(tmp_path):
    """A line a rule, with what to do; jobs that ended in another way are not among them."""
    ends = [("encode_images", "died with <Signals.SIGKILL: 9>")] * 2
    ends += [("train_transformer", "died with <Signals.SIGKILL: 9>")]
    ends += [("encode_scalars", "returned non-zero exit status 1")]
    ends += [("encode_spectra", "died with <Signals.SIGTERM: 15>")]
    log = tmp_path / "log"
    log.write_text("".join(FAILED.format(*end) for end in ends))
    first, second = killed([log])
    assert first.startswith("rule encode_images: killed (SIGKILL) 2 times, as the kernel does")
    assert "fewer --cores" in first
    assert second.startswith("rule train_transformer: killed (SIGKILL), as the kernel")


def test_nothing_is_said_where_nothing_was_killed(tmp_path):
    """Of a log with bytes that are no text, too."""
    log = tmp_path / "log"
    log.write_bytes(b"Finished jobid: 0 (Rule: all)\xff\n")
    assert list(killed([log])) == []
