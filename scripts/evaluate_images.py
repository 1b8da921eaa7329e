"""Compare decoded cutouts with the measured ones on objects that nothing was trained on."""

from pathlib import Path

from astromodal.jobs.entry import start
from astromodal.evaluation.context import EvaluationContext, evaluated_fields
from astromodal.evaluation.images.evaluate import evaluate_images
from astromodal.tokenizers.images.tokenizer import ImageTokenizer

job = start(snakemake)
given = snakemake.input
device = job.device()
context = EvaluationContext(
    fields=evaluated_fields(
        snakemake.params.fields,
        snakemake.params.trained_fields,
        cube=given.cubes,
        split=given.splits,
        tokens=given.tokens,
        latents=given.latents,
    ),
    settings=job.settings,
    figures=Path(snakemake.output.figures),
    progress=job.progress,
    device=device,
)
tokenizer = ImageTokenizer.load(given.autoencoder, given.image_codebook, device)
section = evaluate_images(context, tokenizer)
section.save(snakemake.output.numbers)
