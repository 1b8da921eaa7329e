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
        *code("summarize_field"),
        settings=settings(
            "columns",
            "selection",
            "split",
            "tokenizers.scalar.columns",
            "tokenizers.spectrum",
            "tokenizers.image.bands",
            "tokenizers.image.size",
        ),
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
        sky=PATHS.sky(),
    log:
        PATHS.log("sample_field", "{field}"),
    conda:
        "../envs/cpu.yaml"
    threads: 2
    params:
        *code("sample_field"),
        settings=settings(
            "columns",
            "tokenizers.scalar.columns",
            "tokenizers.spectrum",
            "tokenizers.image.bands",
            "tokenizers.image.size",
        ),
    script:
        "../scripts/sample_field.py"


rule prepare_cutouts:
    """Draw one training field's share of the training cutouts, and keep them normalised."""
    input:
        cube=CUBE,
        split=PATHS.split(),
        normaliser=PATHS.image_normaliser,
    output:
        pixels=PATHS.cutout_pixels(),
        sources=PATHS.cutout_sources(),
    log:
        PATHS.log("prepare_cutouts", "{field}"),
    conda:
        "../envs/cpu.yaml"
    params:
        *code("prepare_cutouts"),
        share=-(-CONFIG.tokenizers.image.max_cutouts // max(1, len(FIELDS.tokenizers))),
        settings=settings(
            "columns",
            "tokenizers.image.bands",
            "tokenizers.image.size",
            "tokenizers.image.seed",
        ),
    script:
        "../scripts/prepare_cutouts.py"
