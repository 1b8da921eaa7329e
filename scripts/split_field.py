"""Assign the objects of one field's cube to cells of the sky and to splits, and select them."""

from astromodal.jobs.entry import start
from astromodal.data.cube import Cube
from astromodal.data.splits import split_field

job = start(snakemake)
with job.one_field():
    settings = job.settings
    cube = Cube(snakemake.input.cube, snakemake.wildcards.field, settings.columns)
    split = split_field(cube, settings.split, settings.selection)
    cube.require_unchanged()
    split.save(snakemake.output.split)
