# The folder of the package, which stands beside the rules or in a git repository.
import atexit
import gc
import io
import sys
import tarfile
import tempfile
from contextlib import suppress
from pathlib import Path

from snakemake.exceptions import WorkflowError

# No search for garbage in the modules that Snakemake imported: neither now, nor at the end.
gc.freeze()
atexit.register(gc.freeze)


def scripts_of(rules):
    """Return the folder of the entry scripts and the package, for the folder of the rules.

    Snakemake reads the files of a git repository one by one. The package is unpacked from it, once
    per commit.
    """
    if hasattr(rules, "abspath"):
        return Path(str(rules.abspath())).parent / "scripts"
    if not hasattr(rules, "hosted_repo"):
        raise WorkflowError(
            "snakefile of the module must be a file, github(...) or gitlab(...), got a file of "
            f"{rules}; clone the repository, and name the Snakefile in the clone"
        )
    repository = rules.hosted_repo.repo
    commit = repository.commit(rules.ref).hexsha
    folder = Path(".snakemake", "astromodal", commit).absolute()
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        packed = repository.git.archive(commit, "scripts", stdout_as_string=False)
        with tempfile.TemporaryDirectory(
            dir=folder.parent, ignore_cleanup_errors=True
        ) as made:
            with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
                # Python before 3.11.4 has no filters.
                known = hasattr(tarfile, "data_filter")
                archive.extractall(made, **({"filter": "data"} if known else {}))
            with suppress(OSError):  # another process was first
                Path(made).rename(folder)
    return folder / "scripts"


SCRIPTS = scripts_of(workflow.current_basedir)
sys.path.insert(0, str(SCRIPTS))
import astromodal

if Path(astromodal.__file__).resolve().parents[1] != SCRIPTS.resolve():
    raise WorkflowError(
        f"astromodal must be one checkout in all modules of a workflow, got {SCRIPTS} beside "
        f"{Path(astromodal.__file__).parents[1]}; name the same snakefile in each"
    )
