"""astromodal: astronomical datacubes into tokens, and a transformer trained on them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "AstroModel":  # on first use: it needs torch
        return getattr(import_module("astromodal.inference.model"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
