"""Compare what the model tells of each block from the others with what was measured."""

from pathlib import Path

from astromodal.evaluation.held_out import evaluated_fields
from astromodal.evaluation.reconstruction.evaluate import evaluate_reconstruction
from astromodal.inference.model import AstroModel
from astromodal.jobs.entry import start
from astromodal.storage.json_files import write_json
from astromodal.storage.skips import usable

job = start(snakemake)
given = snakemake.input
folder = Path(given.final_model).parent
fields = evaluated_fields(
    snakemake.params.fields,
    snakemake.params.trained_fields,
    cube=given.cubes,
    sequences=given.sequences,
)
section = evaluate_reconstruction(
    fields,
    usable(given.training_sequences),
    AstroModel.from_run(folder, job.device(), job.settings.predict),
    job.settings.evaluation,
    job.settings.columns,
    snakemake.output.figures,
    job.progress,
)
write_json(snakemake.output.numbers, section)
