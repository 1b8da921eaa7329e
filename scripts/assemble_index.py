"""List the files of the index of similar objects."""

from astromodal.jobs.entry import start
from astromodal.inference.index_files import assemble_index

job = start(snakemake)
source, every = snakemake.input, snakemake.params.fields
files = dict(zip(every, source.vectors, strict=True))
index = assemble_index(source.space, files, job.settings.index, snakemake.output.index)
job.logger.info("indexed %d objects of %d fields", index["objects"], len(index["fields"]))
if skipped := ", ".join(name for name in every if name not in index["fields"]):
    job.logger.warning("skipped fields are left out: %s", skipped)
