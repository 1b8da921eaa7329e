"""Train the autoencoder of image cutouts on the training rows of the training fields."""

from astromodal.data.cube import Cube
from astromodal.data.splits import load_split
from astromodal.jobs.entry import start
from astromodal.training.autoencoder import train_autoencoder
from astromodal.training.cutout_store import TrainingField

job = start(snakemake)
columns, image = job.settings["columns"], job.settings["tokenizers.image"]
source = snakemake.input
fields = [
    TrainingField(Cube(cube, name, columns), load_split(split).fit_rows())
    for name, cube, split in zip(snakemake.params.fields, source.cubes, source.splits, strict=True)
]
autoencoder, latents = train_autoencoder(fields, image, job.device(), job.progress)
job.logger.info("trained on %d cutouts of %d fields", autoencoder.n_train, len(fields))
for epoch in autoencoder.history:
    job.logger.info("epoch %(epoch)d: loss %(loss).5f", epoch)
latents.save(snakemake.output.latents)
autoencoder.save(snakemake.output.autoencoder)
