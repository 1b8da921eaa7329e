"""Sample what tokenizers learn from one training field: quantiles, spectrum features, sky."""

from astromodal.data.cube import Cube
from astromodal.data.splits import load_split
from astromodal.jobs.entry import start
from astromodal.tokenizers.quantiles import ColumnSummaries
from astromodal.tokenizers.spectrum_samples import sample_features
from astromodal.training.image_sky import sample_sky

job = start(snakemake)
settings = job.settings
cube = Cube(snakemake.input.cube, snakemake.wildcards.field, settings["columns"])
rows = load_split(snakemake.input.split).fit_rows()
columns = settings["tokenizers.scalar.columns"]
values = cube.scalars(columns)[rows]
ColumnSummaries.of(values, columns, threads=job.threads).save(snakemake.output.quantiles)
spectrum = settings["tokenizers.spectrum"]
sample_features(cube, spectrum, rows, spectrum.seed).save(snakemake.output.spectra)
sample_sky(cube, rows, job.some("tokenizers.image")).save(snakemake.output.sky)
