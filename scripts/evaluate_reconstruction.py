"""Compare the prediction of each block from the other blocks with what was measured."""

from pathlib import Path

from astromodal.jobs.entry import start
from astromodal.evaluation.context import ModelContext, evaluated_fields
from astromodal.evaluation.reconstruction.evaluate import evaluate_reconstruction
from astromodal.storage.formats import usable

job = start(snakemake)
given = snakemake.input
context = ModelContext(
    fields=evaluated_fields(
        snakemake.params.fields,
        snakemake.params.trained_fields,
        cube=given.cubes,
        sequences=given.sequences,
    ),
    settings=job.settings,
    figures=Path(snakemake.output.figures),
    progress=job.progress,
    device=job.device(),
    run=Path(given.final_model).parent,
)
section = evaluate_reconstruction(context, usable(given.training_sequences))
section.save(snakemake.output.numbers)
