"""Set the variants of the training side by side in one page."""

from astromodal.core.files import write_json
from astromodal.evaluation.ablations.compare import compare_ablations
from astromodal.evaluation.render import Page, field_roles, render_page
from astromodal.jobs.entry import start

job = start(snakemake)
part = compare_ablations(
    list(snakemake.input.losses),
    snakemake.params.runs,
    snakemake.params.fields,
    snakemake.params.trained_fields,
    snakemake.params.config,
    snakemake.output.figures,
)
write_json(snakemake.output.numbers, part)
render_page(
    Page(
        "What each part of the training buys",
        "An uncertainty is a standard error over objects and over seeds of the training.",
    ),
    [part],
    [snakemake.output.figures],
    field_roles(snakemake.params.fields, snakemake.params.trained_fields),
    snakemake.params.config,
    snakemake.output.page,
)
job.logger.info("wrote %s", snakemake.output.page)
