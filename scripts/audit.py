"""Check every file of a finished run, and account for every row of its cubes."""

from astromodal.jobs.entry import start
from astromodal.audit.accounts import audit_run
from astromodal.audit.check import require_whole
from astromodal.audit.lock import lock_run, write_lock
from astromodal.config.load import load_config
from astromodal.core.fields import RunFields
from astromodal.reruns.recorded import Run
from astromodal.storage.json_files import write_json
from astromodal.storage.tempfiles import write_text

job = start(snakemake)
params = snakemake.params
run = Run(load_config(dict(params.config)), RunFields(**params.fields), dict(params.digests))
audit = audit_run(run, job.progress)
write_json(run.paths.audit, audit.as_dict())
write_text(run.paths.audit_text, audit.text())
require_whole(audit.problems, run.paths.audit_text)
if audit.origin is not None:
    write_lock(run.paths.run_lock, lock_run(run, audit.origin))
job.logger.info("no problem in %d files; wrote %s", audit.n_files, run.paths.run_lock)
