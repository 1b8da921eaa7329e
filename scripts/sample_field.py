"""Sample what tokenizers learn from one training field: quantile summaries and spectrum features."""

from astromodal.data.cube import Cube
from astromodal.data.splits import load_split
from astromodal.jobs.entry import start
from astromodal.tokenizers.quantiles import ColumnSummaries
from astromodal.tokenizers.spectrum import sample_features

job = start(snakemake)  # noqa: F821
settings = job.settings
cube = Cube(snakemake.input.cube, snakemake.wildcards.field, settings["columns"])  # noqa: F821
rows = load_split(snakemake.input.split).fit_rows()  # noqa: F821
columns = settings["tokenizers.scalar.columns"]
ColumnSummaries.of(cube.scalars(columns)[rows], columns).save(snakemake.output.quantiles)  # noqa: F821
spectrum = settings["tokenizers.spectrum"]
sample_features(cube, spectrum, rows, spectrum.seed).save(snakemake.output.spectra)  # noqa: F821
