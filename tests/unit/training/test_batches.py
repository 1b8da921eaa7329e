"""The processes that train together, and the objects, columns and weights of their steps.

Several processes are in test_processes.py.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from astromodal.config.schema import ModelSettings, SequenceSettings, TrainingSettings
from astromodal.config.training import MeaningfulLossSettings
from astromodal.core.vocab import MISSING_CODE
from astromodal.sequences.layout import SCALAR
from astromodal.training.batches import ALONE, ColumnRoles, Steps, process_group
from astromodal.training.budget import Budget
from astromodal.training.initialisation import new_model
from astromodal.training.losses import TypedLoss


def test_one_process_sums_to_what_it_puts_in():
    """Without a process group nothing is sent anywhere."""
    np.testing.assert_array_equal(ALONE.sum(np.array([1.0, 2.0])), [1.0, 2.0])
    assert ALONE.gather(torch.tensor([1, 2])).tolist() == [[1, 2]]
    assert ALONE.first
    ALONE.wait()


def test_a_group_of_one_is_told_its_place(monkeypatch, tmp_path):
    """Rank and size are the launcher's; without a GPU the processes compute on the CPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "1")
    with process_group(tmp_path / "meeting") as group:
        assert (group.rank, group.size, group.device.type) == (0, 1, "cpu")
    assert not torch.distributed.is_initialized()


SIZES = ModelSettings(d_model=16, n_layers=1, n_heads=2, d_ff=16)


@pytest.fixture
def make_steps(survey):
    """Make the steps of two epochs, and of as many that ask all labels."""

    def make(labels=(2,), label_epochs=1, **order):
        training = TrainingSettings(token_budget=300, epochs=2, label_epochs=label_epochs)
        layout, settings = survey.layout, MeaningfulLossSettings()
        model = new_model(SIZES, layout, layout.longest)
        loss = TypedLoss(layout, survey.tables, settings, ALONE.device)
        columns = ("a", "b", "c")
        counts = np.array([400, 100, 1])
        roles = ColumnRoles.of(columns, [columns[i] for i in labels], counts, settings)
        budget = Budget.of(model, SIZES)
        sequences = survey.sequences()
        order = SequenceSettings(**order)
        return Steps(sequences, loss, training, order, roles, ALONE, budget)

    return make


def columns_of(step):
    """The numbers of a step's objects, and their columns."""
    (batch,) = (prepared.batch for prepared in step.mine)
    return batch.objects, batch.columns


def test_weights_grow_with_rarity_by_hand():
    """The most frequent column weighs 1, one of a sixteenth 16^0.75, a rarer one ten at most."""
    roles = ColumnRoles.of(
        ("a", "b", "c", "d"), ("d",), np.array([1600, 100, 1, 0]), MeaningfulLossSettings()
    )
    np.testing.assert_allclose(roles.asked, [1, 8, 10, 10])
    assert roles.labels == (3,)


def test_in_the_last_passes_labels_weigh_most():
    """Other columns count an eighth there, asked or shown."""
    roles = ColumnRoles((1,), np.array([1.0, 8.0]), 0.5)
    before, last = roles.weights(False), roles.weights(True)
    np.testing.assert_array_equal([before.asked, before.shown], [[1, 8], [0.5, 0.5]])
    np.testing.assert_array_equal([last.asked, last.shown], [[1 / 8, 8], [1 / 16, 1 / 16]])


def test_the_last_passes_are_over_objects_with_a_label(make_steps, survey):
    """Each training object that knows the label, once, and every label is asked."""
    steps = make_steps()
    last = [step for step in steps.after(0) if step.epoch == 2]
    assert last[0].number == steps.labels_from
    objects = np.concatenate([columns_of(step)[0] for step in last])
    known = survey.codes[SCALAR].codes[:, 2] != MISSING_CODE
    wanted = np.flatnonzero(known & (survey.split == 0))
    np.testing.assert_array_equal(np.sort(objects), wanted)
    for step in last:
        assert columns_of(step)[1].asked[:, 2].all()


def test_without_labels_there_are_no_last_passes(make_steps):
    """No setting, no label among the columns: the epochs are all there is."""
    for steps in (make_steps(label_epochs=0), make_steps(labels=())):
        assert len(steps) == steps.labels_from


def test_a_rare_asked_column_has_its_weight_in_the_loss(make_steps):
    """The weights of a batch's targets are those of the column, asked or shown."""
    step = next(make_steps(hide_labels=0.5).after(0))
    (prepared,) = step.mine
    (mine,) = (each for each in prepared.targets if each.weights is not None)
    asked = mine.of.asked
    weights = mine.weights.numpy().reshape(asked.shape)
    assert asked[2].any()
    np.testing.assert_allclose(weights[2][asked[2]], 10)
    np.testing.assert_allclose(weights[~asked], 0.5)
