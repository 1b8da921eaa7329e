"""Use of a trained model: encode, embed, predict, generate and export.

`AstroModel` is imported on first use: the Snakefile imports other modules without loading torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["AstroModel"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("astromodal.inference.model"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
