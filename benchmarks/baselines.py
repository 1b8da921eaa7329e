"""Transformers of other libraries, on padded batches, which ours is compared with.

Legend: B batch, T tokens of the longest sequence, V vocabulary.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from astromodal.config.schema import ModelSettings
from astromodal.core.vocab import PAD
from astromodal.sequences.dataset import Batch, SequenceSet

IGNORED = -100
BATCH_SIZE = 8


class EncoderLM(nn.Module):
    """``nn.TransformerEncoder`` in its usual form: post-norm, boolean masks, a linear head."""

    def __init__(self, vocab_size: int, model: ModelSettings, longest: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, model.d_model)
        self.types = nn.Embedding(16, model.d_model)
        self.positions = nn.Embedding(longest, model.d_model)
        layer = nn.TransformerEncoderLayer(
            model.d_model, model.n_heads, model.d_ff, model.dropout, "gelu", batch_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, model.n_layers)
        self.head = nn.Linear(model.d_model, vocab_size)

    def forward(self, ids: torch.Tensor, types: torch.Tensor) -> torch.Tensor:
        """Return the mean cross-entropy of the next ids of a padded batch, int64 (B, T)."""
        length = ids.shape[1]
        place = torch.arange(length, device=ids.device)
        x = self.embedding(ids) + self.types(types) + self.positions(place)
        later = torch.ones(length, length, dtype=torch.bool, device=ids.device).triu(1)
        states = self.encoder(x, mask=later, src_key_padding_mask=ids == PAD)
        logits = self.head(states)[:, :-1]  # (B, T - 1, V)
        targets = ids[:, 1:].masked_fill(ids[:, 1:] == PAD, IGNORED)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED)


class GPT2(nn.Module):
    """Hugging Face's GPT-2 of the same size, with its own loss."""

    def __init__(self, vocab_size: int, model: ModelSettings, longest: int) -> None:
        super().__init__()
        from transformers import GPT2Config, GPT2LMHeadModel

        dropouts = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), model.dropout)
        config = GPT2Config(
            vocab_size=vocab_size,
            n_positions=longest,
            n_embd=model.d_model,
            n_layer=model.n_layers,
            n_head=model.n_heads,
            n_inner=model.d_ff,
            use_cache=False,
            bos_token_id=1,
            eos_token_id=2,
            **dropouts,
        )
        self.model = GPT2LMHeadModel(config)

    def forward(self, ids: torch.Tensor, types: torch.Tensor) -> torch.Tensor:
        """Return the mean cross-entropy of the next ids of a padded batch; types are ignored."""
        real = ids != PAD
        labels = ids.masked_fill(~real, IGNORED)
        out: torch.Tensor = self.model(input_ids=ids, attention_mask=real, labels=labels).loss
        return out


def padded(
    sequences: SequenceSet, objects: np.ndarray, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return token ids and types of objects, int64 (B, T) each, padded to the longest."""
    rows = [sequences.batch(objects[i : i + 1]) for i in range(len(objects))]
    longest = max(len(row.tokens) for row in rows)

    def stacked(name: str) -> torch.Tensor:
        out = np.full((len(rows), longest), PAD, dtype=np.int64)
        for i, row in enumerate(rows):
            out[i, : len(row.tokens)] = _array(row, name)
        return torch.from_numpy(out).to(device)

    return stacked("tokens"), stacked("types")


def _array(batch: Batch, name: str) -> np.ndarray:
    return np.asarray(getattr(batch, name))
