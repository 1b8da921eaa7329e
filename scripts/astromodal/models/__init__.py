"""Neural networks, which import torch alone."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "CausalTransformerLM": "astromodal.models.transformer",
    "ImageAutoencoder": "astromodal.models.autoencoder",
}
__all__ = ["CausalTransformerLM", "ImageAutoencoder"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
