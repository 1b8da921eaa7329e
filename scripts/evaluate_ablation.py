"""Measure the losses of the evaluated objects under one training of a variant."""

from astromodal.jobs.entry import start
from astromodal.evaluation.context import evaluated_fields
from astromodal.evaluation.transformer.losses import measure_losses
from astromodal.inference.bundle import join_bundle
from astromodal.sequences.tokenizers import TokenizerFiles
from astromodal.training.checkpoint import load_trained

job = start(snakemake)
given, device = snakemake.input, job.device()
fields = evaluated_fields(
    snakemake.params.fields, snakemake.params.trained_fields, sequences=given.sequences
)
losses = measure_losses(
    fields,
    join_bundle(load_trained(given.final_model, device), TokenizerFiles.of(given), device),
    job.settings.evaluation,
    job.progress,
)
losses.save(snakemake.output.losses)
