"""Predict scalars of the objects of one field with the trained transformer."""

from pathlib import Path

from astromodal.jobs.entry import start
from astromodal.inference.model import AstroModel
from astromodal.inference.tables import predict_field

job = start(snakemake)
with job.one_field():
    source, predict = snakemake.input, job.settings.predict
    columns = tuple(snakemake.params.columns)
    model = AstroModel.from_run(Path(source.final_model).parent, job.device(), predict)
    n = predict_field(
        model,
        source.sequences,
        source.split,
        job.settings.split.nside,
        snakemake.output.predictions,
        columns,
        predict,
        job.progress,
    )
    job.logger.info("predicted %s of %d objects", ", ".join(columns) or "nothing", n)
