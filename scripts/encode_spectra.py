"""Encode one field's spectra and light curves."""

from astromodal.jobs.entry import start
from astromodal.data.cube import Cube
from astromodal.tokenizers.spectra.tokenizer import SpectrumTokenizer
from astromodal.tokenizers.spectra.tokens import encode_field_spectra

job = start(snakemake)
with job.one_field():
    cube = Cube(snakemake.input.cube, snakemake.wildcards.field, job.settings.columns)
    tokenizer = SpectrumTokenizer.load(snakemake.input.tokenizer)
    tokens = encode_field_spectra(cube, tokenizer)
    for group, counts in tokens.counts.items():
        job.logger.info("field %s, %s: %s", cube.field, group, counts)
    cube.require_unchanged()
    tokens.save(snakemake.output.tokens)
