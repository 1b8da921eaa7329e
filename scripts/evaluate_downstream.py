"""Compare labels of held-out objects with predictions of the model, of probes and of baselines."""

from pathlib import Path

from astromodal.jobs.entry import start
from astromodal.evaluation.context import ModelContext, evaluated_fields
from astromodal.evaluation.downstream.evaluate import evaluate_downstream

job = start(snakemake)
source, given = snakemake.input, snakemake.params
context = ModelContext(
    fields=evaluated_fields(
        given.fields, given.trained_fields, cube=source.cubes, sequences=source.sequences
    ),
    settings=job.settings,
    figures=Path(snakemake.output.figures),
    progress=job.progress,
    device=job.device(),
    run=Path(source.final_model).parent,
)
section = evaluate_downstream(
    context, given.evaluated_fields, given.labelled_fields, given.simulated
)
section.save(snakemake.output.numbers)
