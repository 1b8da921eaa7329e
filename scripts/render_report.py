"""Write the report: all sections of the evaluation in one HTML file."""

from astromodal.jobs.entry import start
from astromodal.evaluation.report.render import render_report

job = start(snakemake)
render_report(
    sections=list(snakemake.input.numbers),
    figures=list(snakemake.input.figures),
    summaries=list(snakemake.input.summaries),
    trained=snakemake.params.trained_fields,
    config=snakemake.params.config,
    code=snakemake.params.digests,
    coverage_figures=snakemake.output.figures,
    output=snakemake.output.report,
)
job.logger.info("wrote %s", snakemake.output.report)
