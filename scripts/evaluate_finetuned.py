"""Compare labels of held-out objects with predictions of fine-tuned models and of baselines."""

from pathlib import Path

from astromodal.jobs.entry import start
from astromodal.evaluation.context import EvaluationContext, evaluated_fields
from astromodal.evaluation.downstream.finetuned import evaluate_finetuned

job = start(snakemake)
source, given = snakemake.input, snakemake.params
context = EvaluationContext(
    fields=evaluated_fields(
        given.fields, given.trained_fields, cube=source.cubes, sequences=source.sequences
    ),
    settings=job.settings,
    figures=Path(snakemake.output.figures),
    progress=job.progress,
    device=job.device(),
)
folders = [Path(weights).parent for weights in source.weights]
models = dict(zip(job.settings.finetune.labels, folders, strict=True))
section = evaluate_finetuned(context, models, given.evaluated_fields, given.labelled_fields)
section.save(snakemake.output.numbers)
