"""Fit the codebook of one spectrum group to its feature samples."""

from astromodal.jobs.entry import start
from astromodal.storage.formats import usable
from astromodal.tokenizers.quantizers.kmeans import write_joblib
from astromodal.tokenizers.spectra.codebook import read_samples, train_codebook

job = start(snakemake)
group = snakemake.wildcards.group
samples = read_samples(usable(snakemake.input.samples), group)
spectrum = job.settings.tokenizers.spectrum
codebook = train_codebook(samples, group, spectrum, job.progress, job.threads)
job.logger.info("%s: %d centroids, %s", group, len(codebook.centroids), codebook.numbers)
codebook.save(snakemake.output.codebook)
write_joblib(snakemake.output.joblib, codebook.centroids)
