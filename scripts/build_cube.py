"""Match the sources of one field, and write its cube."""

from astromodal.jobs.entry import start
from astromodal.core.paths import Layout
from astromodal.sources.build import build_cube

job = start(snakemake)
with job.one_field():
    field, paths = snakemake.wildcards.field, Layout(snakemake.params.results)
    built = build_cube(job.settings, field, paths, snakemake.output.cube, job.progress)
    for source, found in built.items():
        job.logger.info("field %s: source %s: %s", field, source, found)
