"""Checkpoints."""

from __future__ import annotations

import logging

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from astromodal.errors import FormatError
from astromodal.training.checkpoint import (
    differences,
    finish,
    load_model,
    open_folder,
    prune,
    save_model,
    step_of,
)

LOGGER = logging.getLogger("test")
STATE = {"model_state_dict": {"w": torch.arange(3.0)}, "step": 7, "config": {"a": [1, None, "x"]}}


def test_what_is_saved_is_read_back(tmp_path):
    """Tensors, numbers and text survive, and plain torch.load takes the file."""
    save_model(tmp_path / "m.pt", STATE)
    found = load_model(tmp_path / "m.pt")
    assert torch.equal(found["model_state_dict"]["w"], torch.arange(3.0))
    assert (found["step"], found["config"]) == (7, {"a": [1, None, "x"]})
    assert torch.load(tmp_path / "m.pt")["step"] == 7


def test_the_same_state_gives_the_same_bytes(tmp_path):
    """Nothing of the moment, such as the name of a temporary file, is in a checkpoint."""
    for name in ("a.pt", "b.pt"):
        save_model(tmp_path / name, STATE)
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()


def test_code_in_a_checkpoint_is_not_run(tmp_path):
    """A pickle that would call a function is refused."""
    torch.save({"format": "transformer", "version": 1, "f": print}, tmp_path / "m.pt")
    with pytest.raises(
        FormatError, match=r"m.pt must be transformer version 6, got a file of more"
    ):
        load_model(tmp_path / "m.pt")


@pytest.mark.parametrize("content", [b"", b"text"])
def test_damaged_files_are_refused(tmp_path, content):
    """A file cut short is named."""
    (tmp_path / "m.pt").write_bytes(content)
    with pytest.raises(FormatError, match=r"m.pt must be transformer version 6.*delete it"):
        load_model(tmp_path / "m.pt")


def test_files_of_another_version_are_refused(tmp_path):
    """A later version is not guessed at."""
    torch.save({"format": "transformer", "version": 99}, tmp_path / "m.pt")
    with pytest.raises(FormatError, match="got transformer version 99"):
        load_model(tmp_path / "m.pt")


A, B = {"config": {"lr": 1.0, "epochs": 2}}, {"config": {"lr": 1.0, "epochs": 3}, "vocab": "x"}


def steps_in(folder):
    """Steps of a folder's checkpoints."""
    return sorted(step_of(path) for path in folder.glob("checkpoint_step_*.pt"))


@pytest.fixture
def folder(tmp_path):
    """The folder of a run of identity A with two checkpoints."""
    open_folder(tmp_path, A, LOGGER)
    for step in (9, 10):
        (tmp_path / f"checkpoint_step_{step}.pt").write_text("A")
    return tmp_path


def test_a_run_goes_on_from_its_own_last_checkpoint(folder):
    """The same identity finds the last by step, not by the text of the name."""
    assert open_folder(folder, A, LOGGER) == folder / "checkpoint_step_10.pt"


def test_a_new_run_has_none(tmp_path):
    """There is nothing to go on from in an empty folder."""
    assert open_folder(tmp_path, A, LOGGER) is None


def test_a_deleted_checkpoint_leaves_the_one_before(folder):
    """A last checkpoint that a user deleted, since it was damaged say, is no loss of the rest."""
    (folder / "checkpoint_step_10.pt").unlink()
    assert open_folder(folder, A, LOGGER) == folder / "checkpoint_step_9.pt"


def test_a_run_of_other_settings_is_set_aside_by_name(folder, caplog):
    """Another identity gets no checkpoint, and hears what differs and where the others are."""
    assert open_folder(folder, B, LOGGER) is None
    assert "with another config.epochs, vocab are kept in" in caplog.text
    (aside,) = (folder / "set_aside").iterdir()
    assert steps_in(aside) == [9, 10]
    assert steps_in(folder) == []


def test_two_runs_take_turns(folder):
    """Each identity goes on from its own checkpoints however often they change over."""
    open_folder(folder, B, LOGGER)
    (folder / "checkpoint_step_4.pt").write_text("B")
    assert open_folder(folder, A, LOGGER).read_text() == "A"
    assert steps_in(folder) == [9, 10]
    assert open_folder(folder, B, LOGGER).read_text() == "B"
    assert steps_in(folder) == [4]


def test_a_finished_run_is_set_aside_for_good(folder):
    """A repeated run of its settings begins anew, also after another run."""
    finish(folder)
    assert open_folder(folder, A, LOGGER) is None
    assert open_folder(folder, B, LOGGER) is None
    assert open_folder(folder, A, LOGGER) is None


def test_a_run_that_the_same_code_finished_is_gone_on_from(folder):
    """It has nothing left to do; so is one to which the settings come back after another run."""
    finish(folder, "code 1")
    assert open_folder(folder, A, LOGGER, "code 1").name == "checkpoint_step_10.pt"
    finish(folder, "code 1")
    assert open_folder(folder, B, LOGGER, "code 1") is None
    assert open_folder(folder, A, LOGGER, "code 1").name == "checkpoint_step_10.pt"


def test_a_run_that_other_code_finished_is_not(folder):
    """Trained by other code, the same settings begin anew, also after another run."""
    finish(folder, "code 1")
    assert open_folder(folder, B, LOGGER, "code 2") is None
    assert open_folder(folder, A, LOGGER, "code 2") is None


def test_checkpoints_of_no_known_run_are_set_aside(tmp_path, caplog):
    """Without the file that says what they are of, nothing is gone on from and nothing is lost."""
    (tmp_path / "checkpoint_step_3.pt").touch()
    assert open_folder(tmp_path, A, LOGGER) is None
    assert "with another identity are kept in" in caplog.text


def test_a_take_up_that_was_cut_short_is_completed(folder):
    """Killed while checkpoints were moved back, the next start moves the others."""
    open_folder(folder, B, LOGGER)
    (aside,) = (folder / "set_aside").iterdir()
    open_folder(folder, A, LOGGER)
    aside.mkdir()
    (folder / "checkpoint_step_10.pt").rename(aside / "checkpoint_step_10.pt")
    assert open_folder(folder, A, LOGGER) == folder / "checkpoint_step_10.pt"


def test_the_last_checkpoints_are_kept(tmp_path):
    """Pruning goes by the step, not by the text of the name; other files stay."""
    for step in (9, 10, 100, 2):
        (tmp_path / f"checkpoint_step_{step}.pt").touch()
    (tmp_path / "final_model.pt").touch()
    prune(tmp_path, 2, None)
    kept = sorted(p.name for p in tmp_path.iterdir())
    assert kept == ["checkpoint_step_10.pt", "checkpoint_step_100.pt", "final_model.pt"]


def test_the_best_checkpoint_is_kept(tmp_path):
    """However old it is."""
    for step in (9, 10, 100, 2):
        (tmp_path / f"checkpoint_step_{step}.pt").touch()
    prune(tmp_path, 1, 9)
    assert steps_in(tmp_path) == [9, 100]


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(plain)
def test_nothing_differs_from_itself(values):
    """Any nest of plain values equals itself."""
    assert differences(values, values) == []


def test_tuples_and_lists_are_alike():
    """JSON knows no tuples: they do not make a difference."""
    assert differences({"a": (1, 2)}, {"a": [1, 2]}) == []
