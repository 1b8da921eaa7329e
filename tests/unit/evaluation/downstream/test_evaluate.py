"""The whole section, on a toy model of random weights."""

import numpy as np
import pytest

from astromodal.config import load_config
from astromodal.data.splits import TEST, TRAIN
from astromodal.errors import ConfigError, FormatError
from astromodal.evaluation.context import ModelContext
from astromodal.evaluation.downstream import baselines as methods
from astromodal.evaluation.downstream.evaluate import evaluate_downstream
from astromodal.evaluation.downstream.objects import FIT, SCORE, find_roles
from astromodal.evaluation.held_out import EvaluatedField
from astromodal.evaluation.report.values import to_json
from astromodal.sequences.dataset import SequenceSet
from astromodal.storage.json_files import read_json

LABELS = {"stellar": ["gaia_teff_gspphot"]}
BOTH = {"given": ["scalar", "image"], "label_fractions": [0.3, 1.0], "label_draws": 2}
SMALL = {"given": ["scalar"], "label_fractions": [1.0]}


@pytest.fixture(scope="module")
def evaluate(survey, tmp_path_factory):
    """Evaluate the survey with changed settings; figures are rendered, not written."""

    def render_only(figure, folder, name):
        figure.draw_without_rendering()
        return f"{name}.png"

    def go(labels=LABELS, downstream=BOTH, fields=survey.fields, labelled=("T",)):
        config = load_config({"evaluation": {"labels": labels, "downstream": downstream}})
        folder = tmp_path_factory.mktemp("figures")
        context = ModelContext(fields, config, folder, run=folder)
        vars(context)["model"] = survey.model  # in place of the model of the run
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("astromodal.evaluation.report.section.save_figure", render_only)
            patch.setattr(methods, "ITERATIONS", 5)
            return evaluate_downstream(context, ["H"], labelled)

    return go


@pytest.fixture(scope="module")
def section(evaluate):
    """The section with every label."""
    return evaluate()


def test_every_method_is_scored_on_the_same_objects(section):
    """From scalars all six methods, from images no baseline on scalars."""
    tasks = section.numbers.targets["specz_z"]
    assert set(tasks["scalar"].methods) == {
        "model", "probe_mean", "probe_attention", "trees", "neighbours", "constant",
    }  # fmt: skip
    assert set(tasks["image"].methods) == {"model", "probe_mean", "probe_attention", "constant"}
    assert (tasks["scalar"].n_objects, tasks["image"].n_objects) == (40, 20)
    assert (tasks["scalar"].n_fit, tasks["scalar"].n_tune) == (60, 19)


def test_labels_that_follow_scalars_are_learned_from_them(section):
    """Redshift is a function of a magnitude here: neighbours find it, the constant does not."""
    predicted = section.numbers.targets["specz_z"]["scalar"].methods
    assert predicted["neighbours"]["r2"].value > 0.5 > predicted["constant"]["r2"].value


def test_a_random_model_is_not_called_good(section):
    """It loses against a baseline that has all the information, and the verdict is not good."""
    verdicts = {h.label.split(":")[0]: h.verdict for h in section.headlines}
    assert verdicts["gaia_teff_gspphot"] != "good"


def test_every_figure_has_a_table(section):
    """With a caption, a sentence on what to see, and as many cells as headings."""
    names = [figure.file for figure in section.figures]
    assert names == [
        "downstream_redshift.png", "downstream_stellar.png", "downstream_class.png", "truth.png",
        "classes.png", "magnitude.png", "labels.png", "calibration.png", "temperature.png",
    ]  # fmt: skip
    for figure in section.figures:
        assert figure.caption
        assert figure.see
        assert {len(row) for row in figure.table.rows} == {len(figure.table.columns)}


def test_the_model_predicts_no_class(section):
    """Text is no column of the model; a note says so."""
    assert "model" not in section.numbers.targets["specz_class_spec"]["scalar"].methods
    assert any("only probes predict it" in note for note in section.notes)


def test_the_published_numbers_stand_beside_ours(section):
    """With the objects at r < 21 that ours are of."""
    assert any("0.023" in note and "mag_pstotal_r < 21" in note for note in section.notes)
    assert section.numbers.targets["specz_z"]["scalar"].bright.n < 40


def test_the_section_is_written_as_json(section, tmp_path):
    """Its file has the numbers of every target, and null for NaN."""
    section.save(tmp_path / "downstream.json")
    targets = read_json(tmp_path / "downstream.json")["numbers"]["targets"]
    assert set(targets) == {"specz_z", "gaia_teff_gspphot", "specz_class_spec"}
    assert targets["specz_class_spec"]["scalar"]["classes"] == ["GALAXY", "QSO"]


def test_hidden_columns_are_given_to_nothing(survey, evaluate):
    """Other values of a column that reveals the redshift change no prediction."""
    labels = {"kind": None, "stellar": []}
    one = evaluate(labels, SMALL)
    other = evaluate(labels, SMALL, survey.changed(specz_e_z="specz_z"))
    assert to_json(one.numbers.targets) == to_json(other.numbers.targets)


def test_a_column_that_the_model_lacks_is_probed(evaluate):
    """A label that is no scalar of the model is predicted by probes and baselines alone."""
    labels = {"redshift": None, "kind": None, "stellar": ["extra_logg"], "magnitude": None}
    section = evaluate(labels, SMALL)
    predicted = section.numbers.targets["extra_logg"]["scalar"].methods
    assert set(predicted) == {"probe_mean", "probe_attention", "trees", "neighbours", "constant"}
    assert any("extra_logg is not a scalar of the model" in note for note in section.notes)


def test_what_the_model_cannot_predict_is_noted(evaluate, survey, monkeypatch):
    """A model that cannot predict a target from these modalities is noted; probes go on."""

    def refuse(*_):
        raise ConfigError("given must be before the target")

    monkeypatch.setattr(survey.model, "predict", refuse)
    section = evaluate({"kind": None, "stellar": []}, SMALL)
    predicted = section.numbers.targets["specz_z"]["scalar"].methods
    assert "model" not in predicted
    assert "probe_mean" in predicted
    assert any("predicts nothing from scalar: given must be" in note for note in section.notes)


def test_a_field_may_have_labels_and_be_scored(survey):
    """Its test split is scored, its other splits have labels; a held-out field is scored whole."""
    sequences = SequenceSet(survey.sequences, survey.model.bundle.layout)
    every = sequences.split.copy()
    roles = find_roles(survey.fields, sequences, ["T", "H"], ["T"])
    assert set(roles[80:]) == {SCORE}
    assert np.array_equal(roles[:80] == FIT, every[:80] == TRAIN)
    assert np.array_equal(roles[:80] == SCORE, every[:80] == TEST)


def test_nothing_to_evaluate_is_no_crash(evaluate):
    """Without labels to fit on, notes and temperatures remain."""
    section = evaluate(labelled=())
    assert section.numbers.targets == {}
    assert section.headlines == section.figures == []
    assert any("Too few labels" in note for note in section.notes)


def test_another_fields_sequences_are_refused(evaluate, survey):
    """Ids of cube and sequences must be the same."""
    first, second = survey.fields
    swapped = EvaluatedField("T", True, {**first.files, "cube": second.files["cube"]})
    with pytest.raises(FormatError, match="must be those of the cube's rows"):
        evaluate(fields=[swapped, second])


def test_codes_of_an_earlier_cube_are_refused(survey, evaluate):
    """Labels are not predicted from an earlier cube; the error has both hashes."""
    first, second = survey.fields
    newer = survey.changed(mag_pstotal_r="mag_pstotal_i")[1]
    files = {**second.files, "cube": newer.files["cube"]}
    hashes = r"of hash [0-9a-f]{16}, got [0-9a-f]{16}; run encode_scalars and pack_sequences again"
    with pytest.raises(FormatError, match=f"field H: codes of scalars must be those .* {hashes}"):
        evaluate(fields=[first, EvaluatedField("H", False, files)])
