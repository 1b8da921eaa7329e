"""Put the model, its tokenizers and a model card into one folder."""

from pathlib import Path

from astromodal.inference.export import RunSources, export_model
from astromodal.jobs.entry import start

job = start(snakemake)
source = snakemake.input
sources = RunSources(
    final_model=source.final_model,
    vocab_spec=source.vocab_spec,
    history=source.history,
    tokenizers=(
        source.scalar_tokenizer,
        source.spectrum_tokenizer,
        source.autoencoder,
        source.image_codebook,
    ),
    sequences=list(source.sequences),
    fields=snakemake.params.fields,
)
folder = Path(snakemake.output.weights).parent
export_model(sources, folder)
job.logger.info("wrote %s", folder)
