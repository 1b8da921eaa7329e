"""Fine-tune the trained model to a label, and write the folder of the fine-tuned model."""

from pathlib import Path

from astromodal.jobs.entry import start
from astromodal.inference.finetuned import LabelledField, finetune_fields, read_labels
from astromodal.inference.model import AstroModel
from astromodal.storage.formats import skip_at

job = start(snakemake)
source, given = snakemake.input, snakemake.params
files = zip(given.fields, source.cubes, source.sequences, strict=True)
fields = [LabelledField(*each) for each in files if not any(map(skip_at, each[1:]))]
bundle = AstroModel.from_run(Path(source.final_model).parent, job.device()).bundle
finetune, (name,) = job.settings.finetune, job.settings.finetune.labels
objects, label = read_labels(bundle, fields, name, finetune.labels[name], job.settings.columns)
folder, checkpoint = Path(snakemake.output.weights).parent, given.checkpoint
tuned = finetune_fields(bundle, objects, label, finetune, job.logger, folder, checkpoint)
job.logger.info("wrote the model of hash %s into %s", tuned.trained.hash, folder)
