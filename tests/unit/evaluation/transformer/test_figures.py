"""Figures of the slots; the history of a training, with its figure and table."""

import numpy as np
import pytest

from astromodal.errors import FormatError
from astromodal.evaluation.report.section import Section
from astromodal.evaluation.report.style import styled
from astromodal.evaluation.transformer.figures import (
    add_figures,
    history_table,
    plot_history,
    ring_means,
    running_mean,
)
from astromodal.evaluation.transformer.measures import SlotNumbers, TransformerNumbers
from astromodal.training.history import (
    history_line,
    median_value,
    read_history,
    series,
    untrained_value,
    value_at,
)

LN2 = np.log(2)
ENTRIES = [
    {"step": 1, "split": "train", "cross_entropy_image": 4 * LN2, "tokens_per_second": 10.0},
    {"step": 2, "split": "train", "cross_entropy_image": 3 * LN2, "tokens_per_second": None},
    {"step": 2, "split": "validation", "cross_entropy_image": 3 * LN2, "unigram_image": 5 * LN2},
    {"step": 3, "split": "validation", "cross_entropy_image": 2 * LN2, "unigram_image": 5 * LN2},
    {"step": 4, "split": "validation", "cross_entropy_image": 6 * LN2, "unigram_image": 5 * LN2},
]


@pytest.fixture
def history(tmp_path):
    """A short history."""
    path = tmp_path / "history.jsonl"
    path.write_text("".join(map(history_line, ENTRIES)))
    return read_history(path)


def test_entries_are_sorted_by_split(history):
    """Training and validation entries keep their order."""
    assert [e["step"] for e in history["train"]] == [1, 2]
    assert [e["step"] for e in history["validation"]] == [2, 3, 4]


def test_table_by_hand(history):
    """First, best and last validation, the baseline and the last training loss, in bits."""
    row = history_table(history).rows[0]
    assert row[:2] == ["image", 3]
    assert row[2:] == pytest.approx([3, 2, 3, 6, 5, 3])


def test_modality_without_entries_has_an_empty_row(history):
    """A modality that no entry names has no numbers."""
    assert history_table(history).rows[1] == ["scalar", 0, None, None, None, None, None, None]


def test_missing_values_are_skipped(history):
    """A null is no value: of two speeds one is known."""
    assert median_value(history["train"], "tokens_per_second") == 10.0
    assert series(history["train"], "tokens_per_second")[0].tolist() == [1]


def test_value_at_a_step(history):
    """That of the step, or the last before it; NaN before the first and of an unknown key."""
    validation = history["validation"]
    assert value_at(validation, "cross_entropy_image", 3) == pytest.approx(2 * LN2)
    assert value_at(validation, "cross_entropy_image", 9) == pytest.approx(6 * LN2)
    assert np.isnan(value_at(validation, "cross_entropy_image", 1))
    assert np.isnan(value_at(validation, "no_such_key", 9))


def test_curves_are_plotted_without_any_entry():
    """An empty history gives empty panels, not an error."""
    with styled():
        figure = plot_history({"train": [], "validation": []})
    assert len(figure.axes) == 3
    assert np.isnan(median_value([], "tokens_per_second"))


@pytest.mark.parametrize(
    "line", ["{", history_line({"step": 1}), history_line({"split": "other"}), "3", "\0", "é"]
)
def test_damaged_line_is_named(tmp_path, line):
    """A line that is no entry is refused with its number."""
    path = tmp_path / "history.jsonl"
    path.write_text(history_line(ENTRIES[0]) + line, encoding="latin-1")
    with pytest.raises(FormatError, match="line 2 must be an entry of a history"):
        read_history(path)


def test_the_untrained_value_is_that_of_step_zero():
    """A history that starts later does not pass its first value for an untrained model's."""
    assert untrained_value([{"step": 0, "a": 2.0}, {"step": 9, "a": 1.0}], "a") == 2.0
    assert np.isnan(untrained_value([{"step": 9, "a": 1.0}], "a"))


def test_slots_without_a_code_are_not_plotted(tmp_path, toy):
    """There is neither an empty map with a colour bar nor an empty curve."""
    section = Section("transformer", "Transformer", tmp_path)
    empty = SlotNumbers(np.zeros(4, int), np.full(4, np.nan))
    slots = dict.fromkeys(("image", "desi_r"), empty)
    numbers = TransformerNumbers(1, 1, 1, 1, np.nan, np.nan, np.nan, slots=slots)
    add_figures(section, numbers, toy.config, toy.layout, {"train": [], "validation": []})
    assert [f.file for f in section.figures] == ["history.png"]


def test_running_mean_by_hand():
    """Four values in stretches of two; what is not finite does not count."""
    x, y = running_mean(np.arange(4.0), np.array([1.0, 3.0, np.nan, 5.0]), width=2)
    assert (x.tolist(), y.tolist()) == ([0.5, 2.5], [2.0, 5.0])


def test_ring_means_by_hand():
    """On a 2 × 2 grid all slots lie within two patches of the middle."""
    assert ring_means(np.array([1.0, 2, 3, 6])) == [["0 to 2", 4, 3.0]]
