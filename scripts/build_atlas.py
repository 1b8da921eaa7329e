"""Make the atlas: one page to explore the objects of a survey."""

from astromodal.jobs.entry import start
from astromodal.atlas.page import prepare_details, write_page
from astromodal.atlas.survey import prepare_survey
from astromodal.evaluation.context import evaluated_fields
from astromodal.tokenizers.spectra.tokenizer import SpectrumTokenizer

job = start(snakemake)
source, every = snakemake.input, snakemake.params.fields
kinds = {
    "cube": "cubes",
    "sequences": "sequences",
    "tokens": "tokens",
    "embeddings": "embeddings",
    "predictions": "predictions",
}
files = {kind: source[name] for kind, name in kinds.items() if source.get(name)}
survey = prepare_survey(evaluated_fields(every, (), **files), job.settings, job.progress)
tokenizer = SpectrumTokenizer.load(source.spectrum_tokenizer)
details = prepare_details(survey, tokenizer, job.settings, job.progress)
write_page(survey, details, snakemake.output.page)
job.logger.info("%d objects, %d of them in detail", len(survey), len(survey.detailed))
