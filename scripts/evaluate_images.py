"""Compare decoded cutouts to the measured ones on objects that nothing was trained on."""

from astromodal.evaluation.held_out import evaluated_fields
from astromodal.evaluation.images.evaluate import evaluate_images
from astromodal.jobs.entry import start
from astromodal.storage.json_files import write_json
from astromodal.tokenizers.images.tokenizer import ImageTokenizer

job = start(snakemake)
given = snakemake.input
fields = evaluated_fields(
    snakemake.params.fields,
    snakemake.params.trained_fields,
    cube=given.cubes,
    split=given.splits,
    tokens=given.tokens,
    latents=given.latents,
)
section = evaluate_images(
    fields,
    ImageTokenizer.load(given.autoencoder, given.image_codebook, job.device()),
    job.settings.tokenizers.image,
    job.settings.evaluation,
    job.settings.columns,
    snakemake.output.figures,
    job.progress,
)
write_json(snakemake.output.numbers, section)
