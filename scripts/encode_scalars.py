"""Encode the scalars of one field's selected rows."""

from astromodal.data.cube import Cube
from astromodal.data.splits import load_split
from astromodal.jobs.entry import start
from astromodal.tokenizers.scalar import ScalarTokenizer
from astromodal.tokenizers.scalar_tokens import encode_field_scalars

job = start(snakemake)  # noqa: F821
cube = Cube(snakemake.input.cube, snakemake.wildcards.field, job.settings["columns"])  # noqa: F821
tokenizer = ScalarTokenizer.load(snakemake.input.tokenizer)  # noqa: F821
tokens = encode_field_scalars(cube, load_split(snakemake.input.split), tokenizer)  # noqa: F821
job.logger.info("field %s: %d rows of %d columns", cube.field, *tokens.codes.shape)
tokens.save(snakemake.output.tokens)  # noqa: F821
