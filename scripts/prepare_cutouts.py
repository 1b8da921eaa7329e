"""Sample one training field's share of cutouts, and write them normalised."""

from astromodal.jobs.entry import start
from astromodal.data.cube import Cube
from astromodal.data.splits import load_split
from astromodal.tokenizers.images.normaliser import ImageNormaliser
from astromodal.tokenizers.images.shards import write_shard

job = start(snakemake)
with job.one_field():
    source, output, settings = snakemake.input, snakemake.output, job.settings
    cube = Cube(source.cube, snakemake.wildcards.field, settings.columns)
    n_sampled = write_shard(
        output.pixels,
        output.sources,
        cube,
        load_split(source.split).fit_rows(),
        snakemake.params.share,
        ImageNormaliser.load(source.normaliser),
        job.settings.tokenizers.image,
        job.progress,
    )
    cube.require_unchanged()
    job.logger.info("%d cutouts of at most %d", n_sampled, snakemake.params.share)
