"""Simulate one field of the sky and write its datacube."""

from astromodal.jobs.entry import start
from astromodal.simulate.field import simulate_field

job = start(snakemake)
settings = job.settings.simulate
field = snakemake.wildcards.field
simulate_field(settings, field, snakemake.output.cube)
job.logger.info("field %s: simulated with seed %d", field, settings.seed)
