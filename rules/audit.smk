# The audit of a finished run, which compares it with its records: it writes none itself.
from dataclasses import asdict


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
