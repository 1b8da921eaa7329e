"""Index the raw files of one source."""

from astromodal.jobs.entry import start
from astromodal.core.paths import Layout
from astromodal.errors import DataError
from astromodal.sources.files import list_files
from astromodal.sources.plan import index_sources, joined
from astromodal.storage.json_files import write_json

job = start(snakemake)
source, paths = snakemake.wildcards.source, Layout(snakemake.params.results)
files = {source: list_files(source, job.settings.sources[source])}
cells, errors = index_sources(
    job.settings, paths, files, snakemake.params.code, job.logger.info, job.threads
)
if errors and not job.notes:
    raise DataError(joined(errors))
counts = {str(file.path): int(each.count.sum()) for file, each in cells[source].items()}
write_json(snakemake.output.files, {"objects": counts, "left_out": errors})
