# The survey in the forms that other tools read: a HATS catalogue, files for photo-z tools.


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


rule export_photoz:
    """Write redshift distributions of the objects of one field, as qp and RAIL read them."""
    input:
        **cube("sources"),
        **MODEL_FILES,
        sequences=PATHS.sequences(),
    output:
        photoz=PATHS.photoz(),
    log:
        PATHS.log("export_photoz", "{field}"),
    benchmark:
        PATHS.benchmark("export_photoz", "{field}")
    conda:
        "../envs/gpu.yaml"
    threads: 4
    resources:
        gpu=1,
    params:
        column=lambda _: request.photoz_column(CONFIG),
        columns=PREDICTED,
        settings=settings(
            VALUES,
            "columns.{ra,dec}",
            "cpu_threads",
            "evaluation.labels.{redshift,stellar,tied}",
            "photoz.{width,odds}",
            "predict.{given,token_budget}",
        ),
        code=code("export_photoz"),
    script:
        "../scripts/export_photoz.py"


rule export_catalogue:
    """Write the predictions of one field as VOTable or FITS."""
    input:
        **cube("sources"),
        **({"photoz": PATHS.photoz()} if "hdf5" in CONFIG.photoz.formats else {}),
        predictions=PATHS.predictions(),
    output:
        catalogue=PATHS.catalogue(),
    log:
        PATHS.log("export_catalogue", "{field}", "{suffix}"),
    benchmark:
        PATHS.benchmark("export_catalogue", "{field}", "{suffix}")
    conda:
        "../envs/cpu.yaml"
    params:
        settings=settings(VALUES, "columns.{ra,dec}"),
        code=code("export_catalogue"),
    script:
        "../scripts/export_catalogue.py"
