"""Tell labels of unseen objects by the model, by probes of its embeddings, and by rivals."""

from pathlib import Path

from astromodal.evaluation.downstream.evaluate import evaluate_downstream
from astromodal.evaluation.held_out import evaluated_fields
from astromodal.inference.model import AstroModel
from astromodal.jobs.entry import start
from astromodal.storage.json_files import write_json

job = start(snakemake)
source, given = snakemake.input, snakemake.params
folder = Path(source.final_model).parent
fields = evaluated_fields(
    given.fields, given.trained_fields, cube=source.cubes, sequences=source.sequences
)
section = evaluate_downstream(
    fields,
    given.evaluated_fields,
    given.labelled_fields,
    AstroModel.from_run(folder, job.device(), job.settings.predict),
    job.settings.evaluation,
    job.settings.columns,
    snakemake.output.figures,
    job.progress,
)
write_json(snakemake.output.numbers, section)
