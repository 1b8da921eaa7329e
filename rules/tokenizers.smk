# Tokenizers learn from the training split of the training fields.


rule train_scalar_tokenizer:
    """Cut every scalar column into bins of equal mass."""
    input:
        quantiles=expand(PATHS.quantiles(), field=FIELDS.tokenizers),
    output:
        tokenizer=PATHS.scalar_tokenizer,
    log:
        PATHS.log("train_scalar_tokenizer"),
    conda:
        "../envs/cpu.yaml"
    params:
        *code("train_scalar_tokenizer"),
        settings=settings("tokenizers.scalar"),
    script:
        "../scripts/train_scalar_tokenizer.py"


rule train_spectrum_codebook:
    """Cluster one spectrum group's features into a codebook."""
    input:
        samples=expand(PATHS.spectrum_samples(), field=FIELDS.tokenizers),
    output:
        codebook=PATHS.spectrum_codebook(),
        joblib=PATHS.spectrum_joblib(),
    log:
        PATHS.log("train_spectrum_codebook", "{group}"),
    conda:
        "../envs/cpu.yaml"
    threads: 4
    params:
        *code("train_spectrum_codebook"),
        settings=settings("tokenizers.spectrum"),
    script:
        "../scripts/train_spectrum_codebook.py"


rule assemble_spectrum_tokenizer:
    """Put the groups' codebooks and the bins of their scales into one tokenizer."""
    input:
        codebooks=expand(PATHS.spectrum_codebook(), group=GROUPS),
    output:
        tokenizer=PATHS.spectrum_tokenizer,
    log:
        PATHS.log("assemble_spectrum_tokenizer"),
    conda:
        "../envs/cpu.yaml"
    params:
        *code("assemble_spectrum_tokenizer"),
        settings=settings("tokenizers.spectrum", "tokenizers.scalar.n_bins"),
    script:
        "../scripts/assemble_spectrum_tokenizer.py"


rule train_image_normaliser:
    """Learn the arcsinh of each band of the cutouts."""
    input:
        sky=expand(PATHS.sky(), field=FIELDS.tokenizers),
    output:
        normaliser=PATHS.image_normaliser,
    log:
        PATHS.log("train_image_normaliser"),
    conda:
        "../envs/cpu.yaml"
    params:
        *code("train_image_normaliser"),
        settings=settings("tokenizers.image.bands"),
    script:
        "../scripts/train_image_normaliser.py"


rule train_image_autoencoder:
    """Train the autoencoder of image cutouts."""
    input:
        normaliser=PATHS.image_normaliser,
        pixels=expand(PATHS.cutout_pixels(), field=FIELDS.tokenizers),
        sources=expand(PATHS.cutout_sources(), field=FIELDS.tokenizers),
    output:
        autoencoder=PATHS.autoencoder,
        latents=PATHS.latents,
    log:
        PATHS.log("train_image_autoencoder"),
    conda:
        "../envs/gpu.yaml"
    threads: 8
    resources:
        gpu=1,
    params:
        *code("train_image_autoencoder"),
        settings=settings("tokenizers.image"),
    script:
        "../scripts/train_image_autoencoder.py"


rule train_image_codebook:
    """Cluster the autoencoder's latents into a codebook."""
    input:
        latents=PATHS.latents,
    output:
        codebook=PATHS.image_codebook,
        joblib=PATHS.image_codebook_joblib,
    log:
        PATHS.log("train_image_codebook"),
    conda:
        "../envs/cpu.yaml"
    threads: 4
    params:
        *code("train_image_codebook"),
        settings=settings("tokenizers.image"),
    script:
        "../scripts/train_image_codebook.py"


rule tokenizers:
    """Fit every tokenizer."""
    input:
        PATHS.scalar_tokenizer,
        PATHS.spectrum_tokenizer,
        PATHS.autoencoder,
        PATHS.image_codebook,
