# The report.

SECTIONS = (*CONFIG.evaluation.sections, *(["finetuned"] if LABELS else []))
# Rules whose code the numbers of the report depend on: an edit of it renders the page again.
MADE_BY = (
    "simulate",
    "split",
    "summarize",
    "sample",
    "prepare",
    "train",
    "assemble",
    "build",
    "finetune",
)
MADE_BY += ("encode", "pack", "render", *map(section_rule, SECTIONS))


rule render_report:
    """Render all figures and tables as one page."""
    input:
        numbers=expand(PATHS.evaluation(), section=SECTIONS),
        figures=expand(PATHS.figures(), section=SECTIONS),
        summaries=expand(PATHS.summary(), field=FIELDS.used),
    output:
        report=report(
            PATHS.report,
            caption="captions/report.rst",
            category="Report",
            labels={"what": "the whole report"},
        ),
        figures=figures("coverage"),
    log:
        PATHS.log("render_report"),
    benchmark:
        PATHS.benchmark("render_report")
    conda:
        "../envs/cpu.yaml"
    params:
        trained_fields=TRAINED,
        config=CONFIG.model_dump(mode="json"),
        digests={rule: code(rule) for rule in DIGESTS if rule.startswith(MADE_BY)},
        code=code("render_report"),
    script:
        "../scripts/render_report.py"
