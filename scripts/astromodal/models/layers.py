"""A layer of the transformer: attention and feed-forward branches, and rotary angles.

Legend: B batch, T tokens, N tokens of all sequences of a batch together, D model, H heads.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

Shapes = Sequence[tuple[int, int]]
"""Runs of sequences of equal length that make up a flat batch: (sequences, tokens of each)."""


class Layer(nn.Module):
    """Attention and feed-forward branches with normalised inputs.

    `before` and `after` are the layer without attention, which differs between whole sequences,
    here, and a few tokens at a time, in ``astromodal.models.decoding``.
    """

    def __init__(self, d_model: int, n_heads: int, d_ff: int, dropout: float) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.norm_attention = nn.LayerNorm(d_model)
        self.qkv = nn.Linear(d_model, 3 * d_model)
        self.project = nn.Linear(d_model, d_model)
        self.norm_feedforward = nn.LayerNorm(d_model)
        self.up = nn.Linear(d_model, d_ff)
        self.down = nn.Linear(d_ff, d_model)
        self.dropout = nn.Dropout(dropout)

    def initialise_branches(self, std: float) -> None:
        """Initialise the matrices that write into the residual stream."""
        for last in (self.project, self.down):
            nn.init.normal_(last.weight, std=std)

    def forward(
        self,
        x: torch.Tensor,  # (N, D)
        angles: tuple[torch.Tensor, torch.Tensor],  # (N, 1, D / H / 2) each
        shapes: Shapes,
        mask: torch.Tensor | None,  # (B, 1, T, T), True where a key is attended to
    ) -> torch.Tensor:
        """Return the layer's output, (N, D)."""
        return self.after(x, _attend_runs(*self.before(x, *angles), shapes, mask))

    def before(
        self, x: torch.Tensor, cosines: torch.Tensor, sines: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return rotated queries and keys, and values, (N, H, D/H) each."""
        n, d = x.shape
        query_key, value = self.qkv(self.norm_attention(x)).split([2 * d, d], dim=1)
        rotated = _rotate(query_key.view(n, 2 * self.n_heads, -1), cosines, sines)  # (N, 2H, D/H)
        query, key = rotated.to(value.dtype).split(self.n_heads, dim=1)
        return query, key, value.view(n, self.n_heads, -1)

    def after(self, x: torch.Tensor, attended: torch.Tensor) -> torch.Tensor:
        """Return `x` plus the output of both branches, (N, D), from that of attention."""
        x = x + self.dropout(self.project(attended))
        hidden = F.gelu(self.up(self.norm_feedforward(x)), approximate="tanh")
        return x + self.dropout(self.down(hidden))


def _attend_runs(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    shapes: Shapes,
    mask: torch.Tensor | None,
) -> torch.Tensor:
    """Return causal attention within each sequence, (N, D), of (N, H, D/H)."""
    sizes = [count * length for count, length in shapes]
    parts = zip(query.split(sizes), key.split(sizes), value.split(sizes), shapes, strict=True)
    out = [_attend(q, k, v, shape, mask) for q, k, v, shape in parts]
    return torch.cat(out) if len(out) > 1 else out[0]


def _attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    shape: tuple[int, int],
    mask: torch.Tensor | None,
) -> torch.Tensor:
    """Return causal attention of a run of sequences of equal length, (B T, D)."""
    q, k, v = (t.unflatten(0, shape).transpose(1, 2) for t in (query, key, value))  # (B, H, T, D/H)
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None)
    return out.transpose(1, 2).reshape(shape[0] * shape[1], -1)


def rotary_tables(length: int, d_head: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return cosines and sines of rotary angles, (length, 1, d_head / 2) each.

    Frequencies fall geometrically from 1 to 1/10,000 per token (Su et al. 2021, arXiv:2104.09864).
    They are computed on the CPU, whatever the default device.
    """
    pairs = torch.arange(0, d_head, 2, dtype=torch.float64, device="cpu")
    tokens = torch.arange(length, dtype=torch.float64, device="cpu")
    angle = tokens[:, None, None] * 10_000.0 ** (-pairs / d_head)
    return angle.cos().float(), angle.sin().float()


def _rotate(x: torch.Tensor, cosines: torch.Tensor, sines: torch.Tensor) -> torch.Tensor:
    """Rotate each pair of features (i, i + half) of `x` (N, H, D/H) by its token's angles."""
    first, second = x.chunk(2, dim=2)
    return torch.cat([first * cosines - second * sines, second * cosines + first * sines], dim=2)


HEAD_DROPOUT = 0.1
"""Probability of dropout in the head of a label."""


class LabelHead(nn.Module):
    """Logits of the classes or bins of one label, from the state of the token that asks for it.

    A perceptron of two hidden layers.

    Parameters
    ----------
    d_model : int
        Width of the states, D.
    size : int
        Number of classes or bins, K.
    """

    def __init__(self, d_model: int, size: int) -> None:
        super().__init__()
        self.hidden = nn.ModuleList(nn.Linear(d_model, d_model) for _ in range(2))
        self.outer = nn.Linear(d_model, size)
        self.dropout = nn.Dropout(HEAD_DROPOUT)
        nn.init.zeros_(self.outer.weight)  # it starts at the frequencies that the bias is set to

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Return logits (M, K) of states (M, D)."""
        for layer in self.hidden:
            states = self.dropout(F.gelu(layer(states), approximate="tanh"))
        out: torch.Tensor = self.outer(states)
        return out
