# The run's configuration, fields and paths, and the helpers that rules are written with.
import os
import re
import sys
from pathlib import Path

SCRIPTS = Path(workflow.basedir) / "scripts"
sys.path.insert(0, str(SCRIPTS))

from astromodal.config.load import (
    ablated,
    ablation_seeds,
    in_braces,
    load_config,
    plain_settings,
    seeded,
)
from astromodal.core.fields import (
    check_frozen,
    cube_template,
    layout,
    notices,
    run_fields,
    spread_evenly,
    starting_model,
)
from astromodal.storage.tempfiles import check_writable, clear_leftovers
from astromodal.surveys.grids import is_light_curve
from astromodal.core.paths import MODALITIES, ExportLayout
from astromodal.errors import MachineError
from astromodal.inference.request import requested_columns
from astromodal.jobs.surroundings import shield
from astromodal.reruns.changes import changes, digest, write_record
from astromodal.reruns.code_graph import code_digests
from astromodal.reruns.copies import note_down, restore
from astromodal.reruns.stamps import check_cubes
from astromodal.jobs.killed import killed
from astromodal.reruns.copies import Places
from astromodal.jobs.skipped import FOLDER, check_skipped, skipped
from astromodal.reruns.stamps import refresh_stamps
from astromodal.sequences.layout import check_longest
from snakemake.logging import logger

# Snakemake has read the files, and dropped what stands in them twice.
CONFIG = load_config(config, workflow.configfiles if workflow.is_main_process else ())
VARIANTS, SEEDS = ablated(CONFIG), ablation_seeds(CONFIG)
for varied in (CONFIG, *VARIANTS.values()):
    check_longest(varied.tokenizers, varied.sequences)
check_frozen(CONFIG)
FIELDS = run_fields(CONFIG)
PATHS = layout(CONFIG)
EXPORT = ExportLayout(PATHS.export)
CUBE = cube_template(CONFIG)
SIMULATED = CONFIG.paths.datacube_template is None
GROUPS = CONFIG.tokenizers.spectrum.groups
CODE = {path.stem: code_digests(path, SCRIPTS) for path in sorted(SCRIPTS.glob("*.py"))}
PLACES = Places(
    PATHS.results,
    {} if SIMULATED else {field: CUBE.format(field=field) for field in FIELDS.used},
)
if workflow.is_main_process:  # not again in every job
    restore(PATHS, PLACES, logger.info)
    if not SIMULATED:
        refresh_stamps(CONFIG, PATHS, FIELDS.used, logger.info)
    check_skipped(CONFIG, PATHS.skipped, FIELDS.used)
    if not SIMULATED:
        check_cubes(CONFIG, PATHS, FIELDS, logger.info)
    for line in (
        *notices(CONFIG, FIELDS),
        *skipped(PATHS.skipped, FIELDS.used),
        *changes(PATHS.last_run, CONFIG, CODE),
    ):
        logger.info(line)
shield(os.environ, SCRIPTS, Path(".snakemake").absolute())
os.environ[FOLDER] = PATHS.skipped if CONFIG.on_bad_field == "skip" else ""


wildcard_constraints:
    field=r"[A-Za-z0-9][A-Za-z0-9_.+-]*",
    group="|".join(GROUPS) or "none",


def settings(*names, config=CONFIG):
    """The settings that a job reads, by dotted name, as plain values that Snakemake compares.

    ``a.{b,c}`` stands for a.b and a.c, as in a shell. The job can read no others.
    """
    return {name: plain_settings(name, config) for name in in_braces(names)}


def ablation_settings(wildcards):
    """The settings that the training of a variant reads, with its seed."""
    config = seeded(VARIANTS[wildcards.variant], int(wildcards.seed))
    return settings(*RUN_SETTINGS, config=config)


def code(rule):
    """Digest of the code that a rule's script reaches: an edit of other code redoes nothing."""
    return digest(CODE[rule])


def cube(*modalities):
    """Inputs of a job that reads these modalities of a field's cube.

    A cube of one's own counts as old: the stamps tell when what is read of it has changed.
    """
    if SIMULATED:
        return {"cube": CUBE}
    return {"cube": ancient(CUBE), "stamps": [PATHS.stamp(m) for m in modalities]}


def cubes(fields, *modalities):
    """Inputs of a job that reads these modalities of several fields' cubes."""
    if SIMULATED:
        return {"cubes": expand(CUBE, field=fields)}
    stamps = [PATHS.stamp(m) for m in modalities]
    return {
        "cubes": ancient(expand(CUBE, field=fields)),
        "stamps": expand(stamps, field=fields),
    }


def figures(part):
    """The output that is a section's figures; `snakemake --report` shows them."""
    return report(
        directory(PATHS.figures(part)),
        patterns=["{figure}.png"],
        caption="captions/figure.rst",
        category="Figures",
        subcategory=part,
        labels={"figure": "{figure}"},
    )


def kept(part, paths):
    """Paths as an input: as they are, whatever made them, where the config freezes the part."""
    if part not in CONFIG.freeze:
        return paths
    return {name: ancient(path) for name, path in paths.items()}


def one_simulated_field(wildcards):
    """The sky's settings with this field's own, so that another field's change nothing here."""
    sky = plain_settings("simulate", CONFIG)
    return {
        "simulate": {**sky, "fields": {wildcards.field: sky["fields"][wildcards.field]}}
    }


def start_of_training():
    """The model that training starts from, as an input; `last` is one that no rule knows of."""
    start = starting_model(CONFIG)
    return {} if start is None else {"init_from": start}


def training_resources(gpus, nodes):
    """What a training asks for: one task a node, which starts the node's processes itself.

    Its time is up after a day. Slurm sends SIGTERM two minutes before that: the training saves, and
    a retry goes on.
    """
    found = {"gpu": gpus, "runtime": 1440, "slurm_extra": "--signal=TERM@120"}
    found["mem_mb"] = lambda wildcards, attempt: 64000 * attempt
    if gpus * nodes > 1:
        # The plugin would ask for a task a GPU.
        found |= {"tasks_per_gpu": -1}
    if nodes > 1:
        # `mpi`: the script runs once, on the first node, and calls srun itself.
        del found["gpu"]
        found |= {"gres": f"gpu:{gpus}", "nodes": nodes, "tasks": nodes, "mpi": "srun"}
    return found


TOKENIZERS = kept("tokenizers", PATHS.tokenizers)
MODEL = kept("transformer", PATHS.transformer)
MODEL_FILES = {name: MODEL[name] for name in ("final_model", "vocab_spec")} | TOKENIZERS
VALUES = "columns.{id,presets,sentinels,flags}"  # what numbers and labels are read with
SPECTRA = (  # what spectra are read with, and light curves where there are any
    "columns.{id,presets,sentinels}"
    if any(map(is_light_curve, GROUPS))
    else "columns.id"
)
SEQUENCE_SETTINGS = (  # what the layout of sequences is made of
    "tokenizers.scalar",
    "tokenizers.spectrum.{groups,codebook_size,max_spec_tokens_per_group,xp_samples,max_epochs}",
    "tokenizers.image.{size,codebook_size}",
)
RUN_SETTINGS = (  # what a training reads; its fields are those of the input
    "cpu_threads",
    "model",
    "sequences",
    *(f"training.{name}" for name in CONFIG.training.model_dump() if name != "fields"),
    *SEQUENCE_SETTINGS,
)
