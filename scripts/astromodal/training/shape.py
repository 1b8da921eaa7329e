"""A transformer of the shape that settings tell."""

from __future__ import annotations

from astromodal.config.schema import ModelSettings
from astromodal.models.transformer import CausalTransformerLM
from astromodal.training.layout import SequenceLayout


def new_model(
    model: ModelSettings, layout: SequenceLayout, max_seq_len: int
) -> CausalTransformerLM:
    """A model with random weights, for sequences of a layout."""
    return CausalTransformerLM(
        vocab_size=layout.spec.vocab_size,
        d_model=model.d_model,
        n_layers=model.n_layers,
        n_heads=model.n_heads,
        d_ff=model.d_ff,
        dropout=model.dropout,
        max_seq_len=max_seq_len,
    )
