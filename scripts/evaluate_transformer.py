"""Compare the transformer's surprise at unseen codes with that of a unigram baseline."""

from astromodal.evaluation.held_out import evaluated_fields
from astromodal.evaluation.transformer.evaluate import evaluate_transformer
from astromodal.jobs.entry import start
from astromodal.storage.json_files import write_json
from astromodal.storage.skips import usable

job = start(snakemake)
given = snakemake.input
fields = evaluated_fields(
    snakemake.params.fields, snakemake.params.trained_fields, sequences=given.sequences
)
section = evaluate_transformer(
    fields,
    usable(given.training_sequences),
    given.final_model,
    given.history,
    job.settings.evaluation,
    snakemake.output.figures,
    job.device(),
    job.progress,
)
write_json(snakemake.output.numbers, section)
