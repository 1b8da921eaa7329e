"""Labels of one's own: the model is fine-tuned to each, predicts it everywhere, and is judged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from astromodal.core.paths import Layout
from astromodal.inference.model import AstroModel
from astromodal.storage.json_files import read_json

pytestmark = pytest.mark.workflow

SEEN = "T-3"
"""The field that labels are predicted in; the others train."""


@pytest.fixture(scope="module")
def paths(tuned) -> Layout:
    """Its files."""
    return Layout(str(tuned.results))


def test_a_field_is_predicted(paths):
    """With probabilities of classes, and statistics of numbers in their unit."""
    kinds = pq.read_table(paths.finetuned_predictions("kind", SEEN))
    shares = [n for n in kinds.column_names if n.startswith("kind_p_")]
    assert {"kind_p_GALAXY", "kind_p_STAR"} <= set(shares)
    total = sum(kinds[name].to_numpy().astype(float) for name in shares)
    np.testing.assert_allclose(total, 1, rtol=1e-5)
    light = pq.read_table(paths.finetuned_predictions("brightness", SEEN))
    assert light.schema.field("brightness_mean").metadata[b"unit"] == b"mag"
    assert (light["brightness_p16"].to_numpy() < light["brightness_p84"].to_numpy()).all()
    assert kinds["id"].to_pylist() == light["id"].to_pylist()


def test_the_folder_is_a_model(paths):
    """It predicts what the file of a field says, from the sequences of that field."""
    model = AstroModel.from_run(paths.finetuned("kind"))
    found = model.predict(paths.sequences(SEEN), "kind")["kind"]
    table = pq.read_table(paths.finetuned_predictions("kind", SEEN))
    assert table["kind"].to_pylist() == found.likeliest.tolist()
    assert not Path(paths.finetuning("kind")).exists()


def test_the_section_compares_them_with_baselines(paths):
    """On objects that nothing was trained on, with the same labels."""
    section = read_json(paths.evaluation("finetuned"))
    numbers = section["numbers"]["labels"]["brightness"]["scalar"]
    assert {"model", "trees", "network", "probe", "constant"} <= set(numbers["methods"])
    assert {"model of kind", "model of brightness"} == set(section["hashes"])


def test_a_changed_table_redoes_its_label_alone(tuned, paths):
    """The model of the other label, and all before it, stay."""
    table = pq.read_table(tuned.folder / "labels.parquet")
    pq.write_table(table.slice(1), tuned.folder / "labels.parquet")
    planned = tuned.planned("finetune")
    assert planned == {
        "finetune_label": 1, "predict_label": 1, "evaluate_finetuned": 1, "finetune": 1
    }  # fmt: skip


def test_without_labels_there_is_nothing_to_fine_tune_to(finished):
    """One error says what to write."""
    done = finished.call("finetune", "--dry-run")
    assert done.returncode
    assert "finetune.labels must be labels of your own, such as" in done.text
