"""Check every file of a finished run, and account for every row of its cubes."""

from astromodal.jobs.entry import start
from astromodal.audit.accounts import audit_run, write_audit
from astromodal.audit.check import require_whole
from astromodal.config.load import load_config
from astromodal.core.fields import RunFields
from astromodal.reruns.recorded import Run

job = start(snakemake)
params = snakemake.params
run = Run(load_config(dict(params.config)), RunFields(**params.fields), dict(params.digests))
audit = audit_run(run, job.progress)
write_audit(run, audit)
require_whole(audit.problems, run.paths.audit_text)
job.logger.info("no problem in %d files; wrote %s", audit.n_files, run.paths.run_lock)
