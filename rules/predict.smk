# Embeddings and predictions of every field, and the export of the model.

PREDICTED = list(request.requested_columns(CONFIG))


rule embed_field:
    """Embed the objects of one field."""
    input:
        **MODEL_FILES,
        sequences=PATHS.sequences(),
        split=PATHS.split(),
    output:
        embeddings=PATHS.embeddings(),
    log:
        PATHS.log("embed_field", "{field}"),
    benchmark:
        PATHS.benchmark("embed_field", "{field}")
    conda:
        "../envs/gpu.yaml"
    threads: 4
    resources:
        gpu=1,
    params:
        settings=settings(
            "cpu_threads", "split.nside", "predict.{pooling,token_budget}"
        ),
        code=code("embed_field"),
    script:
        "../scripts/embed_field.py"


rule predict_field:
    """Predict scalars of the objects of one field, with their uncertainties."""
    input:
        **MODEL_FILES,
        sequences=PATHS.sequences(),
        split=PATHS.split(),
    output:
        predictions=PATHS.predictions(),
    log:
        PATHS.log("predict_field", "{field}"),
    benchmark:
        PATHS.benchmark("predict_field", "{field}")
    conda:
        "../envs/gpu.yaml"
    threads: 4
    resources:
        gpu=1,
    params:
        columns=PREDICTED,
        settings=settings(
            "cpu_threads",
            "split.nside",
            "predict.{given,token_budget}",
        ),
        code=code("predict_field"),
    script:
        "../scripts/predict_field.py"


rule export_model:
    """Export the model, its tokenizers and a model card into one folder."""
    input:
        **MODEL_FILES,
        history=MODEL["history"],
        sequences=expand(PATHS.sequences(), field=FIELDS.training),
    output:
        **vars(EXPORT),
    log:
        PATHS.log("export_model"),
    benchmark:
        PATHS.benchmark("export_model")
    conda:
        "../envs/cpu.yaml"
    params:
        fields=list(FIELDS.training),
        code=code("export_model"),
    script:
        "../scripts/export_model.py"
