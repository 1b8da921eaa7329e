# The audit of a finished run, which compares it with its records: it writes none itself.
from dataclasses import asdict


def audits():
    """Return whether the audit is the target; an error where it is one of several."""
    asked = getattr(workflow.dag_settings, "targets", None) or ()
    named = [target for target in asked if str(target).endswith("audit")]
    if named and len(named) < len(asked):
        raise WorkflowError(
            f"audit must be the only target, got {', '.join(sorted(map(str, asked)))}; "
            "type the others first, and then snakemake audit"
        )
    return bool(named)


AUDITS = workflow.is_main_process and audits()


rule audit:
    """Check every file of the finished run, and account for every row of its cubes."""
    log:
        PATHS.log("audit"),
    conda:
        "../envs/cpu.yaml"
    params:
        config=CONFIG.model_dump(mode="json"),
        fields=asdict(FIELDS),
        digests=DIGESTS,
        code=code("audit"),
    script:
        "../scripts/audit.py"
