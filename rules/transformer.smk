# Codes become sequences; the transformer learns from the training fields' sequences.

SEQUENCE_SETTINGS = ("tokenizers.scalar", "tokenizers.spectrum", "tokenizers.image")


rule pack_sequences:
    """Join one field's tokens into memory-mapped sequences."""
    input:
        scalar_tokens=PATHS.scalar_tokens(),
        spectrum_tokens=PATHS.spectrum_tokens(),
        image_tokens=PATHS.image_tokens(),
        split=PATHS.split(),
    output:
        sequences=PATHS.sequences(),
    log:
        PATHS.log("pack_sequences", "{field}"),
    conda:
        "../envs/cpu.yaml"
    params:
        *code("pack_sequences"),
        settings=settings(*SEQUENCE_SETTINGS),
    script:
        "../scripts/pack_sequences.py"


rule build_vocabulary:
    """Write the vocabulary that the tokenizers share."""
    input:
        scalar_tokenizer=PATHS.scalar_tokenizer,
        spectrum_tokenizer=PATHS.spectrum_tokenizer,
        autoencoder=PATHS.autoencoder,
        image_codebook=PATHS.image_codebook,
    output:
        vocab_spec=PATHS.vocab_spec,
    log:
        PATHS.log("build_vocabulary"),
    conda:
        "../envs/cpu.yaml"
    params:
        *code("build_vocabulary"),
        settings=settings(*SEQUENCE_SETTINGS),
    script:
        "../scripts/build_vocabulary.py"


rule train_transformer:
    """Train the transformer; an interrupted run goes on from its last checkpoint."""
    input:
        sequences=expand(PATHS.sequences(), field=FIELDS.training),
        vocab_spec=PATHS.vocab_spec,
        scalar_tokenizer=PATHS.scalar_tokenizer,
        spectrum_tokenizer=PATHS.spectrum_tokenizer,
        autoencoder=PATHS.autoencoder,
        image_codebook=PATHS.image_codebook,
    output:
        config=PATHS.run_config,
        history=PATHS.history,
        final_model=PATHS.final_model,
    log:
        PATHS.log("train_transformer"),
    conda:
        "../envs/gpu.yaml"
    threads: 8 * CONFIG.training.gpus
    resources:
        **training_resources(),
    params:
        *code("train_transformer"),
        settings=settings("model", "sequences", "training", *SEQUENCE_SETTINGS),
    script:
        "../scripts/train_transformer.py"


rule train:
    """Train the transformer."""
    input:
        PATHS.final_model,
        PATHS.vocab_spec,
