"""Write the objects of one field into the index of similar objects."""

from astromodal.jobs.entry import start
from astromodal.inference.index_files import index_field
from astromodal.inference.index_space import IndexSpace

job = start(snakemake)
with job.one_field():
    source, vectors = snakemake.input, snakemake.output.vectors
    n = index_field(IndexSpace.load(source.space), source.embeddings, vectors, job.threads)
    job.logger.info("indexed %d objects", n)
