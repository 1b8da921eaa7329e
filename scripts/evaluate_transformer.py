"""Compare the transformer's surprise at unseen codes with that of a unigram baseline."""

from astromodal.core.files import write_json
from astromodal.core.skips import usable
from astromodal.evaluation.objects import evaluated_fields
from astromodal.evaluation.transformer import evaluate_transformer
from astromodal.jobs.entry import start

job = start(snakemake)
given = snakemake.input
fields = evaluated_fields(
    snakemake.params.fields, snakemake.params.trained_fields, sequences=given.sequences
)
part = evaluate_transformer(
    fields,
    usable(given.training_sequences),
    given.final_model,
    given.history,
    job.settings.evaluation,
    snakemake.output.figures,
    job.device(),
    job.progress,
)
write_json(snakemake.output.numbers, part)
