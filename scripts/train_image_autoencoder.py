"""Train the autoencoder of image cutouts on the training fields' shards."""

from astromodal.jobs.entry import start
from astromodal.storage.formats import usable
from astromodal.tokenizers.images.autoencoder import UNTRAINED
from astromodal.tokenizers.images.normaliser import ImageNormaliser
from astromodal.tokenizers.images.shards import CutoutShard, CutoutStore
from astromodal.tokenizers.images.train import train_autoencoder

job = start(snakemake)
source, image = snakemake.input, job.settings.tokenizers.image
normaliser = ImageNormaliser.load(source.normaliser)
pairs = list(zip(usable(source.pixels), usable(source.sources), strict=True))
store = CutoutStore([CutoutShard.open(*pair) for pair in pairs], normaliser, image.size)
autoencoder, latents = train_autoencoder(
    store,
    normaliser,
    image,
    job.device(),
    job.progress,
    report=lambda epoch: job.logger.info(
        "epoch %d: loss %.5f, %.0f windows/s, convolutions at %.0f GFLOP/s",
        epoch.number,
        epoch.loss,
        epoch.windows_per_second,
        epoch.flops_per_second / 1e9,
    ),
)
job.logger.info("trained on %d cutouts of %d fields", len(store), len(pairs))
if not len(store):
    job.logger.warning(UNTRAINED)
latents.save(snakemake.output.latents)
autoencoder.save(snakemake.output.autoencoder)
