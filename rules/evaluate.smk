# Evaluation of the tokenizers on held-out objects.

TRAINED = list(FIELDS.trained)
EVALUATED = list(FIELDS.evaluation)
DRAWN = "evaluation.{max_objects,n_examples,seed}"


rule evaluate_scalars:
    """Compare decoded scalars with measured ones."""
    input:
        **cubes(EVALUATED, "sources", "scalars"),
        splits=expand(PATHS.split(), field=EVALUATED),
        tokens=expand(PATHS.scalar_tokens(), field=EVALUATED),
        tokenizer=TOKENIZERS["scalar_tokenizer"],
    output:
        numbers=PATHS.evaluation("scalars"),
        figures=figures("scalars"),
    log:
        PATHS.log("evaluate_scalars"),
    benchmark:
        PATHS.benchmark("evaluate_scalars")
    conda:
        "../envs/cpu.yaml"
    params:
        fields=EVALUATED,
        trained_fields=TRAINED,
        settings=settings(VALUES, DRAWN),
        code=code("evaluate_scalars"),
    script:
        "../scripts/evaluate_scalars.py"


rule evaluate_spectra:
    """Compare decoded spectra with observed ones."""
    input:
        **cubes(EVALUATED, "sources", "spectra"),
        splits=expand(PATHS.split(), field=EVALUATED),
        tokens=expand(PATHS.spectrum_tokens(), field=EVALUATED),
        tokenizer=TOKENIZERS["spectrum_tokenizer"],
    output:
        numbers=PATHS.evaluation("spectra"),
        figures=figures("spectra"),
    log:
        PATHS.log("evaluate_spectra"),
    benchmark:
        PATHS.benchmark("evaluate_spectra")
    conda:
        "../envs/cpu.yaml"
    params:
        fields=EVALUATED,
        trained_fields=TRAINED,
        settings=settings(
            SPECTRA,
            DRAWN,
            "tokenizers.spectrum.{groups,max_spec_tokens_per_group,xp_samples}",
        ),
        code=code("evaluate_spectra"),
    script:
        "../scripts/evaluate_spectra.py"


rule evaluate_images:
    """Compare decoded image cutouts with observed ones."""
    input:
        **cubes(EVALUATED, "sources", "scalars", "images"),
        splits=expand(PATHS.split(), field=EVALUATED),
        tokens=expand(PATHS.image_tokens(), field=EVALUATED),
        latents=expand(PATHS.image_latents(), field=EVALUATED),
        autoencoder=TOKENIZERS["autoencoder"],
        image_codebook=TOKENIZERS["image_codebook"],
    output:
        numbers=PATHS.evaluation("images"),
        figures=figures("images"),
    log:
        PATHS.log("evaluate_images"),
    benchmark:
        PATHS.benchmark("evaluate_images")
    conda:
        "../envs/gpu.yaml"
    threads: 4
    resources:
        gpu=1,
    params:
        fields=EVALUATED,
        trained_fields=TRAINED,
        settings=settings("cpu_threads", VALUES, DRAWN, "tokenizers.image.{bands,size}"),
        code=code("evaluate_images"),
    script:
        "../scripts/evaluate_images.py"
