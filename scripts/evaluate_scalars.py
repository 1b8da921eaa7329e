"""Compare decoded scalars to the measured ones on objects that nothing was trained on."""

from astromodal.evaluation.held_out import evaluated_fields
from astromodal.evaluation.scalars.evaluate import evaluate_scalars
from astromodal.jobs.entry import start
from astromodal.storage.json_files import write_json

job = start(snakemake)
given = snakemake.input
fields = evaluated_fields(
    snakemake.params.fields,
    snakemake.params.trained_fields,
    cube=given.cubes,
    split=given.splits,
    tokens=given.tokens,
)
section = evaluate_scalars(
    fields,
    given.tokenizer,
    job.settings.evaluation,
    job.settings.columns,
    snakemake.output.figures,
    job.progress,
)
write_json(snakemake.output.numbers, section)
