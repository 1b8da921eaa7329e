# The atlas: one page to explore a survey.


rule build_atlas:
    """Make the page to explore a survey."""
    input:
        **cubes(FIELDS.every, *MODALITIES[:-1]),
        **(
            {"predictions": expand(PATHS.predictions(), field=FIELDS.every)}
            if PREDICTED
            else {}
        ),
        embeddings=expand(PATHS.embeddings(), field=FIELDS.every),
        sequences=expand(PATHS.sequences(), field=FIELDS.every),
        tokens=expand(PATHS.spectrum_tokens(), field=FIELDS.every),
        spectrum_tokenizer=TOKENIZERS["spectrum_tokenizer"],
    output:
        page=PATHS.atlas,
    log:
        PATHS.log("build_atlas"),
    benchmark:
        PATHS.benchmark("build_atlas")
    conda:
        "../envs/cpu.yaml"
    params:
        fields=list(FIELDS.every),
        settings=settings(
            VALUES,
            "atlas",
            "evaluation.labels.{redshift,kind,magnitude}",
            "tokenizers.scalar.columns",
            "tokenizers.spectrum.{groups,xp_samples}",
            "tokenizers.image.size",
        ),
        code=code("build_atlas"),
    script:
        "../scripts/build_atlas.py"
