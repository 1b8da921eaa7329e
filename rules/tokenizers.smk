# Training of the tokenizers, on the training split of the training fields.


rule train_scalar_tokenizer:
    """Fit bins with equal counts to every scalar column."""
    input:
        quantiles=expand(PATHS.quantiles(), field=FIELDS.tokenizers),
    output:
        tokenizer=PATHS.scalar_tokenizer,
    log:
        PATHS.log("train_scalar_tokenizer"),
    benchmark:
        PATHS.benchmark("train_scalar_tokenizer")
    conda:
        "../envs/cpu.yaml"
    params:
        settings=settings("tokenizers.scalar"),
        code=code("train_scalar_tokenizer"),
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
    benchmark:
        PATHS.benchmark("train_spectrum_codebook", "{group}")
    conda:
        "../envs/cpu.yaml"
    threads: 4
    params:
        settings=settings(
            "tokenizers.spectrum.{codebook_size,quantizer,iterations,seed}"
        ),
        code=code("train_spectrum_codebook"),
    script:
        "../scripts/train_spectrum_codebook.py"


rule assemble_spectrum_tokenizer:
    """Join the groups' codebooks and the bins of their scales into one tokenizer."""
    input:
        codebooks=expand(PATHS.spectrum_codebook(), group=GROUPS),
    output:
        tokenizer=PATHS.spectrum_tokenizer,
    log:
        PATHS.log("assemble_spectrum_tokenizer"),
    benchmark:
        PATHS.benchmark("assemble_spectrum_tokenizer")
    conda:
        "../envs/cpu.yaml"
    params:
        settings=settings(
            "tokenizers.scalar.n_bins",
            "tokenizers.spectrum.{groups,codebook_size,max_spec_tokens_per_group,xp_samples,max_epochs}",
        ),
        code=code("assemble_spectrum_tokenizer"),
    script:
        "../scripts/assemble_spectrum_tokenizer.py"


rule train_image_normaliser:
    """Fit the arcsinh scale of each band of the image cutouts."""
    input:
        sky=expand(PATHS.sky(), field=FIELDS.tokenizers),
    output:
        normaliser=PATHS.image_normaliser,
    log:
        PATHS.log("train_image_normaliser"),
    benchmark:
        PATHS.benchmark("train_image_normaliser")
    conda:
        "../envs/cpu.yaml"
    params:
        settings=settings("tokenizers.image.bands"),
        code=code("train_image_normaliser"),
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
    benchmark:
        PATHS.benchmark("train_image_autoencoder")
    conda:
        "../envs/gpu.yaml"
    threads: 8
    resources:
        gpu=1,
        mem_mb=lambda wildcards, attempt: 32000 * attempt,
        runtime=lambda wildcards, attempt: 720 * attempt,
    params:
        settings=settings(
            "cpu_threads",
            "tokenizers.image.{bands,size,latent_dim,hidden,blocks,epochs,batch_size,learning_rate,band_dropout,seed}",
        ),
        code=code("train_image_autoencoder"),
    script:
        "../scripts/train_image_autoencoder.py"


rule train_image_codebook:
    """Cluster the autoencoder's latents into a codebook, and fit the bins of brightness."""
    input:
        latents=PATHS.latents,
    output:
        codebook=PATHS.image_codebook,
        joblib=PATHS.image_codebook_joblib,
    log:
        PATHS.log("train_image_codebook"),
    benchmark:
        PATHS.benchmark("train_image_codebook")
    conda:
        "../envs/cpu.yaml"
    threads: 4
    params:
        settings=settings(
            "tokenizers.scalar.n_bins",
            "tokenizers.image.{bands,codebook_size,quantizer,iterations,seed}",
        ),
        code=code("train_image_codebook"),
    script:
        "../scripts/train_image_codebook.py"
