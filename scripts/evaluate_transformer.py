"""Compare the NLL of held-out codes under the transformer and under a unigram baseline."""

from pathlib import Path

from astromodal.jobs.entry import start
from astromodal.evaluation.context import EvaluationContext, evaluated_fields
from astromodal.evaluation.transformer.evaluate import evaluate_transformer
from astromodal.storage.formats import usable

job = start(snakemake)
given = snakemake.input
context = EvaluationContext(
    fields=evaluated_fields(
        snakemake.params.fields, snakemake.params.trained_fields, sequences=given.sequences
    ),
    settings=job.settings,
    figures=Path(snakemake.output.figures),
    progress=job.progress,
    device=job.device(),
)
section = evaluate_transformer(
    context, usable(given.training_sequences), given.final_model, given.history
)
section.save(snakemake.output.numbers)
