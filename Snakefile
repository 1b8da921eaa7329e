# astromodal: datacubes to tokens, tokens to a trained transformer, and a report on both.
from snakemake.utils import min_version

min_version("9.11")

# A --configfile replaces config/config.yaml; it does not stand on top of it.
if not workflow.configfiles:

    configfile: "config/config.yaml"


report: "rules/captions/workflow.rst"


include: "rules/common.smk"


if SIMULATED:

    include: "rules/simulate.smk"


include: "rules/prepare.smk"


if "tokenizers" not in CONFIG.freeze:

    include: "rules/tokenizers.smk"


include: "rules/encode.smk"


if "transformer" not in CONFIG.freeze:

    include: "rules/transformer.smk"


include: "rules/evaluate.smk"
include: "rules/evaluate_model.smk"
include: "rules/report.smk"
include: "rules/ablations.smk"
include: "rules/predict.smk"
include: "rules/targets.smk"
include: "rules/run.smk"


rule all:
    """Everything: every field encoded, the transformer trained, the report made."""
    default_target: True
    input:
        rules.encode.input,
        rules.train.input,
        rules.report.input,
