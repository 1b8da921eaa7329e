# Fine-tuning of the trained model to labels of one's own, and predictions of them.

LABELS = list(CONFIG.finetune.labels)
WITH_TUNED = list(dict.fromkeys((*EVALUATED, *FIELDS.training)))
TUNED = ExportLayout(PATHS.finetuned())


rule finetune_label:
    """Fine-tune the trained model to a label."""
    input:
        unpack(lambda wildcards: label_table(CONFIG, wildcards.label)),
        **MODEL_FILES,
        **cubes(FIELDS.training, "sources", "finetuned"),
        sequences=expand(PATHS.sequences(), field=FIELDS.training),
    output:
        **vars(TUNED),
        label=TUNED.label,
    log:
        PATHS.log("finetune_label", "{label}"),
    benchmark:
        PATHS.benchmark("finetune_label", "{label}")
    conda:
        "../envs/gpu.yaml"
    threads: 8
    resources:
        gpu=1,
    params:
        fields=list(FIELDS.training),
        checkpoint=PATHS.finetuning(),
        settings=lambda wildcards: settings("cpu_threads", VALUES)
        | label_settings(CONFIG, wildcards.label),
        code=code("finetune_label"),
    script:
        "../scripts/finetune_label.py"


rule predict_label:
    """Predict a label of the objects of one field with the fine-tuned model."""
    input:
        **vars(TUNED),
        label=TUNED.label,
        sequences=PATHS.sequences(),
        split=PATHS.split(),
    output:
        predictions=PATHS.finetuned_predictions(),
    log:
        PATHS.log("predict_label", "{label}", "{field}"),
    benchmark:
        PATHS.benchmark("predict_label", "{label}", "{field}")
    conda:
        "../envs/gpu.yaml"
    threads: 4
    resources:
        gpu=1,
    params:
        settings=settings(
            "cpu_threads", "split.nside", "predict.token_budget", "finetune.given"
        ),
        code=code("predict_label"),
    script:
        "../scripts/predict_label.py"


rule evaluate_finetuned:
    """Compare predictions of fine-tuned models with labels of held-out objects."""
    input:
        **cubes(WITH_TUNED, *MODALITIES),
        **{name: expand(path, label=LABELS) for name, path in vars(TUNED).items()},
        labels=expand(TUNED.label, label=LABELS),
        sequences=expand(PATHS.sequences(), field=WITH_TUNED),
    output:
        numbers=PATHS.evaluation("finetuned"),
        figures=figures("finetuned"),
    log:
        PATHS.log("evaluate_finetuned"),
    benchmark:
        PATHS.benchmark("evaluate_finetuned")
    conda:
        "../envs/gpu.yaml"
    threads: 8
    resources:
        gpu=1,
    params:
        fields=WITH_TUNED,
        evaluated_fields=EVALUATED,
        labelled_fields=list(FIELDS.training),
        trained_fields=TRAINED,
        settings=settings(
            "cpu_threads",
            VALUES,
            "columns.{ra,dec}",
            "split.nside",
            "evaluation.{max_objects,seed}",
            "evaluation.labels.{redshift,magnitude}",
            "evaluation.downstream.{given,max_labels,label_fractions,label_draws}",
            "predict.token_budget",
            "finetune.labels",
        ),
        code=code("evaluate_finetuned"),
    script:
        "../scripts/evaluate_finetuned.py"
