"""Figures of the calibration where the model predicts only some combinations of modalities."""

import numpy as np
import pytest

from astromodal.evaluation.downstream.calibration import calibrate
from astromodal.evaluation.downstream.calibration_figures import add_calibration_figures
from astromodal.evaluation.downstream.predictions import Predictions
from astromodal.evaluation.downstream.tasks import Target, Task
from astromodal.evaluation.report.section import Section
from astromodal.inference.predict_scalars import ScalarPrediction

TRUTH = np.linspace(0.01, 0.99, 20)
EDGES = np.linspace(0, 1, 11)


@pytest.fixture
def section(tmp_path):
    """A section without figures."""
    return Section("downstream", "Labels", tmp_path)


def _predictions(name, given, calibrated):
    """Predictions of a target, with or without distributions of the model."""
    objects = np.arange(len(TRUTH))
    task = Task(Target(name, "stellar"), given, TRUTH, objects, objects, objects)
    if not calibrated:
        return Predictions(task)
    uniform = ScalarPrediction(
        name, "", objects.astype(str), np.full((len(TRUTH), 10), 0.1),
        (EDGES[:-1] + EDGES[1:]) / 2, EDGES, np.ones(len(TRUTH), np.int32),
    )  # fmt: skip
    return Predictions(task, calibration=calibrate(uniform, TRUTH, TRUTH, 0))


def test_without_a_distribution_from_the_most_modalities_there_is_no_figure(section):
    """A model of a fixed block order predicts from scalars, but not from spectra after them."""
    predictions = [_predictions("a", "scalar", True), _predictions("a", "scalar+spectrum", False)]
    add_calibration_figures(section, predictions, {})
    assert section.figures == []


def test_the_table_has_every_combination_with_a_distribution(section):
    """Targets without one from the most modalities are in the table, but not in the figure."""
    predictions = [
        _predictions("a", "scalar", True), _predictions("a", "scalar+spectrum", False),
        _predictions("b", "scalar", True),
    ]  # fmt: skip
    add_calibration_figures(section, predictions, {})
    (figure,) = section.figures
    assert [row[0] for row in figure.table.rows] == ["a", "b"]
