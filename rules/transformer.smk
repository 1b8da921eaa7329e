# Training of the transformer, on the sequences of the training fields.


rule build_vocabulary:
    """Write the joint vocabulary of all tokenizers."""
    input:
        **TOKENIZERS,
    output:
        vocab_spec=PATHS.vocab_spec,
    log:
        PATHS.log("build_vocabulary"),
    benchmark:
        PATHS.benchmark("build_vocabulary")
    conda:
        "../envs/cpu.yaml"
    params:
        settings=settings(*SEQUENCE_SETTINGS),
        code=code("build_vocabulary"),
    script:
        "../scripts/build_vocabulary.py"


rule train_transformer:
    """Train the transformer; an interrupted run continues from its last checkpoint."""
    input:
        **TOKENIZERS,
        **start_of_training(),
        sequences=expand(PATHS.sequences(), field=FIELDS.training),
        vocab_spec=PATHS.vocab_spec,
    output:
        config=PATHS.run_config,
        history=PATHS.history,
        final_model=PATHS.final_model,
    log:
        PATHS.log("train_transformer"),
    benchmark:
        PATHS.benchmark("train_transformer")
    conda:
        "../envs/gpu.yaml"
    threads: 8 * CONFIG.training.gpus
    resources:
        **training_resources(CONFIG.training.gpus, CONFIG.training.nodes),
    params:
        settings=settings(*RUN_SETTINGS),
        code=code("train_transformer"),
    script:
        "../scripts/train_transformer.py"
