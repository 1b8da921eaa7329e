"""The training loss and the training of the transformer.

The reconstruction losses are imported on first use, so that code without torch does not load it.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = [
    "image_reconstruction_loss",
    "scalar_reconstruction_loss",
    "spectrum_reconstruction_loss",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("astromodal.training.terms"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
