"""Checkpoints."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from astromodal.errors import FormatError
from astromodal.training.checkpoint import (
    differences,
    find_resumable,
    finish,
    load_model,
    point_to,
    prune,
    save_model,
)

STATE = {"model_state_dict": {"w": torch.arange(3.0)}, "step": 7, "config": {"a": [1, None, "x"]}}


def test_what_is_saved_is_read_back(tmp_path):
    """Tensors, numbers and text survive, and plain torch.load takes the file."""
    save_model(tmp_path / "m.pt", STATE)
    found = load_model(tmp_path / "m.pt")
    assert torch.equal(found["model_state_dict"]["w"], torch.arange(3.0))
    assert (found["step"], found["config"]) == (7, {"a": [1, None, "x"]})
    assert torch.load(tmp_path / "m.pt")["step"] == 7


def test_code_in_a_checkpoint_is_not_run(tmp_path):
    """A pickle that would call a function is refused."""
    torch.save({"format": "transformer", "version": 1, "f": print}, tmp_path / "m.pt")
    with pytest.raises(FormatError, match=r"m.pt must be transformer version 1, got a file that"):
        load_model(tmp_path / "m.pt")


@pytest.mark.parametrize("content", [b"", b"text"])
def test_damaged_files_are_refused(tmp_path, content):
    """A file cut short is named."""
    (tmp_path / "m.pt").write_bytes(content)
    with pytest.raises(FormatError, match=r"m.pt must be transformer version 1.*delete it"):
        load_model(tmp_path / "m.pt")


def test_files_of_another_version_are_refused(tmp_path):
    """A later version is not guessed at."""
    torch.save({"format": "transformer", "version": 99}, tmp_path / "m.pt")
    with pytest.raises(FormatError, match="got transformer version 99"):
        load_model(tmp_path / "m.pt")


def test_a_run_goes_on_from_its_own_checkpoint(tmp_path):
    """The same identity finds the checkpoint; once finished there is none to go on from."""
    path = tmp_path / "checkpoint_step_7.pt"
    save_model(path, STATE)
    point_to(path, {"config": {"lr": 1.0}})
    assert find_resumable(tmp_path, {"config": {"lr": 1.0}}) == (path, [])
    finish(tmp_path)
    assert find_resumable(tmp_path, {"config": {"lr": 1.0}}) == (None, [])


def test_a_run_of_other_settings_is_named(tmp_path):
    """Another identity gets no checkpoint, and hears what differs."""
    path = tmp_path / "checkpoint_step_7.pt"
    save_model(path, STATE)
    point_to(path, {"config": {"lr": 1.0, "epochs": 2}})
    found = find_resumable(tmp_path, {"config": {"lr": 1.0, "epochs": 3}, "vocab": "x"})
    assert found == (None, ["config.epochs", "vocab"])


def test_a_pointer_to_a_deleted_checkpoint_starts_anew(tmp_path):
    """A checkpoint that a user deleted is not an error."""
    point_to(tmp_path / "checkpoint_step_7.pt", {})
    assert find_resumable(tmp_path, {}) == (None, [])


def test_the_last_checkpoints_are_kept(tmp_path):
    """Pruning goes by the step, not by the text of the name; other files stay."""
    for step in (9, 10, 100, 2):
        (tmp_path / f"checkpoint_step_{step}.pt").touch()
    (tmp_path / "final_model.pt").touch()
    prune(tmp_path, 2)
    kept = sorted(p.name for p in tmp_path.iterdir())
    assert kept == ["checkpoint_step_10.pt", "checkpoint_step_100.pt", "final_model.pt"]


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
