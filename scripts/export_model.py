"""Put the model, its tokenizers and a model card into one folder."""

from pathlib import Path

from astromodal.jobs.entry import start
from astromodal.inference.export import RunSources, export_model
from astromodal.sequences.tokenizers import TokenizerFiles
from astromodal.storage.formats import skip_at

job = start(snakemake)
source = snakemake.input
pairs = zip(snakemake.params.fields, source.sequences, strict=True)
trained = [pair for pair in pairs if skip_at(pair[1]) is None]
sources = RunSources(
    final_model=source.final_model,
    vocab_spec=source.vocab_spec,
    history=source.history,
    tokenizers=TokenizerFiles.of(source),
    sequences=[path for _, path in trained],
    fields=[name for name, _ in trained],
)
folder = Path(snakemake.output.weights).parent
export_model(sources, folder)
job.logger.info("wrote %s", folder)
