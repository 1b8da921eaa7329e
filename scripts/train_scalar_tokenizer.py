"""Fit the scalar tokenizer to the summaries of the training fields."""

from astromodal.jobs.entry import start
from astromodal.storage.formats import usable
from astromodal.tokenizers.scalars.quantiles import ColumnSummaries
from astromodal.tokenizers.scalars.tokenizer import ScalarTokenizer

job = start(snakemake)
scalar = job.settings.tokenizers.scalar
summaries = ColumnSummaries.merge_files(usable(snakemake.input.quantiles))
tokenizer = ScalarTokenizer.fit(summaries, scalar.columns, scalar.n_bins)
for name, used in zip(tokenizer.columns, tokenizer.n_codes.tolist(), strict=True):
    job.logger.info("%s: %d of %d bins", name, used, tokenizer.n_bins)
tokenizer.save(snakemake.output.tokenizer)
