"""Embed objects that nothing was trained on, and see what neighbours have in common."""

from pathlib import Path

from astromodal.evaluation.embeddings.evaluate import evaluate_embeddings
from astromodal.evaluation.held_out import evaluated_fields
from astromodal.inference.model import AstroModel
from astromodal.jobs.entry import start
from astromodal.storage.json_files import write_json

job = start(snakemake)
given, settings = snakemake.input, job.settings
fields = evaluated_fields(
    snakemake.params.fields,
    snakemake.params.trained_fields,
    cube=given.cubes,
    sequences=given.sequences,
)
section = evaluate_embeddings(
    AstroModel.from_run(Path(given.final_model).parent, job.device(), settings.predict),
    fields,
    settings.evaluation,
    settings.columns,
    settings.predict.pooling,
    snakemake.output.figures,
    job.progress,
)
write_json(snakemake.output.numbers, section)
