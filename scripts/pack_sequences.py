"""Pack a field's tokens into memory-mapped sequences."""

from astromodal.jobs.entry import start
from astromodal.sequences.layout import sequence_layout
from astromodal.sequences.store import pack_field

job = start(snakemake)
with job.one_field():
    counts = pack_field(
        scalar_tokens=snakemake.input.scalar_tokens,
        spectrum_tokens=snakemake.input.spectrum_tokens,
        image_tokens=snakemake.input.image_tokens,
        split=snakemake.input.split,
        layout=sequence_layout(job.settings.tokenizers),
        path=snakemake.output.sequences,
    )
    job.logger.info("packed %s", ", ".join(f"{n} {what}" for what, n in counts.items()))
