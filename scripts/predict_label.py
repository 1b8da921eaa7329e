"""Predict the label of a fine-tuned model for the objects of one field."""

from pathlib import Path

from astromodal.jobs.entry import start
from astromodal.inference.model import AstroModel
from astromodal.inference.tables import predict_field_label

job = start(snakemake)
with job.one_field():
    source, settings = snakemake.input, job.settings
    model = AstroModel.from_run(Path(source.weights).parent, job.device(), settings.predict)
    n = predict_field_label(
        model,
        source.sequences,
        source.split,
        settings.split.nside,
        snakemake.output.predictions,
        settings.finetune.given,
        job.progress,
    )
    job.logger.info("predicted %s of %d objects", model.label, n)
