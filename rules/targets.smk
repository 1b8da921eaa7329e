# Targets to type after `snakemake`, whose option -l lists them with all rules.

from astromodal.sources.plan import indexed_sources


localrules:
    all,
    cubes,
    index_sources,
    tokenizers,
    encode,
    train,
    evaluate_tokenizers,
    report,
    ablations,
    embed,
    predict,
    export,
    index,
    atlas,
    hats,
    photoz,
    finetune,


rule cubes:
    """Build, or simulate, the cube of every field."""
    input:
        cube_files(FIELDS.every),


rule index_sources:
    """Index the raw files of every source in jobs; plans index what is left."""
    input:
        expand(PATHS.source_files(), source=indexed_sources(CONFIG)),


rule tokenizers:
    """Fit every tokenizer."""
    input:
        list(PATHS.tokenizers.values()),


rule encode:
    """Encode every field."""
    input:
        expand(PATHS.scalar_tokens(), field=FIELDS.every),
        expand(PATHS.spectrum_tokens(), field=FIELDS.every),
        expand(PATHS.image_tokens(), field=FIELDS.every),
        expand(PATHS.image_latents(), field=FIELDS.every),
        expand(PATHS.sequences(), field=FIELDS.every),
        expand(PATHS.summary(), field=FIELDS.every),


rule train:
    """Train the transformer."""
    input:
        PATHS.final_model,
        PATHS.vocab_spec,


rule evaluate_tokenizers:
    """Evaluate every tokenizer: numbers, tables and figures of scalars, spectra and images."""
    input:
        expand(PATHS.evaluation(), section=("scalars", "spectra", "images")),


rule report:
    """Evaluate the tokenizers and the transformer, and write the report."""
    input:
        PATHS.report,


rule ablations:
    """Train variants of the transformer, and compare their losses."""
    input:
        rules.compare_ablations.output.page,


rule embed:
    """Embed every field."""
    input:
        expand(PATHS.embeddings(), field=FIELDS.every),


rule predict:
    """Predict scalars of every field."""
    input:
        every_prediction,


rule export:
    """Export the trained model."""
    input:
        EXPORT.weights,


rule index:
    """Index the embeddings of every field, to find similar objects."""
    input:
        PATHS.similarity_index,


rule atlas:
    """Make the page to explore the survey."""
    input:
        PATHS.atlas,


rule hats:
    """Write the survey's objects as a HATS catalogue."""
    input:
        PATHS.hats,


rule photoz:
    """Write redshift distributions and catalogues of every field."""
    input:
        every_photoz,


rule finetune:
    """Fine-tune the model to labels of your own; predict and evaluate them."""
    input:
        lambda _: expand(
            PATHS.finetuned_predictions(),
            label=request.require_labels(CONFIG),
            field=FIELDS.every,
        ),
        PATHS.evaluation("finetuned"),
