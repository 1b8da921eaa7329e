"""Train the transformer on the sequences of the training fields."""

import os

from astromodal.jobs.entry import start
from astromodal.core.stored import kept_folder
from astromodal.sequences.tokenizers import TokenizerFiles
from astromodal.storage.formats import usable
from astromodal.training.batches import Group
from astromodal.training.launch import launch
from astromodal.training.run import TrainingTask

job = start(snakemake)
task = TrainingTask(
    sequences=usable(snakemake.input.sequences),
    tokenizers=TokenizerFiles.of(snakemake.input)._asdict(),
    files={
        "vocab_spec": snakemake.input.vocab_spec,
        "config": snakemake.output.config,
        "history": snakemake.output.history,
        "final_model": snakemake.output.final_model,
        "checkpoints": str(kept_folder(snakemake.output.final_model, os.environ)),
    },
    settings=snakemake.params.settings,
    threads=job.threads,
    log=snakemake.log[0],
    code=snakemake.params.code,
)
if job.settings.training.processes > 1:
    launch(task)
else:
    job.seed_everything(job.settings.training.seed)
    task.run(Group(device=job.device()), job.logger)
