"""Set the variants of the training side by side in one page."""

from astromodal.evaluation.ablations.compare import compare_ablations
from astromodal.evaluation.report.render import Page, provenance, render_page
from astromodal.jobs.entry import start
from astromodal.storage.json_files import write_json

job = start(snakemake)
params = snakemake.params
section = compare_ablations(
    list(snakemake.input.losses),
    params.runs,
    params.fields,
    params.trained_fields,
    params.config,
    snakemake.output.figures,
)
write_json(snakemake.output.numbers, section)
page = Page(
    title="What each part of the training buys",
    uncertainty="An uncertainty is a standard error over objects and over seeds of the training.",
    trained=params.trained_fields,
    held_out=[name for name in params.fields if name not in params.trained_fields],
    provenance=provenance([section], [], params.digests, ()),
    config=params.config,
)
render_page(page, [section], [snakemake.output.figures], snakemake.output.page)
job.logger.info("wrote %s", snakemake.output.page)
