"""Write redshift distributions of the objects of one field."""

from pathlib import Path

from astromodal.jobs.entry import start
from astromodal.data.cube import Cube
from astromodal.inference.model import AstroModel
from astromodal.inference.photoz import export_photoz

job = start(snakemake)
with job.one_field():
    source, settings = snakemake.input, job.settings
    column, together = snakemake.params.column, snakemake.params.columns
    model = AstroModel.from_run(Path(source.final_model).parent, job.device(), settings.predict)
    n = export_photoz(
        model,
        Cube(source.cube, job.field, settings.columns),
        source.sequences,
        snakemake.output.photoz,
        (column, together),
        settings,
        job.progress,
    )
    job.logger.info("wrote distributions of %s of %d objects", column, n)
