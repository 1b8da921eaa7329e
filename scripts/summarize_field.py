"""Check one field's cube, split its objects and count what it holds."""

from astromodal.core.files import write_json
from astromodal.data.cube import Cube
from astromodal.data.splits import split_field
from astromodal.jobs.entry import start
from astromodal.tokenizers.field_summary import summarise_field

job = start(snakemake)
settings = job.settings
cube = Cube(snakemake.input.cube, snakemake.wildcards.field, settings["columns"])
split = split_field(cube, settings["split"], settings["selection"])
summary = summarise_field(
    cube,
    split,
    settings["tokenizers.scalar.columns"],
    settings["tokenizers.spectrum"],
    job.some("tokenizers.image"),
)
for warning in summary["warnings"]:
    job.logger.warning("field %s: %s", cube.field, warning)
split.save(snakemake.output.split)
write_json(snakemake.output.summary, summary)
