# Every field becomes codes, with the tokenizers that exist, and its codes become sequences.


rule encode_scalars:
    """Encode the scalars of one field's selected rows."""
    input:
        cube=CUBE,
        split=PATHS.split(),
        tokenizer=PATHS.scalar_tokenizer,
    output:
        tokens=PATHS.scalar_tokens(),
    log:
        PATHS.log("encode_scalars", "{field}"),
    conda:
        "../envs/cpu.yaml"
    params:
        *code("encode_scalars"),
        settings=settings("columns"),
    script:
        "../scripts/encode_scalars.py"


rule encode_spectra:
    """Encode one field's DESI and Gaia XP spectra, and its light curves."""
    input:
        cube=CUBE,
        tokenizer=PATHS.spectrum_tokenizer,
    output:
        tokens=PATHS.spectrum_tokens(),
    log:
        PATHS.log("encode_spectra", "{field}"),
    conda:
        "../envs/cpu.yaml"
    params:
        *code("encode_spectra"),
        settings=settings("columns", "tokenizers.spectrum"),
    script:
        "../scripts/encode_spectra.py"


rule encode_images:
    """Encode one field's image cutouts."""
    input:
        cube=CUBE,
        autoencoder=PATHS.autoencoder,
        codebook=PATHS.image_codebook,
    output:
        tokens=PATHS.image_tokens(),
        latents=PATHS.image_latents(),
    log:
        PATHS.log("encode_images", "{field}"),
    conda:
        "../envs/gpu.yaml"
    threads: 4
    resources:
        gpu=1,
    params:
        *code("encode_images"),
        settings=settings("columns", "tokenizers.image"),
    script:
        "../scripts/encode_images.py"


rule encode:
    """Encode every field."""
    input:
        expand(PATHS.scalar_tokens(), field=FIELDS.every),
        expand(PATHS.spectrum_tokens(), field=FIELDS.every),
        expand(PATHS.image_tokens(), field=FIELDS.every),
        expand(PATHS.image_latents(), field=FIELDS.every),
        expand(PATHS.sequences(), field=FIELDS.every),
        expand(PATHS.summary(), field=FIELDS.every),
