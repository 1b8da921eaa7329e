# Tokenizers encode each field, and its codes become sequences.


rule encode_scalars:
    """Encode the scalars of one field's selected rows."""
    input:
        **cube("sources", "scalars"),
        split=PATHS.split(),
        tokenizer=TOKENIZERS["scalar_tokenizer"],
    output:
        tokens=PATHS.scalar_tokens(),
    log:
        PATHS.log("encode_scalars", "{field}"),
    benchmark:
        PATHS.benchmark("encode_scalars", "{field}")
    conda:
        "../envs/cpu.yaml"
    params:
        settings=settings(VALUES),
        code=code("encode_scalars"),
    script:
        "../scripts/encode_scalars.py"


rule encode_spectra:
    """Encode one field's spectra and light curves."""
    input:
        **cube("sources", "spectra"),
        tokenizer=TOKENIZERS["spectrum_tokenizer"],
    output:
        tokens=PATHS.spectrum_tokens(),
    log:
        PATHS.log("encode_spectra", "{field}"),
    benchmark:
        PATHS.benchmark("encode_spectra", "{field}")
    conda:
        "../envs/cpu.yaml"
    params:
        settings=settings(SPECTRA),
        code=code("encode_spectra"),
    script:
        "../scripts/encode_spectra.py"


rule encode_images:
    """Encode one field's image cutouts."""
    input:
        **cube("sources", "images"),
        autoencoder=TOKENIZERS["autoencoder"],
        codebook=TOKENIZERS["image_codebook"],
    output:
        tokens=PATHS.image_tokens(),
        latents=PATHS.image_latents(),
    log:
        PATHS.log("encode_images", "{field}"),
    benchmark:
        PATHS.benchmark("encode_images", "{field}")
    conda:
        "../envs/gpu.yaml"
    threads: 4
    resources:
        gpu=1,
    params:
        settings=settings("cpu_threads", "columns.id", "tokenizers.image.{bands,size}"),
        code=code("encode_images"),
    script:
        "../scripts/encode_images.py"


rule pack_sequences:
    """Pack one field's codes into memory-mapped sequences."""
    input:
        scalar_tokens=PATHS.scalar_tokens(),
        spectrum_tokens=PATHS.spectrum_tokens(),
        image_tokens=PATHS.image_tokens(),
        split=PATHS.split(),
    output:
        sequences=PATHS.sequences(),
    log:
        PATHS.log("pack_sequences", "{field}"),
    benchmark:
        PATHS.benchmark("pack_sequences", "{field}")
    conda:
        "../envs/cpu.yaml"
    params:
        settings=settings(*SEQUENCE_SETTINGS),
        code=code("pack_sequences"),
    script:
        "../scripts/pack_sequences.py"
