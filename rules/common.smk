# The configuration, fields and paths of the run, and helper functions of the rules.
import os
import re
import sys
from pathlib import Path


include: "package.smk"


from astromodal.config.inputs import is_address
from astromodal.config.load import (
    ablated,
    ablation_seeds,
    in_braces,
    label_settings,
    label_table,
    load_config,
    placed,
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
from astromodal.core.stored import Files, check_stored, hand_down_copies
from astromodal.errors import MachineError
from astromodal.evaluation.registry import own_sections
from astromodal.extensions import hand_down
from astromodal.inference import request
from astromodal.jobs.failures import allow_skips, check_skipped, killed, skipped
from astromodal.jobs.resources import training_resources
from astromodal.jobs.surroundings import enter_container, shield
from astromodal.reruns.changes import changes, write_record
from astromodal.reruns.copies import Places, restore, update_inventory
from astromodal.reruns.digests import job_digests, plan_digests
from astromodal.reruns.stamps import check_cubes, refresh_stamps
from astromodal.sequences.layout import check_longest
from astromodal.sources.plan import builds_again, known_fields, left_out
from astromodal.sources.plan import only_indexes, plan_cubes
from snakemake.io import get_flag_value
from snakemake.logging import logger
from snakemake.path_modifier import PathModifier
from snakemake.settings.types import DeploymentMethod

# Snakemake has merged the files and dropped duplicate keys; load_config reports those. A module that
# gets a part of their settings has no file of its own.
ENTIRE = config is workflow.modifier_stack[0].globals["config"]
CONFIG = load_config(
    config, workflow.configfiles if workflow.is_main_process and ENTIRE else ()
)
# The `prefix` of a module stands before all paths of data, and not only before those of rules.
CONFIG = placed(CONFIG, workflow.modifier.path_modifier.replace_prefix)
workflow.modifier.path_modifier = PathModifier(None, None, workflow)
VARIANTS, SEEDS = ablated(CONFIG), ablation_seeds(CONFIG)
for varied in (CONFIG, *VARIANTS.values()):
    check_longest(varied.tokenizers, varied.sequences)
PATHS, CUBE = layout(CONFIG), cube_template(CONFIG)


def stored(path):
    """Return a path with the object of the storage plugin that keeps the file, if one does."""
    if is_address(path):
        return storage(path)
    return workflow.modifier.path_modifier.apply_default_storage(path)


def storage_object(path):
    """Return the storage plugin's object of a path, or None for a file on this machine."""
    return get_flag_value(stored(path), "storage_object")


FILES, COPIES = Files(storage_object), storage_object("results")
if COPIES is not None:  # results are on an object store
    check_stored(CONFIG)
check_frozen(CONFIG, FILES)
SIMULATED, SOURCES = is_simulated(CONFIG), tuple(CONFIG.sources)
GIVEN = not (SIMULATED or SOURCES)  # cubes that stand where the user put them
STAMPED = GIVEN and storage_object(CUBE) is None  # and here, so that plans read them
if workflow.is_main_process:  # not again in every job
    CODE = plan_digests(SCRIPTS, CONFIG.extensions, os.environ)
DIGESTS = job_digests(SCRIPTS, CONFIG.extensions, os.environ)
BUILT = known_fields(PATHS)
if SOURCES and workflow.is_main_process and not only_indexes(sys.argv):
    makers = {rule: DIGESTS[rule] for rule in ("index_source", "build_cube")}
    BUILT = plan_cubes(CONFIG, PATHS, makers, logger.info)
FIELDS = run_fields(CONFIG, BUILT, FILES)
EXPORT = ExportLayout(PATHS.export)
GROUPS = CONFIG.tokenizers.spectrum.groups
OWN_SECTIONS = own_sections(CONFIG)
PLACES = Places(
    PATHS.results,
    {field: CUBE.format(field=field) for field in FIELDS.used} if STAMPED else {},
)
if workflow.is_main_process:
    if COPIES is None:
        restore(PATHS, PLACES, logger.info)
    if STAMPED:
        refresh_stamps(CONFIG, PATHS, FIELDS.used, logger.info)
    check_skipped(CONFIG, PATHS.skipped, FIELDS.used, FILES)
    if STAMPED:
        check_cubes(CONFIG, PATHS, FIELDS, logger.info)
    for line in (
        *notices(CONFIG, FIELDS, FILES),
        *skipped(PATHS.skipped, FIELDS.used),
        *(left_out(PATHS) if SOURCES else ()),
        *changes(PATHS.last_run, CONFIG, CODE),
    ):
        logger.info(line)
shield(os.environ, SCRIPTS, Path(".snakemake").absolute())
# Rules of a workflow around this one may have containers of their own.
if DeploymentMethod.APPTAINER in workflow.deployment_settings.deployment_method and (
    CONFIG.container or workflow.modifier.is_main_snakefile()
):
    enter_container(os.environ, SCRIPTS, CONFIG.container)
hand_down(CONFIG.extensions, os.environ)
hand_down_copies(COPIES.local_path().parent if COPIES else "", os.environ)
allow_skips(PATHS.results, PATHS.skipped, CONFIG.on_bad_field == "skip", os.environ)


container: CONFIG.container


wildcard_constraints:
    field=r"[A-Za-z0-9][A-Za-z0-9_.+-]*",
    group="|".join(GROUPS) or "none",
    section="|".join(OWN_SECTIONS) or "none",
    label="|".join(CONFIG.finetune.labels) or "none",
    suffix="vot|fits",


def settings(*names, config=CONFIG):
    """Return settings of a job by dotted name, as plain values that Snakemake compares.

    ``a.{b,c}`` stands for a.b and a.c, as in a shell. The job can read no other setting.
    """
    return {name: plain_settings(name, config) for name in in_braces(names)}


def code(rule):
    """Return the digest of the code that a rule's script reaches: other code reruns nothing."""
    return DIGESTS[rule]


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
