"""Losses of bands that stay, worked out by hand."""

import numpy as np
import pytest

from astromodal.evaluation.images.limits import hidden_numbers, hidden_table, plot_hidden_bands
from astromodal.evaluation.images.missing import HiddenBands

BANDS = ("G", "R", "Z")


def _sample():
    """Two cutouts of three bands, each band of variance 10 and residual 1, passes 1 1 1 2.

    A hidden band leaves 5 unexplained, and adds 1 to each band that stays.
    """
    single = np.eye(3, dtype=bool)
    hidden = np.broadcast_to(np.concatenate([single, [[True, True, False]]]), (2, 4, 3)).copy()
    residual = np.where(hidden, 5.0, 2.0)
    shape = (2, 3)
    return HiddenBands(
        np.array([1, 1, 1, 2]), hidden, residual, np.ones(shape), np.full(shape, 10.0),
        np.ones(shape),
    )  # fmt: skip


def test_losses_by_hand():
    """One more of ten is lost in bands that stay: 0.1; the hidden one falls from 0.9 to 0.5."""
    numbers = hidden_numbers(_sample(), BANDS, np.ones(3), 0)
    assert numbers["n_objects"] == 2
    for k in ("1", "2"):
        assert numbers["by_number"][k]["loss"]["value"] == pytest.approx(0.1)
        assert numbers["by_number"][k]["loss_object"]["value"] == pytest.approx(0.1)
    band = numbers["by_band"]["R"]
    assert band["seen"]["value"] == pytest.approx(0.9)
    assert band["guessed"]["value"] == pytest.approx(0.5)


def test_weights_count():
    """With weights 3, 1 and 0, R missing, only G stays: its own loss of 0.4 is the whole loss."""
    sample = _sample()
    sample.residual[:, 1, 0] = 5.0  # G without R
    numbers = hidden_numbers(sample, BANDS, np.array([3.0, 1.0, 0.0]), 0)
    assert numbers["by_band"]["R"]["loss"]["value"] == pytest.approx(0.4)


def test_cutout_that_hides_nothing_does_not_count():
    """A cutout without a second band is no cutout that keeps everything."""
    sample = _sample()
    sample.hidden[1] = False
    sample.residual[1] = np.nan
    numbers = hidden_numbers(sample, BANDS, np.ones(3), 0)
    assert numbers["by_number"]["1"]["n"] == 1
    assert numbers["by_number"]["1"]["loss"]["value"] == pytest.approx(0.1)


def test_table_has_a_row_a_number_and_a_band():
    """Two numbers of missing bands and three bands."""
    numbers = hidden_numbers(_sample(), BANDS, np.ones(3), 0)
    rows = hidden_table(numbers, BANDS)["rows"]
    assert [row[0] for row in rows] == ["1 band", "2 bands", "G", "R", "Z"]
    plot_hidden_bands(numbers, BANDS).draw_without_rendering()
