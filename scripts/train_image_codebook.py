"""Fit the image codebook and the bins of brightness to training cutouts."""

from astromodal.jobs.entry import start
from astromodal.tokenizers.images.train import TrainingLatents, train_image_codebook
from astromodal.tokenizers.quantizers.kmeans import write_joblib

job = start(snakemake)
latents = TrainingLatents.load(snakemake.input.latents)
image = job.settings.tokenizers.image
n_bins = job.settings.tokenizers.scalar.n_bins
codebook = train_image_codebook(latents, image, n_bins, job.progress, job.threads)
n_points, n_codes = len(latents.points), len(codebook.centroids)
job.logger.info("%d points of the latent space into %d codes", n_points, n_codes)
write_joblib(snakemake.output.joblib, codebook.centroids)
codebook.save(snakemake.output.codebook)
