"""Measure the noise of the sky in a sample of one training field's cutouts."""

from astromodal.jobs.entry import start
from astromodal.data.cube import Cube
from astromodal.data.splits import load_split
from astromodal.tokenizers.images.normaliser import sample_sky

job = start(snakemake)
with job.one_field():
    cube = Cube(snakemake.input.cube, snakemake.wildcards.field, job.settings.columns)
    rows = load_split(snakemake.input.split).fit_rows()
    sky = sample_sky(cube, rows, job.settings.tokenizers.image)
    cube.require_unchanged()
    sky.save(snakemake.output.sky)
