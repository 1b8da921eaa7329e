"""Which entry scripts the code of the package reaches: an edit redoes their jobs, and no others."""

import re
from functools import cache
from pathlib import Path

import pytest

from astromodal.reruns.digests import code_digests

SCRIPTS = Path(__file__).parents[2] / "scripts"
RULES = {path.stem for path in SCRIPTS.glob("*.py")}
MODULES = sorted(
    path
    for path in (SCRIPTS / "astromodal").rglob("*.py")
    if path.parent.name != "reruns"
    and path.stem != "extensions"  # runs in no job, and has these names to look for them
)
HIDDEN = re.compile(
    r"\b(import_module|__import__|__init_subclass__|__subclasses__|sys\.modules)\b"
    r"|(?<![\w.])(eval|exec|globals)\("
)
EVALUATIONS = {
    "evaluate_images", "evaluate_scalars", "evaluate_spectra", "evaluate_transformer",
    "evaluate_reconstruction", "evaluate_downstream", "evaluate_embeddings", "evaluate_ablation",
    "evaluate_section", "evaluate_finetuned", "compare_ablations", "render_report",
}  # fmt: skip
HOLD_ALL_TOKENIZERS = {
    "audit", "build_vocabulary", "evaluate_ablation", "export_model", "train_transformer",
}  # fmt: skip
USE_THE_MODEL = {
    "embed_field", "evaluate_section", "evaluate_reconstruction", "evaluate_downstream",
    "evaluate_embeddings", "predict_field", "finetune_label", "predict_label",
    "evaluate_finetuned", "build_hats", "export_photoz",
}  # fmt: skip


INDEX = {"train_index", "index_field", "assemble_index"}


@cache
def reached(rule: str) -> frozenset[str]:
    """What a rule's script reaches, without the package's name."""
    found = code_digests(SCRIPTS / f"{rule}.py", SCRIPTS)
    return frozenset(name.removeprefix("astromodal.") for name in found)


def reaching(*prefixes: str) -> set[str]:
    """Rules whose script reaches anything whose name starts with one of these."""
    return {rule for rule in RULES if any(name.startswith(prefixes) for name in reached(rule))}


@pytest.mark.parametrize(
    ("prefixes", "rules"),
    [
        (["simulate."], {"simulate_field"}),
        (["evaluation."], EVALUATIONS | {"build_atlas", "build_hats"}),
        (
            ["evaluation.report/templates", "evaluation.report.render."],
            {"compare_ablations", "render_report"},
        ),
        (
            [
                "tokenizers.quantizers.kmeans.KMeans",
                "tokenizers.quantizers.kmeans.choose_seeds",
            ],
            {"train_image_codebook", "train_spectrum_codebook", "train_index"},
        ),
        (
            ["tokenizers.quantizers.nearest."],
            HOLD_ALL_TOKENIZERS
            | USE_THE_MODEL
            | {"train_image_codebook", "train_spectrum_codebook", "assemble_spectrum_tokenizer"}
            | {"encode_images", "encode_spectra", "evaluate_images", "evaluate_spectra"}
            | {"build_atlas"}
            | INDEX,
        ),
        (
            ["tokenizers.spectra", "tokenizers.light_curves"],
            HOLD_ALL_TOKENIZERS
            | USE_THE_MODEL
            | {"sample_spectra", "train_spectrum_codebook", "assemble_spectrum_tokenizer"}
            | {"encode_spectra", "evaluate_spectra", "build_atlas"},
        ),
        (
            ["tokenizers.images"],
            HOLD_ALL_TOKENIZERS
            | USE_THE_MODEL
            | {"sample_images", "prepare_cutouts", "train_image_normaliser"}
            | {"train_image_autoencoder", "train_image_codebook", "encode_images"}
            | {"evaluate_images"},
        ),
        (
            ["tokenizers.scalars.tokenizer.ScalarTokens"],
            {"encode_scalars", "evaluate_scalars", *USE_THE_MODEL},
        ),
        (["tokenizers.images.train.train_autoencoder"], {"train_image_autoencoder"}),
        (["training.trainer.", "training.launch.", "training.run."], {"train_transformer"}),
        (["sequences.store.pack_field"], {"pack_sequences", *USE_THE_MODEL}),
        (
            ["models.transformer."],
            {"train_transformer", "evaluate_transformer", "evaluate_ablation", "export_model"}
            | {"audit"}
            | USE_THE_MODEL,
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_code_reaches_the_jobs_that_use_it(prefixes, rules):
    """Exactly these rules' jobs are redone where such code is edited."""
    assert all(reaching(prefix) for prefix in prefixes)
    assert reaching(*prefixes) == rules


def test_every_job_reaches_its_start():
    """All scripts read their settings and log in the same way."""
    assert reaching("jobs.entry.start") == RULES


def test_no_script_reaches_everything():
    """Nothing in the package makes the digests give up and count a module whole with all others."""
    every = frozenset().union(*map(reached, RULES))
    assert max(len(reached(rule)) for rule in RULES) < len(every) / 2


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SCRIPTS)))
def test_code_is_called_by_names_that_can_be_read(path):
    """No definition is found by a computed name; modules only in a package's lazy exports."""
    found = {match.group() for match in HIDDEN.finditer(path.read_text())}
    lazy = path.stem == "__init__" and found and "def __getattr__" in path.read_text()
    assert found == ({"import_module"} if lazy else set())
