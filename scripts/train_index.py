"""Learn the space in which embeddings are compared, from the training fields."""

from astromodal.jobs.entry import start
from astromodal.inference.index_space import train_space

job = start(snakemake)
space = train_space(snakemake.input.embeddings, job.settings.index, job.progress, job.threads)
space.save(snakemake.output.space)
n_lists, (width, n_components) = len(space.centroids), space.components.shape
job.logger.info("%d components of %d dimensions, %d lists", n_components, width, n_lists)
