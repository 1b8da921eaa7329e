"""The whole section, on a toy model of random weights."""

import json

import numpy as np
import pytest

from astromodal.config.evaluate import DownstreamSettings, EvaluationSettings, LabelSettings
from astromodal.config.schema import ColumnSettings
from astromodal.data.splits import TEST, TRAIN
from astromodal.errors import ConfigError, FormatError
from astromodal.evaluation.downstream import baselines as ways
from astromodal.evaluation.downstream.evaluate import evaluate_downstream
from astromodal.evaluation.downstream.objects import FIT, SCORE, find_roles
from astromodal.evaluation.held_out import EvaluatedField
from astromodal.sequences.dataset import SequenceSet

LABELS = LabelSettings(stellar=("gaia_teff_gspphot",))
ASKED = DownstreamSettings(given=("scalar", "image"), label_fractions=(0.3, 1.0), label_draws=2)
SMALL = DownstreamSettings(given=("scalar",), label_fractions=(1.0,))


@pytest.fixture(scope="module")
def evaluate(survey, tmp_path_factory):
    """Evaluate the survey with changed settings; figures are drawn, not written."""

    def render_only(figure, folder, name):
        figure.draw_without_rendering()
        return f"{name}.png"

    def go(labels=LABELS, asked=ASKED, fields=survey.fields, labelled=("T",)):
        evaluation = EvaluationSettings(labels=labels, downstream=asked)
        folder = tmp_path_factory.mktemp("figures")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("astromodal.evaluation.report.section.save_figure", render_only)
            patch.setattr(ways, "ITERATIONS", 5)
            return evaluate_downstream(
                fields, ["H"], labelled, survey.model, evaluation, ColumnSettings(), folder
            )

    return go


@pytest.fixture(scope="module")
def section(evaluate):
    """The section with every label."""
    return evaluate()


def test_every_way_is_scored_on_the_same_objects(section):
    """From scalars all six ways, from images no rival that sees scalars."""
    cases = section["numbers"]["targets"]["specz_z"]
    assert set(cases["scalar"]["ways"]) == {
        "model", "probe_mean", "probe_attention", "trees", "neighbours", "constant",
    }  # fmt: skip
    assert set(cases["image"]["ways"]) == {"model", "probe_mean", "probe_attention", "constant"}
    assert (cases["scalar"]["n_objects"], cases["image"]["n_objects"]) == (40, 20)
    assert (cases["scalar"]["n_fit"], cases["scalar"]["n_tune"]) == (60, 19)


def test_labels_that_follow_scalars_are_learned_from_them(section):
    """Redshift is a function of a magnitude here: neighbours find it, the constant does not."""
    told = section["numbers"]["targets"]["specz_z"]["scalar"]["ways"]
    assert told["neighbours"]["r2"]["value"] > 0.5 > told["constant"]["r2"]["value"]


def test_a_random_model_is_not_called_good(section):
    """It loses against neighbours of what tells all, and the verdict says so."""
    verdicts = {h["label"].split(":")[0]: h["verdict"] for h in section["headlines"]}
    assert verdicts["gaia_teff_gspphot"] != "good"


def test_every_figure_has_a_table(section):
    """With a caption, a sentence on what to see, and as many cells as headings."""
    names = [figure["file"] for figure in section["figures"]]
    assert names == [
        "downstream_redshift.png", "downstream_stellar.png", "downstream_class.png", "truth.png",
        "classes.png", "magnitude.png", "labels.png", "calibration.png", "temperature.png",
    ]  # fmt: skip
    for figure in section["figures"]:
        assert figure["caption"]
        assert figure["see"]
        assert {len(row) for row in figure["table"]["rows"]} == {len(figure["table"]["columns"])}


def test_the_model_tells_no_class(section):
    """Text is no column of the model, which is said."""
    assert "model" not in section["numbers"]["targets"]["specz_class_spec"]["scalar"]["ways"]
    assert any("only probes tell it" in note for note in section["notes"])


def test_the_published_numbers_stand_beside_ours(section):
    """With the objects at r < 21 that ours are of."""
    assert any("0.023" in note and "mag_pstotal_r < 21" in note for note in section["notes"])
    assert section["numbers"]["targets"]["specz_z"]["scalar"]["bright"]["n"] < 40


def test_the_section_is_plain_json(section):
    """No array, no NaN."""
    json.dumps(section, allow_nan=False)


def test_hidden_columns_are_given_to_nothing(survey, evaluate):
    """Other values of what gives a redshift away, and their codes, change nothing that is told."""
    labels = LabelSettings(kind=None, stellar=())
    one = evaluate(labels, SMALL)
    other = evaluate(labels, SMALL, survey.changed(specz_e_z="specz_z"))
    assert one["numbers"]["targets"] == other["numbers"]["targets"]


def test_a_column_that_the_model_lacks_is_probed(evaluate):
    """A stellar parameter that is none of the scalars is told by probes and rivals alone."""
    labels = LabelSettings(redshift=None, kind=None, stellar=("extra_logg",), magnitude=None)
    section = evaluate(labels, SMALL)
    told = section["numbers"]["targets"]["extra_logg"]["scalar"]["ways"]
    assert set(told) == {"probe_mean", "probe_attention", "trees", "neighbours", "constant"}
    assert any("extra_logg is none of the model's scalars" in note for note in section["notes"])


def test_what_the_model_cannot_tell_is_noted(evaluate, survey, monkeypatch):
    """A model that never learned to tell this from that says so; the probes go on."""

    def refuse(*_):
        raise ConfigError("given must be before the target")

    monkeypatch.setattr(survey.model, "predict", refuse)
    section = evaluate(LabelSettings(kind=None, stellar=()), SMALL)
    told = section["numbers"]["targets"]["specz_z"]["scalar"]["ways"]
    assert "model" not in told
    assert "probe_mean" in told
    assert any("tells nothing from scalar: given must be" in note for note in section["notes"])


def test_a_field_may_be_both_taught_from_and_scored_on(survey):
    """Its test split is scored, the others teach and tune; one kept aside is scored whole."""
    sequences = SequenceSet(survey.sequences, survey.model.bundle.layout)
    every = sequences.split.copy()
    roles = find_roles(survey.fields, sequences, ["T", "H"], ["T"])
    assert set(roles[80:]) == {SCORE}
    assert np.array_equal(roles[:80] == FIT, every[:80] == TRAIN)
    assert np.array_equal(roles[:80] == SCORE, every[:80] == TEST)


def test_nothing_to_evaluate_is_no_crash(evaluate):
    """Without labels to learn from, notes and temperatures remain."""
    section = evaluate(labelled=())
    assert section["numbers"]["targets"] == {}
    assert section["headlines"] == section["figures"] == []
    assert any("Too few labels" in note for note in section["notes"])


def test_another_fields_sequences_are_refused(evaluate, survey):
    """Ids of cube and sequences must be the same."""
    first, second = survey.fields
    swapped = EvaluatedField("T", True, {**first.files, "cube": second.files["cube"]})
    with pytest.raises(FormatError, match="must be those of the cube's rows"):
        evaluate(fields=[swapped, second])


def test_codes_of_an_earlier_cube_are_refused(survey, evaluate):
    """Labels are not told from what a cube was before; both hashes are told."""
    first, second = survey.fields
    newer = survey.changed(mag_pstotal_r="mag_pstotal_i")[1]
    files = {**second.files, "cube": newer.files["cube"]}
    hashes = r"of hash [0-9a-f]{16}, got [0-9a-f]{16}; run encode_scalars and pack_sequences again"
    with pytest.raises(FormatError, match=f"field H: codes of scalars must be those .* {hashes}"):
        evaluate(fields=[first, EvaluatedField("H", False, files)])
