# What came out, on objects that nothing was trained on, and the report on all of it.

TRAINED = list(FIELDS.trained)
EVALUATED = list(FIELDS.evaluation)
TOKENIZER_PARTS = ("scalars", "spectra", "images")
PARTS = (*TOKENIZER_PARTS, "transformer")


rule evaluate_scalars:
    """Compare decoded scalars to the measured ones."""
    input:
        cubes=cubes(EVALUATED),
        splits=expand(PATHS.split(), field=EVALUATED),
        tokens=expand(PATHS.scalar_tokens(), field=EVALUATED),
        tokenizer=PATHS.scalar_tokenizer,
    output:
        numbers=PATHS.evaluation("scalars"),
        figures=directory(PATHS.figures("scalars")),
    log:
        PATHS.log("evaluate_scalars"),
    conda:
        "../envs/cpu.yaml"
    params:
        *code("evaluate_scalars"),
        fields=EVALUATED,
        trained_fields=TRAINED,
        settings=settings("columns", "evaluation"),
    script:
        "../scripts/evaluate_scalars.py"


rule evaluate_spectra:
    """Compare decoded spectra to the observed ones."""
    input:
        cubes=cubes(EVALUATED),
        splits=expand(PATHS.split(), field=EVALUATED),
        tokens=expand(PATHS.spectrum_tokens(), field=EVALUATED),
        tokenizer=PATHS.spectrum_tokenizer,
    output:
        numbers=PATHS.evaluation("spectra"),
        figures=directory(PATHS.figures("spectra")),
    log:
        PATHS.log("evaluate_spectra"),
    conda:
        "../envs/cpu.yaml"
    params:
        *code("evaluate_spectra"),
        fields=EVALUATED,
        trained_fields=TRAINED,
        settings=settings("columns", "evaluation", "tokenizers.spectrum"),
    script:
        "../scripts/evaluate_spectra.py"


rule evaluate_images:
    """Compare decoded cutouts to the measured ones."""
    input:
        cubes=cubes(EVALUATED),
        splits=expand(PATHS.split(), field=EVALUATED),
        tokens=expand(PATHS.image_tokens(), field=EVALUATED),
        latents=expand(PATHS.image_latents(), field=EVALUATED),
        autoencoder=PATHS.autoencoder,
        image_codebook=PATHS.image_codebook,
    output:
        numbers=PATHS.evaluation("images"),
        figures=directory(PATHS.figures("images")),
    log:
        PATHS.log("evaluate_images"),
    conda:
        "../envs/gpu.yaml"
    threads: 4
    resources:
        gpu=1,
    params:
        *code("evaluate_images"),
        fields=EVALUATED,
        trained_fields=TRAINED,
        settings=settings("columns", "evaluation", "tokenizers.image"),
    script:
        "../scripts/evaluate_images.py"


rule evaluate_tokenizers:
    """Evaluate every tokenizer: numbers, tables and figures of scalars, spectra and images."""
    input:
        expand(PATHS.evaluation("{part}"), part=TOKENIZER_PARTS),


rule evaluate_transformer:
    """Compare the transformer's surprise at unseen codes with a unigram baseline's."""
    input:
        sequences=expand(PATHS.sequences(), field=EVALUATED),
        training_sequences=expand(PATHS.sequences(), field=FIELDS.training),
        final_model=PATHS.final_model,
        history=PATHS.history,
    output:
        numbers=PATHS.evaluation("transformer"),
        figures=directory(PATHS.figures("transformer")),
    log:
        PATHS.log("evaluate_transformer"),
    conda:
        "../envs/gpu.yaml"
    threads: 8
    resources:
        gpu=1,
    params:
        *code("evaluate_transformer"),
        fields=EVALUATED,
        trained_fields=TRAINED,
        settings=settings("evaluation"),
    script:
        "../scripts/evaluate_transformer.py"


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
    conda:
        "../envs/cpu.yaml"
    params:
        *code("render_report"),
        trained_fields=TRAINED,
        config=CONFIG.model_dump(mode="json"),
    script:
        "../scripts/render_report.py"


rule report:
    """Evaluate everything and write the report."""
    input:
        PATHS.report,
