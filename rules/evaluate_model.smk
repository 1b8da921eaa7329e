# What the model knows, on objects that nothing was trained on.

# Of some fields that trained the test split, beside the fields held out: do they differ?
COMPARED = list(dict.fromkeys((*EVALUATED, *TRAINED[:: max(1, len(TRAINED) // 20)])))


rule evaluate_transformer:
    """Compare the transformer's surprise at unseen codes with a unigram baseline's."""
    input:
        sequences=expand(PATHS.sequences(), field=EVALUATED),
        training_sequences=expand(PATHS.sequences(), field=FIELDS.training),
        final_model=MODEL["final_model"],
        history=MODEL["history"],
    output:
        numbers=PATHS.evaluation("transformer"),
        figures=figures("transformer"),
    log:
        PATHS.log("evaluate_transformer"),
    benchmark:
        PATHS.benchmark("evaluate_transformer")
    conda:
        "../envs/gpu.yaml"
    threads: 8
    resources:
        gpu=1,
    params:
        fields=EVALUATED,
        trained_fields=TRAINED,
        settings=settings("evaluation.{max_objects,seed}"),
        code=code("evaluate_transformer"),
    script:
        "../scripts/evaluate_transformer.py"


rule evaluate_embeddings:
    """Embed unseen objects, and see what neighbours have in common."""
    input:
        **cubes(COMPARED, "sources", "scalars", "images"),
        **TOKENIZERS,
        sequences=expand(PATHS.sequences(), field=COMPARED),
        final_model=MODEL["final_model"],
    output:
        numbers=PATHS.evaluation("embeddings"),
        figures=figures("embeddings"),
    log:
        PATHS.log("evaluate_embeddings"),
    benchmark:
        PATHS.benchmark("evaluate_embeddings")
    conda:
        "../envs/gpu.yaml"
    threads: 8
    resources:
        gpu=1,
    params:
        fields=COMPARED,
        trained_fields=TRAINED,
        settings=settings(
            "columns.id", DRAWN, "evaluation.labels", "predict.{pooling,token_budget}"
        ),
        code=code("evaluate_embeddings"),
    script:
        "../scripts/evaluate_embeddings.py"
