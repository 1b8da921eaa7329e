"""Train the transformer on the sequences of the training fields."""

from pathlib import Path

from astromodal.jobs.entry import start
from astromodal.training.run import RunFiles, train_transformer
from astromodal.training.targets import load_tokenizers

job = start(snakemake)
job.seed_everything(job.settings["training"].seed)
tokenizers = load_tokenizers(
    snakemake.input.scalar_tokenizer,
    snakemake.input.spectrum_tokenizer,
    snakemake.input.autoencoder,
    snakemake.input.image_codebook,
)
files = RunFiles(
    vocab_spec=Path(snakemake.input.vocab_spec),
    config=Path(snakemake.output.config),
    history=Path(snakemake.output.history),
    final_model=Path(snakemake.output.final_model),
)
train_transformer(
    list(snakemake.input.sequences),
    tokenizers,
    files,
    job.settings,
    job.device(),
    job.logger,
)
