"""Sample the features of one training field's spectra."""

from astromodal.jobs.entry import start
from astromodal.data.cube import Cube
from astromodal.data.splits import load_split
from astromodal.tokenizers.spectra.codebook import sample_features

job = start(snakemake)
with job.one_field():
    cube = Cube(snakemake.input.cube, snakemake.wildcards.field, job.settings.columns)
    spectrum, rows = job.settings.tokenizers.spectrum, load_split(snakemake.input.split).fit_rows()
    samples = sample_features(cube, spectrum, rows, spectrum.seed)
    cube.require_unchanged()
    samples.save(snakemake.output.spectra)
