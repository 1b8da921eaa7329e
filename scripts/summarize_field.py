"""Check one field's cube and count what it holds."""

from astromodal.jobs.entry import start
from astromodal.data.columns import cube_columns, modality_columns
from astromodal.data.cube import Cube
from astromodal.data.splits import load_split
from astromodal.data.summary import summarise_field
from astromodal.storage.json_files import write_json

job = start(snakemake)
with job.one_field():
    settings, tokenizers = job.settings, job.settings.tokenizers
    scalars, spectrum, image = tokenizers.scalar.columns, tokenizers.spectrum, tokenizers.image
    cube = Cube(snakemake.input.cube, snakemake.wildcards.field, settings.columns)
    read = modality_columns(cube_columns(settings))
    split = load_split(snakemake.input.split)
    summary = summarise_field(cube, split, scalars, spectrum, image, settings.selection, read)
    cube.require_unchanged()
    for warning in summary["warnings"]:
        job.logger.warning("field %s: %s", cube.field, warning)
    write_json(snakemake.output.summary, summary)
