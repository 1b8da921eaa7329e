"""Compare the variants of the training in one page."""

from pathlib import Path

from astromodal.jobs.entry import start
from astromodal.config.load import load_config
from astromodal.evaluation.ablations.evaluate import compare_ablations
from astromodal.evaluation.context import EvaluationContext, evaluated_fields
from astromodal.evaluation.report.render import Page, provenance, render_page

job = start(snakemake)
params = snakemake.params
context = EvaluationContext(
    fields=evaluated_fields(params.fields, params.trained_fields),
    settings=load_config(params.config),
    figures=Path(snakemake.output.figures),
    progress=job.progress,
)
section = compare_ablations(context, list(snakemake.input.losses), params.runs)
section.save(snakemake.output.numbers)
page = Page(
    title="What each variant of the training changes",
    uncertainty="An uncertainty is a standard error over objects and over seeds of the training.",
    trained=params.trained_fields,
    held_out=[name for name in params.fields if name not in params.trained_fields],
    provenance=provenance([section], [], params.digests, ()),
    config=params.config,
)
render_page(page, [section], snakemake.output.page)
job.logger.info("wrote %s", snakemake.output.page)
