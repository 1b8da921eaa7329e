"""Embed the objects of one field with the trained transformer."""

from pathlib import Path

from astromodal.jobs.entry import start
from astromodal.inference.model import AstroModel
from astromodal.inference.tables import embed_field

job = start(snakemake)
with job.one_field():
    source, predict = snakemake.input, job.settings.predict
    model = AstroModel.from_run(Path(source.final_model).parent, job.device(), predict)
    n = embed_field(
        model,
        source.sequences,
        source.split,
        job.settings.split.nside,
        snakemake.output.embeddings,
        predict,
        job.progress,
    )
    job.logger.info("embedded %d objects with the model of hash %s", n, model.hash)
