# Trainings that differ in one setting. Only the target `ablations` requests them.


wildcard_constraints:
    variant="|".join(map(re.escape, VARIANTS)),
    seed="|".join(map(str, SEEDS)),


rule train_ablation:
    """Train one variant of the transformer with one seed."""
    input:
        **TOKENIZERS,
        sequences=expand(PATHS.sequences(), field=FIELDS.training),
        vocab_spec=MODEL["vocab_spec"],
    output:
        **PATHS.ablation(),
    log:
        PATHS.log("train_ablation", "{variant}", "{seed}"),
    benchmark:
        PATHS.benchmark("train_ablation", "{variant}", "{seed}")
    conda:
        "../envs/gpu.yaml"
    threads: 8
    resources:
        **training_resources(gpus=1, nodes=1),
    params:
        settings=ablation_settings,
        code=code("train_transformer"),
    script:
        "../scripts/train_transformer.py"


rule evaluate_ablation:
    """Compute the losses of held-out objects under one trained variant."""
    input:
        **TOKENIZERS,
        sequences=expand(PATHS.sequences(), field=EVALUATED),
        final_model=PATHS.ablation()["final_model"],
    output:
        losses=PATHS.ablation_losses(),
    log:
        PATHS.log("evaluate_ablation", "{variant}", "{seed}"),
    benchmark:
        PATHS.benchmark("evaluate_ablation", "{variant}", "{seed}")
    conda:
        "../envs/gpu.yaml"
    threads: 8
    resources:
        gpu=1,
    params:
        fields=EVALUATED,
        trained_fields=TRAINED,
        settings=settings("cpu_threads", "evaluation.{max_objects,seed}"),
        code=code("evaluate_ablation"),
    script:
        "../scripts/evaluate_ablation.py"


rule compare_ablations:
    """Write a page that compares the variants."""
    input:
        losses=expand(PATHS.ablation_losses(), variant=VARIANTS, seed=SEEDS),
    output:
        page=f"{PATHS.ablations}/ablations.html",
        numbers=f"{PATHS.ablations}/ablations.json",
        figures=directory(f"{PATHS.ablations}/figures"),
    log:
        PATHS.log("compare_ablations"),
    benchmark:
        PATHS.benchmark("compare_ablations")
    conda:
        "../envs/cpu.yaml"
    params:
        runs=[[variant, seed] for variant in VARIANTS for seed in SEEDS],
        fields=EVALUATED,
        trained_fields=TRAINED,
        config=CONFIG.model_dump(mode="json"),
        digests={
            "train_ablation": code("train_transformer"),
            "evaluate_ablation": code("evaluate_ablation"),
        },
        code=code("compare_ablations"),
    script:
        "../scripts/compare_ablations.py"
