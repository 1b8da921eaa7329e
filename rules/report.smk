# All parts of the evaluation in one page.

PARTS = CONFIG.evaluation.parts


rule render_report:
    """Put every figure and table into one page."""
    input:
        numbers=expand(PATHS.evaluation("{part}"), part=PARTS),
        figures=expand(PATHS.figures("{part}"), part=PARTS),
        summaries=expand(PATHS.summary(), field=FIELDS.every),
    output:
        report=PATHS.report,
        figures=directory(PATHS.figures("coverage")),
    log:
        PATHS.log("render_report"),
    benchmark:
        PATHS.benchmark("render_report")
    conda:
        "../envs/cpu.yaml"
    params:
        trained_fields=TRAINED,
        config=CONFIG.model_dump(mode="json"),
        code=code("render_report"),
    script:
        "../scripts/render_report.py"
