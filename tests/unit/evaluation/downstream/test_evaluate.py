"""The section on labels, for a toy model of random weights."""

import json

import pytest

from astromodal.config import load_config
from astromodal.errors import ConfigError, FormatError
from astromodal.evaluation.context import EvaluatedField, ModelContext
from astromodal.evaluation.downstream import baselines, networks
from astromodal.evaluation.downstream.evaluate import evaluate_downstream
from astromodal.evaluation.report.section import to_json
from astromodal.storage.json_files import read_json

LABELS = {"stellar": ["gaia_teff_gspphot"]}
TWO = {"given": ["scalar", "image"], "label_fractions": [0.3, 1.0], "label_draws": 2}
ONE = {"given": ["scalar"], "label_fractions": [1.0]}


@pytest.fixture(scope="module")
def evaluate(survey, tmp_path_factory):
    """Evaluate the survey with changed settings; figures are rendered, not written."""

    def render_only(figure, folder, name):
        figure.draw_without_rendering()
        return f"{name}.png"

    def run(labels=LABELS, downstream=TWO, fields=survey.fields, labelled=("T",), simulated=False):
        settings = load_config({"evaluation": {"labels": labels, "downstream": downstream}})
        folder = tmp_path_factory.mktemp("figures")
        context = ModelContext(fields, settings, folder, run=folder)
        vars(context)["model"] = survey.model  # in place of the model of the run
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("astromodal.evaluation.report.section.save_figure", render_only)
            patch.setattr(baselines, "ITERATIONS", 5)
            patch.setattr(networks, "TABM_EPOCHS", 2)
            return evaluate_downstream(context, ["H"], labelled, simulated)

    return run


@pytest.fixture(scope="module")
def section(evaluate):
    """The section with every label."""
    return evaluate()


def test_every_method_is_scored_on_the_same_objects(section):
    """There are seven methods from scalars; of images nothing was measured here."""
    tasks = section.numbers.targets["specz_z"]
    assert set(tasks["scalar"].methods) == {
        "model", "probe", "trees", "tabm", "neighbours", "network",
        "constant",
    }  # fmt: skip
    assert set(tasks["image"].methods) == {"model", "probe", "constant"}
    assert (tasks["scalar"].n_objects, tasks["image"].n_objects) == (40, 20)
    assert (tasks["scalar"].n_fit, tasks["scalar"].n_tune) == (60, 19)


def test_every_method_has_its_inputs_beside_its_scores(section):
    """The table of methods says what each of them sees."""
    numbers = section.numbers.targets["gaia_teff_gspphot"]["scalar"]
    assert set(numbers.inputs) == set(numbers.methods)
    seen = {row[6]: row[7] for row in section.figures[1].table.rows if row[2] == "scalar"}
    assert seen["trees"] == seen["TabM"] == "3 scalars"
    assert seen["probe"] == "embeddings of tokens of scalar"


def test_headlines_compare_with_trees_and_tabm(section):
    """Each has both paired differences, whatever is better."""
    notes = [h.note for h in section.headlines if h.label.startswith("specz_z")]
    assert "trees" in notes[0]
    assert "TabM" in notes[0]
    assert notes[0].count("paired difference") == 4


def test_labels_that_depend_on_scalars_are_learned_from_them(section):
    """Redshift is a function of a magnitude here: neighbours learn it, the constant does not."""
    methods = section.numbers.targets["specz_z"]["scalar"].methods
    assert methods["neighbours"]["r2"].value > 0.5 > methods["constant"]["r2"].value


def test_a_random_model_is_not_called_good(section):
    """Baselines that use the right scalar are better, and the verdict is not good."""
    verdicts = {h.label.split(":")[0]: h.verdict for h in section.headlines}
    assert verdicts["gaia_teff_gspphot"] != "good"


def test_every_figure_has_a_table(section):
    """It has a caption, a sentence on what to see, and as many cells as headings."""
    names = [figure.file for figure in section.figures]
    assert names == [
        "downstream_redshift.png", "downstream_temperature.png", "downstream_class.png",
        "truth.png", "classes.png", "labels.png", "magnitude.png", "redshift_bins.png",
        "groups.png", "calibration.png", "temperature.png",
    ]  # fmt: skip
    for figure in section.figures:
        assert figure.caption
        assert figure.see
        assert {len(row) for row in figure.table.rows} == {len(figure.table.columns)}


def test_the_model_predicts_no_class(section):
    """The class is text and no column of the model; a note says so."""
    assert "model" not in section.numbers.targets["specz_class_spec"]["scalar"].methods
    assert any("specz_class_spec is text and no column" in note for note in section.notes)


def test_published_numbers_stand_beside_ours(section):
    """A note compares them with those of the objects at r < 21."""
    assert any("0.023" in note and "mag_pstotal_r < 21" in note for note in section.notes)
    assert section.numbers.targets["specz_z"]["scalar"].bright.n < 40


def test_published_numbers_do_not_stand_beside_a_simulated_sky(evaluate):
    """Its redshifts are as hard as it was made."""
    section = evaluate({"kind": None, "stellar": []}, ONE, simulated=True)
    assert not any("0.023" in note for note in section.notes)


def test_labels_that_gaia_derived_have_a_caveat(section):
    """A note says what they were derived from."""
    assert any("gaia_teff_gspphot: Gaia derived" in note for note in section.notes)


def test_stars_among_the_labels_are_a_target_of_their_own(evaluate, survey):
    """Its objects are more, and baselines are fitted with stars; the plain target has none."""
    fields = survey.changed(kinds=("STAR", "GALAXY"))
    targets = evaluate({"stellar": []}, ONE, fields).numbers.targets
    plain, every = targets["specz_z"]["scalar"], targets["specz_z, stars included"]["scalar"]
    assert plain.n_objects < every.n_objects == 40
    assert plain.n_fit < every.n_fit == 60
    assert {part.name for part in every.by_class} == {"STAR", "GALAXY"}


def test_cells_with_training_objects_are_left_out(evaluate, survey):
    """A quarter of the held-out field, ten objects, lies on the training field."""
    fields = survey.changed(begin={"T": 0.0, "H": 35.0})
    section = evaluate({"kind": None, "stellar": []}, ONE, fields)
    assert section.numbers.targets["specz_z"]["scalar"].n_objects == 30
    assert any(note.startswith("10 objects of H are not scored") for note in section.notes)


def test_errors_are_over_cells(evaluate, survey):
    """The number of cells is beside the number of objects."""
    fields = survey.changed(begin={"T": 0.0, "H": 90.0})
    numbers = evaluate({"kind": None, "stellar": []}, ONE, fields).numbers.targets["specz_z"]
    assert 10 <= numbers["scalar"].n_clusters < numbers["scalar"].n_objects == 40


def test_the_section_is_saved(section, survey, tmp_path):
    """The file is plain JSON, with the hash of the model."""
    section.save(tmp_path / "downstream.json")
    saved = read_json(tmp_path / "downstream.json")
    json.dumps(saved, allow_nan=False)
    assert saved["hashes"] == {"transformer": survey.model.hash}
    assert saved["numbers"]["targets"]["specz_z"]["scalar"]["methods"]["model"]["r2"]["n"] == 40


def test_hidden_columns_are_given_to_no_method(survey, evaluate):
    """Another error of the redshift, and other codes of it, change no prediction."""
    labels = {"kind": None, "stellar": []}
    one = evaluate(labels, ONE)
    other = evaluate(labels, ONE, survey.changed(specz_e_z="specz_z"))
    assert to_json(one.numbers.targets) == to_json(other.numbers.targets)


def test_a_column_that_the_model_lacks_is_predicted_by_the_other_methods(evaluate):
    """A stellar parameter that is not among the scalars has probes and baselines alone."""
    labels = {"redshift": None, "kind": None, "stellar": ["extra_logg"], "magnitude": None}
    section = evaluate(labels, ONE)
    methods = section.numbers.targets["extra_logg"]["scalar"].methods
    assert set(methods) == {
        "probe", "trees", "tabm", "neighbours", "network", "constant",
    }  # fmt: skip
    assert any("extra_logg is not among the model's scalars" in note for note in section.notes)


def test_a_prediction_that_the_model_refuses_is_noted(evaluate, survey, monkeypatch):
    """Where a model was not trained to predict this, the note says why; probes are evaluated."""

    def refuse(*_):
        raise ConfigError("given must be before the target")

    monkeypatch.setattr(survey.model, "predict", refuse)
    section = evaluate({"kind": None, "stellar": []}, ONE)
    methods = section.numbers.targets["specz_z"]["scalar"].methods
    assert "model" not in methods
    assert "probe" in methods
    assert any("no prediction from scalar: given must be" in note for note in section.notes)


def test_nothing_to_evaluate_is_no_error(evaluate):
    """Without labels to fit to, there are notes and no figures."""
    section = evaluate(labelled=())
    assert section.numbers.targets == {}
    assert section.headlines == section.figures == []
    assert any("Too few labels" in note for note in section.notes)


def test_sequences_of_another_field_are_refused(evaluate, survey):
    """Ids of cube and sequences must be the same."""
    first, second = survey.fields
    swapped = EvaluatedField("T", True, {**first.files, "cube": second.files["cube"]})
    with pytest.raises(FormatError, match="must be those of the cube's rows"):
        evaluate(fields=[swapped, second])


def test_codes_of_an_earlier_cube_are_refused(survey, evaluate):
    """Labels are not predicted from the values of an earlier cube; the error has both hashes."""
    first, second = survey.fields
    newer = survey.changed(mag_pstotal_r="mag_pstotal_i")[1]
    files = {**second.files, "cube": newer.files["cube"]}
    hashes = r"of hash [0-9a-f]{16}, got [0-9a-f]{16}; run encode_scalars and pack_sequences again"
    with pytest.raises(FormatError, match=f"field H: codes of scalars must be those .* {hashes}"):
        evaluate(fields=[first, EvaluatedField("H", False, files)])
