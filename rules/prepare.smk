# From cubes to the training data of the tokenizers.


rule split_field:
    """Select one field's objects, and assign them to sky cells and splits."""
    input:
        **cube("sources"),
    output:
        split=PATHS.split(),
    log:
        PATHS.log("split_field", "{field}"),
    benchmark:
        PATHS.benchmark("split_field", "{field}")
    conda:
        "../envs/cpu.yaml"
    params:
        settings=settings("columns", "selection", "split"),
        code=code("split_field"),
    script:
        "../scripts/split_field.py"


rule summarize_field:
    """Check one field, count its objects and measurements, and hash its columns."""
    input:
        **cube(*MODALITIES, *([WHOLE] if SOURCES else [])),  # and what each source gave
        split=PATHS.split(),
    output:
        summary=PATHS.summary(),
    log:
        PATHS.log("summarize_field", "{field}"),
    benchmark:
        PATHS.benchmark("summarize_field", "{field}")
    conda:
        "../envs/cpu.yaml"
    params:
        settings=settings(
            "columns",
            "selection",
            "tokenizers.scalar.columns",
            "tokenizers.spectrum.groups",
            "tokenizers.image.{bands,size}",
            "evaluation.labels.{redshift,kind,stellar,tied,magnitude}",
        ),
        code=code("summarize_field"),
    script:
        "../scripts/summarize_field.py"


rule sample_scalars:
    """Summarise one training field's scalars as quantile sketches."""
    input:
        **cube("sources", "scalars"),
        split=PATHS.split(),
    output:
        quantiles=PATHS.quantiles(),
    log:
        PATHS.log("sample_scalars", "{field}"),
    benchmark:
        PATHS.benchmark("sample_scalars", "{field}")
    conda:
        "../envs/cpu.yaml"
    threads: 2
    params:
        settings=settings(VALUES, "tokenizers.scalar.columns"),
        code=code("sample_scalars"),
    script:
        "../scripts/sample_scalars.py"


rule sample_spectra:
    """Sample the features of one training field's spectra."""
    input:
        **cube("sources", "spectra"),
        split=PATHS.split(),
    output:
        spectra=PATHS.spectrum_samples(),
    log:
        PATHS.log("sample_spectra", "{field}"),
    benchmark:
        PATHS.benchmark("sample_spectra", "{field}")
    conda:
        "../envs/cpu.yaml"
    params:
        settings=settings(
            SPECTRA,
            "tokenizers.spectrum.{groups,max_spec_tokens_per_group,samples_per_field,seed}",
        ),
        code=code("sample_spectra"),
    script:
        "../scripts/sample_spectra.py"


rule sample_images:
    """Sample the sky noise of one training field's image cutouts."""
    input:
        **cube("sources", "images"),
        split=PATHS.split(),
    output:
        sky=PATHS.sky(),
    log:
        PATHS.log("sample_images", "{field}"),
    benchmark:
        PATHS.benchmark("sample_images", "{field}")
    conda:
        "../envs/cpu.yaml"
    params:
        settings=settings("columns.id", "tokenizers.image.{bands,size}"),
        code=code("sample_images"),
    script:
        "../scripts/sample_images.py"


rule prepare_cutouts:
    """Sample and normalise one training field's share of the training cutouts."""
    input:
        **cube("sources", "images"),
        split=PATHS.split(),
        normaliser=PATHS.image_normaliser,
    output:
        pixels=PATHS.cutout_pixels(),
        sources=PATHS.cutout_sources(),
    log:
        PATHS.log("prepare_cutouts", "{field}"),
    benchmark:
        PATHS.benchmark("prepare_cutouts", "{field}")
    conda:
        "../envs/cpu.yaml"
    params:
        share=-(-CONFIG.tokenizers.image.max_cutouts // max(1, len(FIELDS.tokenizers))),
        settings=settings(VALUES, "tokenizers.image.{bands,size,seed}"),
        code=code("prepare_cutouts"),
    script:
        "../scripts/prepare_cutouts.py"
