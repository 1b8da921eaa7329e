"""After a run, nothing is to be done; after a change, just what depends on it."""

import pytest

from astromodal.storage.json_files import read_json, write_json
from helpers.workflow import tiny

pytestmark = pytest.mark.workflow


def test_nothing_is_to_be_done_after_a_run(finished):
    """A second call of a finished workflow plans no job."""
    assert finished.planned() == {}


def test_fields_in_another_order_plan_nothing(finished):
    """Which field is listed first says nothing."""
    changed = tiny(finished.folder)
    fields = changed.config["simulate"]["fields"]
    changed.config["simulate"]["fields"] = dict(reversed(fields.items()))
    changed.config["tokenizers"]["fields"].reverse()
    assert changed.planned() == {}


def test_one_field_s_setting_plans_that_field(finished):
    """A held-out field of another size is made and encoded anew, then reported on."""
    changed = tiny(finished.folder)
    changed.config["simulate"]["fields"]["T-3"] = {"n_sources": 40}
    planned = changed.planned()
    per_field = {"simulate_field", "split_field", "summarize_field", "pack_sequences"}
    per_field |= {"encode_scalars", "encode_spectra", "encode_images"}
    assert {rule: planned.get(rule) for rule in per_field} == dict.fromkeys(per_field, 1)
    untouched = {"sample_scalars", "train_scalar_tokenizer", "train_image_autoencoder"}
    untouched |= {"prepare_cutouts", "train_image_normaliser"}
    assert not untouched & planned.keys()
    assert "train_transformer" not in planned


def test_a_new_field_plans_its_own_jobs(finished):
    """A field added later is encoded with the tokenizers that exist; nothing trains again."""
    changed = tiny(finished.folder)
    changed.config["simulate"]["fields"]["T-4"] = {}
    planned = changed.planned()
    assert planned["simulate_field"] == planned["encode_spectra"] == planned["pack_sequences"] == 1
    assert not {name for name in planned if name.startswith("train_")}


def test_a_setting_plans_the_jobs_that_read_it(finished):
    """Another number of epochs trains the transformer again, and no tokenizer."""
    changed = tiny(finished.folder)
    changed.config["training"]["epochs"] = 3
    planned = changed.planned()
    assert planned["train_transformer"] == 1
    assert not {"train_scalar_tokenizer", "encode_scalars", "pack_sequences"} & planned.keys()


def test_training_longer_prepares_no_cutout_again(finished):
    """Another number of epochs of the autoencoder trains on the shards that exist."""
    changed = tiny(finished.folder)
    changed.config["tokenizers"]["image"]["epochs"] = 3
    planned = changed.planned()
    assert planned["train_image_autoencoder"] == planned["train_image_codebook"] == 1
    assert not {"sample_images", "prepare_cutouts", "train_image_normaliser"} & planned.keys()


def test_the_dry_run_names_what_changed(finished):
    """A setting with both values, and a definition with the rules that use it."""
    record = finished.results / "last_run.json"
    before = record.read_text()
    values = read_json(record)
    function = "astromodal.tokenizers.scalars.tokenizer.encode_field_scalars"
    values["definitions"][function] = "old"
    write_json(record, values)
    changed = tiny(finished.folder)
    changed.config["training"]["epochs"] = 3
    try:
        text = changed.run("--dry-run").text
    finally:
        record.write_text(before)
    said = [line for line in text.splitlines() if line.startswith("changed since")]
    users = (
        "build_hats, embed_field, encode_scalars, evaluate_downstream, evaluate_embeddings, "
        "evaluate_finetuned, evaluate_reconstruction, evaluate_section, export_photoz, "
        "finetune_label, predict_field, predict_label"
    )
    assert said == [
        "changed since the last run: training.epochs: 2 became 3",
        f"changed since the last run: {function}, used by {users}",
    ]
