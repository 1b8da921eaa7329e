# The trained model at work: embeddings and predictions of every field, and the model passed on.

MODEL_FILES = {
    "final_model": PATHS.final_model,
    "vocab_spec": PATHS.vocab_spec,
    "scalar_tokenizer": PATHS.scalar_tokenizer,
    "spectrum_tokenizer": PATHS.spectrum_tokenizer,
    "autoencoder": PATHS.autoencoder,
    "image_codebook": PATHS.image_codebook,
}
PREDICTED = list(predicted_columns(CONFIG))


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
    conda:
        "../envs/gpu.yaml"
    threads: 4
    resources:
        gpu=1,
    params:
        *code("embed_field"),
        settings=settings("split.nside", "predict.pooling", "predict.token_budget"),
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
    conda:
        "../envs/gpu.yaml"
    threads: 4
    resources:
        gpu=1,
    params:
        *code("predict_field"),
        columns=PREDICTED,
        settings=settings(
            "split.nside",
            "predict.given",
            "predict.token_budget",
            "predict.prior_mass",
            "predict.max_candidates",
        ),
    script:
        "../scripts/predict_field.py"


rule export_model:
    """Put the model, its tokenizers and a model card into one folder to pass on."""
    input:
        **MODEL_FILES,
        history=PATHS.history,
        sequences=expand(PATHS.sequences(), field=FIELDS.training),
    output:
        **vars(EXPORT),
    log:
        PATHS.log("export_model"),
    conda:
        "../envs/cpu.yaml"
    params:
        *code("export_model"),
        fields=list(FIELDS.training),
    script:
        "../scripts/export_model.py"


rule embed:
    """Embed every field."""
    input:
        expand(PATHS.embeddings(), field=FIELDS.every),


rule predict:
    """Predict scalars of every field."""
    input:
        expand(PATHS.predictions(), field=FIELDS.every),


rule export:
    """Export the trained model."""
    input:
        EXPORT.weights,
