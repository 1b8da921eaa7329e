"""Encode the image cutouts of one field."""

from astromodal.jobs.entry import start
from astromodal.data.cube import Cube
from astromodal.tokenizers.images.autoencoder import UNTRAINED
from astromodal.tokenizers.images.tokenizer import ImageTokenizer
from astromodal.tokenizers.images.tokens import encode_field_images

job = start(snakemake)
with job.one_field():
    source, image = snakemake.input, job.settings.tokenizers.image
    cube = Cube(source.cube, snakemake.wildcards.field, job.settings.columns)
    tokenizer = ImageTokenizer.load(source.autoencoder, source.codebook, job.device())
    tokens, latents = encode_field_images(cube, tokenizer, image, job.progress)
    job.logger.info(
        "field %s: %d whole cutouts, %d short", cube.field, tokens.n_whole, tokens.n_short
    )
    if not len(tokenizer.centroids):
        job.logger.warning(UNTRAINED)
    cube.require_unchanged()
    latents.save(snakemake.output.latents)
    tokens.save(snakemake.output.tokens)
