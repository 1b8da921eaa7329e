"""Write the joint vocabulary of the tokenizers."""

from astromodal.jobs.entry import start
from astromodal.sequences.layout import sequence_layout
from astromodal.sequences.tokenizers import TokenizerFiles, load_tokenizers, write_vocabulary

job = start(snakemake)
tokenizers = load_tokenizers(TokenizerFiles.of(snakemake.input))
layout = sequence_layout(job.settings.tokenizers)
columns = job.settings.tokenizers.scalar.columns
values = write_vocabulary(snakemake.output.vocab_spec, layout, columns, tokenizers)
job.logger.info("%d token ids; longest sequence: %d tokens", values["vocab_size"], layout.longest)
