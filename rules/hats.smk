# The survey's objects as a HATS catalogue.


rule build_hats:
    """Write the objects of every field as a HATS catalogue with a margin."""
    input:
        **cubes(FIELDS.every, "sources"),
        **MODEL_FILES,
        **(
            {"predictions": expand(PATHS.predictions(), field=FIELDS.every)}
            if PREDICTED and "predictions" in CONFIG.hats.include
            else {}
        ),
        embeddings=expand(PATHS.embeddings(), field=FIELDS.every),
        sequences=expand(PATHS.sequences(), field=FIELDS.every),
    output:
        catalogue=directory(PATHS.hats),
    log:
        PATHS.log("build_hats"),
    benchmark:
        PATHS.benchmark("build_hats")
    conda:
        "../envs/cpu.yaml"
    params:
        fields=list(FIELDS.every),
        settings=settings(VALUES, "columns.{ra,dec}", "hats"),
        code=code("build_hats"),
    script:
        "../scripts/build_hats.py"
