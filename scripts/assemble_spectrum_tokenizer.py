"""Put the codebooks of all spectrum groups, and the bins of their scales, into one tokenizer."""

from astromodal.jobs.entry import start
from astromodal.surveys.registry import spectrum_group
from astromodal.tokenizers.spectra.codebook import SpectrumCodebook
from astromodal.tokenizers.spectra.tokenizer import SpectrumTokenizer

job = start(snakemake)
settings = job.settings.tokenizers.spectrum
paths = zip(settings.groups, snakemake.input.codebooks, strict=True)
codebooks = [SpectrumCodebook.load(path, group) for group, path in paths]
n_bins = job.settings.tokenizers.scalar.n_bins
tokenizer = SpectrumTokenizer.assemble(codebooks, settings, n_bins)
for codebook in codebooks:
    used = f"{len(codebook.centroids)} of {settings.codebook_size} codes"
    slots = spectrum_group(codebook.group).n_slots(settings)
    job.logger.info("%s: %s, %d slots of a sequence", codebook.group, used, slots)
tokenizer.save(snakemake.output.tokenizer)
