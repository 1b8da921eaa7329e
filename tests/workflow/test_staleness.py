"""After a run, nothing is to be done; after a change, just what depends on it."""

import json
import os
import re
import time
from base64 import urlsafe_b64encode

import pytest

from astromodal.core.paths import Layout
from helpers.workflow import tiny

pytestmark = pytest.mark.workflow


def test_nothing_is_to_be_done_after_a_run(finished):
    """A second call of a finished workflow plans no job."""
    assert finished.planned() == {}


def test_one_field_s_setting_plans_that_field(finished):
    """A held-out field of another size is made and encoded anew, then reported on."""
    changed = tiny(finished.folder)
    changed.config["simulate"]["fields"]["T-3"] = {"n_sources": 40}
    planned = changed.planned()
    per_field = {"simulate_field", "summarize_field", "pack_sequences"}
    per_field |= {"encode_scalars", "encode_spectra", "encode_images"}
    assert {rule: planned.get(rule) for rule in per_field} == dict.fromkeys(per_field, 1)
    untouched = {"sample_field", "train_scalar_tokenizer", "train_image_autoencoder"}
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
    assert not {"sample_field", "prepare_cutouts", "train_image_normaliser"} & planned.keys()


def test_one_field_s_cube_plans_that_field(finished):
    """A held-out field's newer cube is encoded and reported on anew; nothing trains again."""
    cube = finished.results / "cubes/datacube_T-3.parquet"
    before = cube.stat()
    os.utime(cube, (time.time() + 60,) * 2)
    try:
        planned = finished.planned()
    finally:
        os.utime(cube, ns=(before.st_atime_ns, before.st_mtime_ns))
    per_field = ("summarize_field", "encode_scalars", "encode_spectra", "encode_images")
    assert [planned.get(rule) for rule in per_field] == [1, 1, 1, 1]
    assert not {name for name in planned if name.startswith(("train_", "sample_", "prepare_"))}


def test_the_dry_run_names_the_function_that_changed(finished):
    """A job whose code had another digest is planned, for that function and for nothing else."""
    function = "astromodal.tokenizers.scalar_tokens.encode_field_scalars"
    output = Layout("results").scalar_tokens("T-3")
    record = finished.folder / ".snakemake/metadata" / urlsafe_b64encode(output.encode()).decode()
    before = record.read_text()
    values = json.loads(before)
    values["params"] = [re.sub(rf"({function}) \w+", r"\1 old", p) for p in values["params"]]
    record.write_text(json.dumps(values))
    try:
        text = finished.run("--dry-run").text
    finally:
        record.write_text(before)
    (reason,) = [line for line in text.splitlines() if "Params have changed" in line]
    assert re.search(f"before: '{function} old' now: '{function} [0-9a-f]{{12}}' *$", reason)
