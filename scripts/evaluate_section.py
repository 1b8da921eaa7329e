"""Evaluate a section of the report that a user's extension file registers."""

from pathlib import Path

from astromodal.jobs.entry import start
from astromodal.evaluation.context import ModelContext, evaluated_fields
from astromodal.evaluation.registry import SECTIONS
from astromodal.evaluation.report.section import Section

job = start(snakemake)
source, given = snakemake.input, snakemake.params
evaluation = SECTIONS.get(snakemake.wildcards.section, "evaluation.sections")
context = ModelContext(
    fields=evaluated_fields(
        given.fields,
        given.trained_fields,
        cube=source.cubes,
        split=source.splits,
        sequences=source.sequences,
    ),
    settings=job.settings,
    figures=Path(snakemake.output.figures),
    progress=job.progress,
    device=job.device(),
    run=Path(source.final_model).parent,
)
section = Section(evaluation.name, evaluation.title, context.figures)
evaluation.evaluate(context, section)
section.save(snakemake.output.numbers)
