"""Embed held-out objects, and compare neighbours in labels that were not given."""

from pathlib import Path

from astromodal.jobs.entry import start
from astromodal.evaluation.context import ModelContext, evaluated_fields
from astromodal.evaluation.embeddings.evaluate import evaluate_embeddings

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
section = evaluate_embeddings(context)
section.save(snakemake.output.numbers)
