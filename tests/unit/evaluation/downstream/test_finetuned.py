"""The section on fine-tuned models, for toy models."""

from __future__ import annotations

import json

import pytest

from astromodal.config import load_config
from astromodal.config.training import FinetuneSettings, LabelSource
from astromodal.core.paths import ExportLayout
from astromodal.evaluation.context import EvaluationContext
from astromodal.evaluation.downstream import baselines, networks
from astromodal.evaluation.downstream.finetuned import evaluate_finetuned
from astromodal.evaluation.report.section import to_json
from astromodal.inference.finetuned import LabelledField, finetune_fields, read_labels
from astromodal.storage.json_files import read_json

LABELS = {
    "kind": {"column": "specz_class_spec"},
    "gravity": {"column": "extra_logg", "unit": "dex"},
}
FEW = FinetuneSettings(head_epochs=2, epochs=0)


class Recorded:
    """Records what is logged."""

    def __init__(self):
        self.lines = []

    def info(self, text, *values):
        self.lines.append(text % values)


def tune(survey, name, folder):
    """Fine-tune the toy model to a label of the training field; what was logged."""
    settings, field = load_config({"finetune": {"labels": LABELS}}), survey.fields[0]
    files = LabelledField(field.name, field.files["cube"], field.files["sequences"])
    source, logger = LabelSource(**LABELS[name]), Recorded()
    read = read_labels(survey.model.bundle, [files], name, source, settings.columns)
    finetune_fields(survey.model.bundle, *read, FEW, logger, folder, folder / "checkpoint.pt")
    return logger.lines


@pytest.fixture(scope="module")
def models(survey, tmp_path_factory):
    """Folders of two fine-tuned models, and what was logged."""
    root = tmp_path_factory.mktemp("models")
    folders = {name: root / name for name in LABELS}
    for folder in folders.values():
        folder.mkdir()
    logged = {name: tune(survey, name, folder) for name, folder in folders.items()}
    return folders, logged


@pytest.fixture(scope="module")
def section(survey, models, tmp_path_factory):
    """The section; figures are rendered, not written."""

    def render_only(figure, folder, name):
        figure.draw_without_rendering()
        return f"{name}.png"

    downstream = {"given": ["scalar", "image"], "label_fractions": [1.0]}
    settings = {"evaluation": {"downstream": downstream}, "finetune": {"labels": LABELS}}
    context = EvaluationContext(
        survey.fields, load_config(settings), tmp_path_factory.mktemp("figures")
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("astromodal.evaluation.report.section.save_figure", render_only)
        patch.setattr(baselines, "ITERATIONS", 5)
        patch.setattr(networks, "TABM_EPOCHS", 2)
        return evaluate_finetuned(context, models[0], ["H"], ["T"])


def test_the_test_split_is_never_fitted_to(models):
    """Of eighty objects one is of the test split; a quarter of the others decides when to stop."""
    assert models[1]["kind"][0] == (
        "fine-tunes to kind: 60 labels to fit to, 19 to tune by, GALAXY, QSO"
    )


def test_nothing_but_the_model_is_left_in_its_folder(models):
    """The checkpoint is deleted once the folder is whole."""
    paths = ExportLayout(str(models[0]["kind"]))
    names = {path.name for path in models[0]["kind"].iterdir()}
    wanted = {path.rpartition("/")[2] for path in (*vars(paths).values(), paths.label)}
    assert names == wanted


@pytest.mark.parametrize("label", LABELS)
def test_models_are_scored_beside_all_methods(section, label):
    """From scalars and from images, on the objects of the held-out field."""
    tasks = section.numbers.labels[label]
    scalar, image = tasks["scalar"], tasks["image"]
    assert {"model", "probe", "trees", "tabm", "network", "constant"} <= set(scalar.methods)
    assert {"model", "constant"} <= set(image.methods)
    assert "trees" not in image.methods
    assert (scalar.n_fit, scalar.n_tune, scalar.n_objects) == (60, 19, 40)


def test_classes_are_those_of_the_model(section):
    """Named in the confusion of each method."""
    numbers = section.numbers.labels["kind"]["scalar"]
    assert numbers.classes == ("GALAXY", "QSO")
    assert numbers.confusion["model"].sum() == 40


def test_numbers_have_their_unit_and_calibration(section):
    """In headlines and in the coverage of intervals."""
    units = {h.label.split(":")[0]: h.measurement.unit for h in section.headlines}
    assert units == {"kind": "", "gravity": "dex"}
    assert section.numbers.labels["gravity"]["scalar"].calibration.coverage["0.68"].n == 40


def test_the_section_is_saved_whole(section, tmp_path):
    """Its numbers are plain JSON, and it names the models that it judges."""
    section.folder = tmp_path / "figures"
    section.save(tmp_path / "finetuned.json")
    stored = read_json(tmp_path / "finetuned.json")
    assert json.dumps(to_json(section.numbers)) == json.dumps(stored["numbers"])
    assert set(stored["hashes"]) == {"model of kind", "model of gravity"}
