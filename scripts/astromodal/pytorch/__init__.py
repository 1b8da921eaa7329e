"""Sequences and cubes as datasets of PyTorch, and models as ONNX files, for networks of your own.

Names are imported on first use: the Snakefile imports other modules without loading torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "CubeDataset": "astromodal.pytorch.cubes",
    "CubeStream": "astromodal.pytorch.cubes",
    "SequenceDataset": "astromodal.pytorch.sequences",
    "SequenceStream": "astromodal.pytorch.sequences",
    "collate_cubes": "astromodal.pytorch.cubes",
    "collate_sequences": "astromodal.pytorch.sequences",
    "write_onnx": "astromodal.pytorch.onnx_files",
}
__all__ = [
    "CubeDataset",
    "CubeStream",
    "SequenceDataset",
    "SequenceStream",
    "collate_cubes",
    "collate_sequences",
    "write_onnx",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
