"""Write the objects of every field as a HATS catalogue with a margin."""

from pathlib import Path

from astromodal.jobs.entry import start
from astromodal.evaluation.context import evaluated_fields
from astromodal.hats.catalogue import write_catalogue
from astromodal.hats.rows import CatalogueRows
from astromodal.inference.model import AstroModel

job = start(snakemake)
source, every = snakemake.input, snakemake.params.fields
kinds = {"cube": "cubes", "sequences": "sequences", "embeddings": "embeddings"}
kinds["predictions"] = "predictions"
files = {kind: source[name] for kind, name in kinds.items() if source.get(name)}
model = AstroModel.from_run(Path(source.final_model).parent)
rows = CatalogueRows(evaluated_fields(every, (), **files), model, job.settings.hats)
places = write_catalogue(snakemake.output.catalogue, rows, job.settings, job.progress)
job.logger.info("%d objects, %d without position", len(places.cell), places.n_unplaced)
