# The run's configuration, fields and paths, and the helpers that rules are written with.
import sys
from pathlib import Path

SCRIPTS = Path(workflow.basedir) / "scripts"
sys.path.insert(0, str(SCRIPTS))

from astromodal.config.load import load_config, plain_settings
from astromodal.core.fields import cube_template, layout, run_fields
from astromodal.core.paths import ExportLayout
from astromodal.inference.asking import predicted_columns
from astromodal.provenance.code import code_digests
from astromodal.training.layout import check_longest

CONFIG = load_config(config)
check_longest(CONFIG.tokenizers, CONFIG.sequences)
FIELDS = run_fields(CONFIG)
PATHS = layout(CONFIG)
EXPORT = ExportLayout(PATHS.export)
CUBE = cube_template(CONFIG)
GROUPS = CONFIG.tokenizers.spectrum.groups


wildcard_constraints:
    field=r"[A-Za-z0-9][A-Za-z0-9_.+-]*",
    group="|".join(GROUPS) or "none",


def settings(*names):
    """The settings that a job reads, by dotted name, as plain values that Snakemake compares."""
    return {name: plain_settings(name, CONFIG) for name in names}


def code(rule):
    """Digests of the code that a rule's script runs: an edit of other code redoes nothing.

    A parameter each, so that a dry run's reason is the definition that changed.
    """
    digests = code_digests(SCRIPTS / f"{rule}.py", SCRIPTS)
    return [f"{name} {digest}" for name, digest in digests.items()]


def cubes(fields):
    """Paths of the fields' cubes."""
    return [CUBE.format(field=field) for field in fields]


def one_simulated_field(wildcards):
    """The sky's settings with this field's own, so that another field's change nothing here."""
    sky = plain_settings("simulate", CONFIG)
    return {
        "simulate": {**sky, "fields": {wildcards.field: sky["fields"][wildcards.field]}}
    }


def training_resources():
    """GPUs and nodes of the training: one task a node, which starts the node's processes itself.

    Slurm sends SIGTERM two minutes before a time limit: the training saves, and a retry goes on.
    """
    gpus, nodes = CONFIG.training.gpus, CONFIG.training.nodes
    found = {"gpu": gpus, "slurm_extra": "--signal=TERM@120"}
    if gpus * nodes > 1:
        # The plugin would ask for a task a GPU.
        found |= {"tasks_per_gpu": -1}
    if nodes > 1:
        # `mpi`: the script runs once, on the first node, and calls srun itself.
        del found["gpu"]
        found |= {"gres": f"gpu:{gpus}", "nodes": nodes, "tasks": nodes, "mpi": "srun"}
    return found
