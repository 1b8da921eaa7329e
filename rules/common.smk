# The configuration, fields and paths of the run, and helper functions of the rules.
import atexit
import gc
import os
import re
import sys
from pathlib import Path

# No search for garbage in the modules that Snakemake imported: neither now, nor at the end.
gc.freeze()
atexit.register(gc.freeze)
SCRIPTS = Path(workflow.basedir) / "scripts"
sys.path.insert(0, str(SCRIPTS))

from astromodal.config.load import (
    ablated,
    ablation_seeds,
    in_braces,
    label_settings,
    label_table,
    load_config,
    plain_settings,
    seeded,
)
from astromodal.core.fields import (
    check_frozen,
    cube_template,
    is_simulated,
    layout,
    notices,
    run_fields,
    spread_evenly,
)
from astromodal.storage.tempfiles import check_writable, clear_leftovers
from astromodal.surveys.registry import spectrum_group
from astromodal.core.paths import MODALITIES, WHOLE, ExportLayout
from astromodal.errors import MachineError
from astromodal.evaluation.registry import own_sections
from astromodal.extensions import hand_down
from astromodal.inference import request
from astromodal.jobs.failures import FOLDER, check_skipped, killed, skipped
from astromodal.jobs.resources import training_resources
from astromodal.jobs.surroundings import shield
from astromodal.reruns.changes import changes, write_record
from astromodal.reruns.copies import Places, restore, update_inventory
from astromodal.reruns.digests import job_digests, plan_digests
from astromodal.reruns.stamps import check_cubes, refresh_stamps
from astromodal.sequences.layout import check_longest
from astromodal.sources.plan import builds_again, known_fields, left_out
from astromodal.sources.plan import only_indexes, plan_cubes
from snakemake.logging import logger

# Snakemake has merged the files and dropped duplicate keys; load_config reports those.
CONFIG = load_config(config, workflow.configfiles if workflow.is_main_process else ())
VARIANTS, SEEDS = ablated(CONFIG), ablation_seeds(CONFIG)
for varied in (CONFIG, *VARIANTS.values()):
    check_longest(varied.tokenizers, varied.sequences)
check_frozen(CONFIG)
PATHS = layout(CONFIG)
SIMULATED, SOURCES = is_simulated(CONFIG), tuple(CONFIG.sources)
GIVEN = not (SIMULATED or SOURCES)  # cubes that stand where the user put them
if workflow.is_main_process:  # not again in every job
    CODE = plan_digests(SCRIPTS, CONFIG.extensions, os.environ)
DIGESTS = job_digests(SCRIPTS, CONFIG.extensions, os.environ)
BUILT = known_fields(PATHS)
if SOURCES and workflow.is_main_process and not only_indexes(sys.argv):
    makers = {rule: DIGESTS[rule] for rule in ("index_source", "build_cube")}
    BUILT = plan_cubes(CONFIG, PATHS, makers, logger.info)
FIELDS = run_fields(CONFIG, BUILT)
EXPORT = ExportLayout(PATHS.export)
CUBE = cube_template(CONFIG)
GROUPS = CONFIG.tokenizers.spectrum.groups
OWN_SECTIONS = own_sections(CONFIG)
PLACES = Places(
    PATHS.results,
    {field: CUBE.format(field=field) for field in FIELDS.used} if GIVEN else {},
)
if workflow.is_main_process:
    restore(PATHS, PLACES, logger.info)
    if GIVEN:
        refresh_stamps(CONFIG, PATHS, FIELDS.used, logger.info)
    check_skipped(CONFIG, PATHS.skipped, FIELDS.used)
    if GIVEN:
        check_cubes(CONFIG, PATHS, FIELDS, logger.info)
    for line in (
        *notices(CONFIG, FIELDS),
        *skipped(PATHS.skipped, FIELDS.used),
        *(left_out(PATHS) if SOURCES else ()),
        *changes(PATHS.last_run, CONFIG, CODE),
    ):
        logger.info(line)
shield(os.environ, SCRIPTS, Path(".snakemake").absolute())
hand_down(CONFIG.extensions, os.environ)
os.environ[FOLDER] = PATHS.skipped if CONFIG.on_bad_field == "skip" else ""


wildcard_constraints:
    field=r"[A-Za-z0-9][A-Za-z0-9_.+-]*",
    group="|".join(GROUPS) or "none",
    section="|".join(OWN_SECTIONS) or "none",
    label="|".join(CONFIG.finetune.labels) or "none",


def settings(*names, config=CONFIG):
    """Return settings of a job by dotted name, as plain values that Snakemake compares.

    ``a.{b,c}`` stands for a.b and a.c, as in a shell. The job can read no other setting.
    """
    return {name: plain_settings(name, config) for name in in_braces(names)}


def code(rule):
    """Return the digest of the code that a rule's script reaches: other code reruns nothing."""
    return DIGESTS[rule]


def cube(*modalities):
    """Return the inputs of a job that reads these modalities of a field's cube.

    The time of a cube that is not simulated does not count. The stamp of a modality changes with
    its content.
    """
    if SIMULATED:
        return {"cube": CUBE}
    stamps = [PATHS.stamp(m) for m in modalities]
    return {"cube": lambda w: _cube(w.field, modalities), "stamps": stamps}


def _cube(field, modalities):
    """Return a field's cube; its time counts only where it is built again for a modality.

    Snakemake does not look at the other inputs of jobs behind a job that runs.
    """
    path = CUBE.format(field=field)
    return path if SOURCES and builds_again(PATHS, field, modalities) else ancient(path)


def cubes(fields, *modalities):
    """Return the inputs of a job that reads these modalities of several fields' cubes."""
    if SIMULATED:
        return {"cubes": expand(CUBE, field=fields)}
    stamps = [PATHS.stamp(m) for m in modalities]
    return {
        "cubes": [_cube(field, modalities) for field in fields],
        "stamps": expand(stamps, field=fields),
    }


def figures(section):
    """Return the output for a section's figures, which `snakemake --report` shows."""
    return report(
        directory(PATHS.figures(section)),
        patterns=["{figure}.png"],
        caption="captions/figure.rst",
        category="Figures",
        subcategory=section,
        labels={"figure": "{figure}"},
    )


def section_rule(section):
    """Return the name of the rule that evaluates a section of the report."""
    return "evaluate_section" if section in OWN_SECTIONS else f"evaluate_{section}"


def unless_frozen(part, paths):
    """Return paths as inputs, without regard to their times where the config freezes the part."""
    if part not in CONFIG.freeze:
        return paths
    return {name: ancient(path) for name, path in paths.items()}


include: "inputs.smk"


TOKENIZERS = unless_frozen("tokenizers", PATHS.tokenizers)
MODEL = unless_frozen("transformer", PATHS.transformer)
MODEL_FILES = {name: MODEL[name] for name in ("final_model", "vocab_spec")} | TOKENIZERS
VALUES = "columns.{id,presets,sentinels,flags}"  # to read numbers and labels
SPECTRA = (  # to read spectra and light curves
    "columns.{id,presets,sentinels}"
    if any(spectrum_group(group).sentinels for group in GROUPS)
    else "columns.id"
)
SEQUENCE_SETTINGS = (  # the layout of sequences depends on them
    "tokenizers.scalar",
    "tokenizers.spectrum.{groups,codebook_size,max_spec_tokens_per_group,max_epochs}",
    "tokenizers.image.{bands,size,codebook_size}",
)
RUN_SETTINGS = (  # of a training, whose fields are those of the input
    "cpu_threads",
    "model",
    "sequences",
    *(f"training.{name}" for name in CONFIG.training.model_dump() if name != "fields"),
    *SEQUENCE_SETTINGS,
)
