"""Fit the arcsinh of each band to the noise of the sky in the training fields."""

from astromodal.jobs.entry import start
from astromodal.storage.formats import usable
from astromodal.tokenizers.images.normaliser import SkySample, fit_normaliser

job = start(snakemake)
samples = [SkySample.load(path) for path in usable(snakemake.input.sky)]
bands = job.settings.tokenizers.image.bands
normaliser = fit_normaliser(samples, bands)
for band, softening in zip(bands, normaliser.softening.tolist(), strict=True):
    job.logger.info("band %s: arcsinh with a softening of %.4g counts/s", band, softening)
normaliser.save(snakemake.output.normaliser)
