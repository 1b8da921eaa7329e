# What the model knows, on objects that nothing was trained on.


rule evaluate_transformer:
    """Compare the transformer's surprise at unseen codes with a unigram baseline's."""
    input:
        sequences=expand(PATHS.sequences(), field=EVALUATED),
        training_sequences=expand(PATHS.sequences(), field=FIELDS.training),
        final_model=MODEL["final_model"],
        history=MODEL["history"],
    output:
        numbers=PATHS.evaluation("transformer"),
        figures=directory(PATHS.figures("transformer")),
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
