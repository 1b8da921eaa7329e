"""Write the predictions of one field as VOTable or FITS."""

from astromodal.jobs.entry import start
from astromodal.data.cube import Cube
from astromodal.inference.catalogue import catalogue_table, write_catalogue

job = start(snakemake)
with job.one_field():
    source = snakemake.input
    cube = Cube(source.cube, job.field, job.settings.columns)
    table = catalogue_table(source.predictions, cube, source.get("photoz"))
    write_catalogue(table, snakemake.output.catalogue)
    job.logger.info("wrote %d columns of %d objects", len(table.colnames), len(table))
