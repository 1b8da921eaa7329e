"""Compare decoded spectra with the observed ones on objects that nothing was trained on."""

from pathlib import Path

from astromodal.jobs.entry import start
from astromodal.evaluation.context import EvaluationContext, evaluated_fields
from astromodal.evaluation.spectra.evaluate import evaluate_spectra

job = start(snakemake)
given = snakemake.input
context = EvaluationContext(
    fields=evaluated_fields(
        snakemake.params.fields,
        snakemake.params.trained_fields,
        cube=given.cubes,
        split=given.splits,
        tokens=given.tokens,
    ),
    settings=job.settings,
    figures=Path(snakemake.output.figures),
    progress=job.progress,
)
section = evaluate_spectra(context, given.tokenizer)
section.save(snakemake.output.numbers)
