"""Using a trained model: encode, embed, predict and generate, and the files it is passed on as.

The model is imported on first use, so that what needs no torch does not load it.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["AstroModel"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("astromodal.inference.model"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
