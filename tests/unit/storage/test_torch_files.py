"""Files of torch.save, and models made of them."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from astromodal.errors import FormatError
from astromodal.storage.torch_files import filled, load_state

KIND = {"format": "transformer", "version": 3}


def test_a_state_is_read_back(tmp_path):
    """Tensors and plain values are read back."""
    torch.save({**KIND, "x": torch.arange(3.0), "y": [1, None]}, tmp_path / "a.pt")
    found = load_state(tmp_path / "a.pt", **KIND)
    assert (found["x"].tolist(), found["y"]) == ([0, 1, 2], [1, None])


def test_what_is_no_mapping_is_refused(tmp_path):
    """A tensor without a format is refused."""
    torch.save(torch.zeros(2), tmp_path / "a.pt")
    with pytest.raises(FormatError, match=r"a\.pt must be transformer version 3, got a file that"):
        load_state(tmp_path / "a.pt", **KIND)


def test_an_absent_state_is_absent(tmp_path):
    """Absence is not damage."""
    with pytest.raises(FileNotFoundError):
        load_state(tmp_path / "a.pt", **KIND)


def make(width: int = 2) -> nn.Module:
    return nn.Linear(width, 1)


def test_a_model_is_filled():
    """A model gets the given weights."""
    weights = make().state_dict()
    found = filled(make, 1, weights, "w", "go")
    assert all(torch.equal(value, weights[name]) for name, value in found.state_dict().items())


def test_a_model_is_loaded_without_sympy():
    """Shapes are compared without what the meta device imports it for, which takes 0.9 s."""
    lines = (
        "import sys",
        "from astromodal.models.transformer import CausalTransformerLM",
        "from astromodal.models.layers import ColumnIds",
        "from astromodal.storage.torch_files import filled",
        "make = lambda: CausalTransformerLM(60, 16, 1, 2, 32, 0, 24, columns=ColumnIds(20, 3, 10))",
        "filled(make, 1, make().state_dict(), 'w', 'go')",
        "assert 'sympy' not in sys.modules",
    )
    subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True)


@pytest.mark.parametrize(
    ("build", "n_layers", "message"),
    [
        (make, 3, "w must be of at least as many weights as layers, 3, got 2; go"),
        (
            lambda: make(10**15),
            1,
            r"shape of weight must be \(1, 10{15}\), .*got \(1, 2\); go",
        ),
        (lambda: nn.Linear(10**12, 10**12), 1, "w must be of a possible shape, got .*; go"),
        (lambda: nn.Linear(2, 1, bias=False), 1, r"shape of bias must be absent, .*got \(1,\); go"),
    ],
)
def test_a_model_of_another_shape(build, n_layers, message):
    """Weights of other shapes are refused before the model is built."""
    with pytest.raises(FormatError, match=message):
        filled(build, n_layers, make().state_dict(), "w", "go")


@pytest.mark.parametrize(
    ("content", "got"),
    [
        ({**KIND, "version": 2}, "transformer version 2"),
        ({**KIND, "format": "other"}, "other version 3"),
        ({"x": 1}, r"a file that cannot be read \(KeyError: 'format'\)"),
        ({**KIND, "x": make}, "a file of more than tensors and plain values"),
    ],
)
def test_whole_files_of_another_kind_are_not_to_be_deleted(tmp_path, content, got):
    """An intact file of another kind is not to be deleted."""
    torch.save(content, tmp_path / "a.pt")
    do = f"got {got}; use the astromodal that wrote it, or move it away and run train_transformer"
    with pytest.raises(FormatError, match=do):
        load_state(tmp_path / "a.pt", **KIND)


def test_a_file_whose_checksum_fails_may_go(tmp_path):
    """A file whose checksum fails is to be deleted."""
    torch.save({**KIND, "x": torch.arange(100.0)}, tmp_path / "a.pt")
    whole = bytearray((tmp_path / "a.pt").read_bytes())
    whole[whole.index(torch.tensor(77.0).numpy().tobytes())] ^= 1
    (tmp_path / "a.pt").write_bytes(whole)
    with pytest.raises(
        FormatError, match="Bad CRC-32.*; delete it and run train_transformer again"
    ):
        load_state(tmp_path / "a.pt", **KIND)


@pytest.mark.parametrize("content", [{**KIND, "version": 2}, None])
def test_what_to_do_may_be_said_by_who_reads(tmp_path, content):
    """The caller can give other advice."""
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(FormatError, match="; name another$"):
        load_state(tmp_path / "a.pt", **KIND, remedy="name another")
