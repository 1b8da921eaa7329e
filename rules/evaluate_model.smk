# Evaluation of the transformer on held-out objects.

LABELLED = list(spread_evenly(FIELDS.training, CONFIG.evaluation.downstream.max_fields))
WITH_LABELS = list(dict.fromkeys((*EVALUATED, *LABELLED)))
# Held-out fields, and the test split of some training fields to compare them with.
COMPARED = list(dict.fromkeys((*EVALUATED, *spread_evenly(TRAINED, 20))))


rule evaluate_transformer:
    """Compare the negative log-likelihood of held-out codes with a unigram baseline's."""
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
        settings=settings("cpu_threads", "evaluation.{max_objects,seed}"),
        code=code("evaluate_transformer"),
    script:
        "../scripts/evaluate_transformer.py"


rule evaluate_reconstruction:
    """Predict each block of held-out objects from their other blocks, and compare with the data."""
    input:
        **cubes(EVALUATED, "sources", "scalars", "spectra", "images"),
        **MODEL_FILES,
        sequences=expand(PATHS.sequences(), field=EVALUATED),
        training_sequences=expand(PATHS.sequences(), field=FIELDS.training),
    output:
        numbers=PATHS.evaluation("reconstruction"),
        figures=figures("reconstruction"),
    log:
        PATHS.log("evaluate_reconstruction"),
    benchmark:
        PATHS.benchmark("evaluate_reconstruction")
    conda:
        "../envs/gpu.yaml"
    threads: 8
    resources:
        gpu=1,
    params:
        fields=EVALUATED,
        trained_fields=TRAINED,
        settings=settings(
            "cpu_threads",
            VALUES,
            "evaluation.{n_examples,seed,reconstruction}",
            "evaluation.labels.{redshift,stellar,tied}",
            "predict.token_budget",
        ),
        code=code("evaluate_reconstruction"),
    script:
        "../scripts/evaluate_reconstruction.py"


rule evaluate_downstream:
    """Predict redshifts, stellar parameters and classes, and compare with baselines."""
    input:
        **MODEL_FILES,
        **cubes(WITH_LABELS, *MODALITIES[:-1]),
        sequences=expand(PATHS.sequences(), field=WITH_LABELS),
    output:
        numbers=PATHS.evaluation("downstream"),
        figures=figures("downstream"),
    log:
        PATHS.log("evaluate_downstream"),
    benchmark:
        PATHS.benchmark("evaluate_downstream")
    conda:
        "../envs/gpu.yaml"
    threads: 8
    resources:
        gpu=1,
    params:
        fields=WITH_LABELS,
        evaluated_fields=EVALUATED,
        labelled_fields=LABELLED,
        trained_fields=TRAINED,
        simulated=SIMULATED,
        settings=settings(
            "cpu_threads",
            VALUES,
            "columns.{ra,dec}",
            "split.nside",
            "evaluation.{max_objects,seed,labels}",
            "evaluation.downstream.{given,max_labels,label_fractions,label_draws}",
            "predict.token_budget",
        ),
        code=code("evaluate_downstream"),
    script:
        "../scripts/evaluate_downstream.py"


rule evaluate_embeddings:
    """Embed held-out objects, and measure which properties nearest neighbours share."""
    input:
        **cubes(COMPARED, "sources", "scalars", "images", "labels"),
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
            "cpu_threads",
            VALUES,
            DRAWN,
            "evaluation.labels",
            "predict.{pooling,token_budget}",
        ),
        code=code("evaluate_embeddings"),
    script:
        "../scripts/evaluate_embeddings.py"


rule evaluate_section:
    """Evaluate a section of the report that an extension file registers."""
    input:
        **cubes(EVALUATED, *MODALITIES),
        **MODEL_FILES,
        splits=expand(PATHS.split(), field=EVALUATED),
        sequences=expand(PATHS.sequences(), field=EVALUATED),
    output:
        numbers=PATHS.evaluation(),
        figures=figures("{section}"),
    log:
        PATHS.log("evaluate_section", "{section}"),
    benchmark:
        PATHS.benchmark("evaluate_section", "{section}")
    conda:
        "../envs/gpu.yaml"
    threads: 8
    resources:
        gpu=1,
    params:
        fields=EVALUATED,
        trained_fields=TRAINED,
        settings=settings(
            "cpu_threads", "columns", "tokenizers", "evaluation", "predict"
        ),
        code=code("evaluate_section"),
    script:
        "../scripts/evaluate_section.py"
