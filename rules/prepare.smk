# From cubes to what tokenizers learn from.


rule summarize_field:
    """Check one field, split its objects and count what it holds."""
    input:
        cube=CUBE,
    output:
        summary=PATHS.summary(),
        split=PATHS.split(),
    log:
        PATHS.log("summarize_field", "{field}"),
    conda:
        "../envs/cpu.yaml"
    params:
        settings=settings(
            "columns",
            "selection",
            "split",
            "tokenizers.scalar.columns",
            "tokenizers.spectrum",
            "tokenizers.image",
        ),
        code=code("summarize_field"),
    script:
        "../scripts/summarize_field.py"


rule sample_field:
    """Sample what tokenizers learn from one training field."""
    input:
        cube=CUBE,
        split=PATHS.split(),
    output:
        quantiles=PATHS.quantiles(),
        spectra=PATHS.spectrum_samples(),
    log:
        PATHS.log("sample_field", "{field}"),
    conda:
        "../envs/cpu.yaml"
    params:
        settings=settings("columns", "tokenizers.scalar.columns", "tokenizers.spectrum"),
        code=code("sample_field"),
    script:
        "../scripts/sample_field.py"
