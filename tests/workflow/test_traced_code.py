"""What real jobs call is what the digests of their code cover."""

import pytest

from astromodal.core.paths import Layout
from astromodal.reruns.digests import code_digests
from helpers.workflow import ROOT, run_further

pytestmark = pytest.mark.workflow

FIELD = "T-3"
RULES = {"train_scalar_tokenizer", "encode_scalars", "encode_spectra"}


@pytest.fixture(scope="module")
def called(tmp_path_factory):
    """Definitions that each rule's script called, of quick jobs that are run once more."""

    def trace(workflow):
        paths, traces = Layout("results"), workflow.folder / "traces"
        traces.mkdir()
        workflow.variables["TRACE_FOLDER"] = str(traces)
        targets = [paths.scalar_tokenizer, paths.scalar_tokens(FIELD), paths.spectrum_tokens(FIELD)]
        workflow.run("--force", "--allowed-rules", *sorted(RULES), "--", *targets)

    workflow = run_further(tmp_path_factory, "traced", trace)
    found = {}
    for path in (workflow.folder / "traces").iterdir():
        found.setdefault(path.stem, set()).update(path.read_text().split())
    return found


def test_the_jobs_were_traced(called):
    """Each of the rules ran and called what its script asks for."""
    assert called.keys() == RULES
    assert (
        "astromodal.tokenizers.scalars.tokenizer.encode_field_scalars" in called["encode_scalars"]
    )


@pytest.mark.parametrize("rule", sorted(RULES))
def test_a_job_calls_nothing_that_its_digests_miss(called, rule):
    """Every definition whose code ran has a digest, so an edit of it redoes the job."""
    scripts = ROOT / "scripts"
    assert called[rule] <= code_digests(scripts / f"{rule}.py", scripts).keys()
