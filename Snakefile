# astromodal: tokenize datacubes, train a transformer on the tokens, and report on both.
from snakemake.utils import min_version

min_version("9.11")

# A --configfile replaces config/config.yaml and is not merged into it. A module without `config`
# reads config/config.yaml, whatever files the workflow around it has.
if not workflow.configfiles or not workflow.modifier.is_main_snakefile():

    configfile: "config/config.yaml"


report: "rules/captions/workflow.rst"


include: "rules/common.smk"


if not GIVEN:

    include: "rules/simulate.smk" if SIMULATED else "rules/cubes.smk"


include: "rules/prepare.smk"


if "tokenizers" not in CONFIG.freeze:

    include: "rules/tokenizers.smk"


include: "rules/encode.smk"


if "transformer" not in CONFIG.freeze:

    include: "rules/transformer.smk"


include: "rules/evaluate.smk"
include: "rules/evaluate_model.smk"
include: "rules/finetune.smk"
include: "rules/report.smk"
include: "rules/ablations.smk"
include: "rules/predict.smk"
include: "rules/index.smk"
include: "rules/atlas.smk"
include: "rules/publish.smk"
include: "rules/targets.smk"
include: "rules/run.smk"


rule all:
    """Encode every field, train the transformer and write the report."""
    default_target: True
    input:
        rules.encode.input,
        rules.train.input,
        rules.report.input,
