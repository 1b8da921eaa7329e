"""Encode the scalars of one field's selected rows."""

from astromodal.jobs.entry import start
from astromodal.data.cube import Cube
from astromodal.data.splits import load_split
from astromodal.tokenizers.scalars.tokenizer import ScalarTokenizer, encode_field_scalars

job = start(snakemake)
with job.one_field():
    cube = Cube(snakemake.input.cube, snakemake.wildcards.field, job.settings.columns)
    tokenizer = ScalarTokenizer.load(snakemake.input.tokenizer)
    tokens = encode_field_scalars(cube, load_split(snakemake.input.split), tokenizer)
    job.logger.info("field %s: %d rows of %d columns", cube.field, *tokens.codes.shape)
    cube.require_unchanged()
    tokens.save(snakemake.output.tokens)
