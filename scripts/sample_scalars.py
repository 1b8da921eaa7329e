"""Sketch the quantiles of one training field's scalar columns."""

from astromodal.jobs.entry import start
from astromodal.data.cube import Cube
from astromodal.data.splits import load_split
from astromodal.tokenizers.scalars.quantiles import ColumnSummaries

job = start(snakemake)
with job.one_field():
    cube = Cube(snakemake.input.cube, snakemake.wildcards.field, job.settings.columns)
    columns = job.settings.tokenizers.scalar.columns
    values = cube.scalars(columns)[load_split(snakemake.input.split).fit_rows()]
    summaries = ColumnSummaries.of(values, columns, threads=job.threads)
    cube.require_unchanged()
    summaries.save(snakemake.output.quantiles)
