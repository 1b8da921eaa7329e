from astromodal.core.paths import ExportLayout, Layout


def test_the_promised_names():
    """The outputs that users are promised lie where the README says."""
    paths = Layout("results", 2048)
    assert paths.scalar_tokenizer == "results/scalar_tokenizers/scalar_tokenizer_config.npz"
    assert (
        paths.spectrum_joblib("desi_b")
        == "results/spectrum_tokenizers/spectrum_kmeans_desi_b.joblib"
    )
    assert paths.spectrum_tokenizer == "results/spectrum_tokenizers/spectrum_tokenizer_config.npz"
    assert paths.autoencoder == "results/codecs/autoencoder_splus_cuts.pt"
    assert paths.image_codebook_joblib == "results/codecs/codebook_kmeans_2048.joblib"
    assert paths.scalar_tokens("F") == "results/outputs/scalar_tokens/datacube_F_scalar_tokens.npz"
    assert (
        paths.spectrum_tokens("F")
        == "results/outputs/spectrum_tokens/datacube_F_spectrum_tokens.npz"
    )
    assert paths.image_tokens("F") == "results/outputs/image_tokens/datacube_F_tokens.npz"
    assert paths.image_latents("F") == "results/outputs/image_latents/datacube_F_latents.npz"
    assert paths.vocab_spec == "results/runs_tokens_transformer/vocab_spec.json"
    assert paths.final_model == "results/runs_tokens_transformer/final_model.pt"
    assert paths.checkpoint(7) == "results/runs_tokens_transformer/checkpoint_step_7.pt"


def test_without_a_field_a_path_is_a_pattern():
    """Rules use the same methods, with the wildcard in the field's place."""
    assert Layout("r").sequences() == "r/outputs/sequences/datacube_{field}_sequences.safetensors"
    assert Layout("r/").log("encode_scalars", "{field}") == "r/logs/encode_scalars/{field}.log"
    assert Layout("r").log("train_transformer") == "r/logs/train_transformer/train_transformer.log"


def test_a_jobs_record_lies_beside_its_log():
    """Time and memory of a job are in a file with the name of its log."""
    assert Layout("r/").benchmark("encode_scalars", "{field}") == (
        "r/benchmarks/encode_scalars/{field}.tsv"
    )
    assert Layout("r").benchmark("render_report") == "r/benchmarks/render_report/render_report.tsv"


def test_a_model_that_is_passed_on_is_one_folder():
    """Every file of an export lies directly in its folder."""
    paths = vars(ExportLayout(Layout("results").export + "/"))
    assert {path.rpartition("/")[0] for path in paths.values()} == {"results/model"}
    assert paths["weights"] == "results/model/model.safetensors"


def test_each_training_of_a_variant_has_a_folder():
    """Checkpoints of two trainings would be mixed up in one."""
    files = Layout("r").ablation("no_x", 4)
    assert files["final_model"] == "r/ablations/no_x/seed_4/final_model.pt"
    assert Layout("r").ablation_losses("no_x", 4) == "r/ablations/no_x/seed_4/losses.npz"
    assert Layout("r").ablation()["history"] == "r/ablations/{variant}/seed_{seed}/history.jsonl"
