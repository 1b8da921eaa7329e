"""The causal transformer over the joint vocabulary.

Legend: B batch, T tokens, N tokens of all sequences of a batch together, D model, H heads,
V vocabulary, F features of an id, S a range of ids, C ranges.

A decoder with pre-norm layers as in GPT-2, with three differences:

- *Position* is encoded by the token's type, by a learned embedding of its slot (the distance from
  the latest SEP, which does not depend on the place of a block in the sequence) and by rotary
  angles in attention.
- *Codes have features.* Beside a learned row, a token id has fixed features, most of them of its
  centroid, which are projected into the input embedding and into the logits. Codes of similar
  meaning are similar from the first step on, however rarely a code occurs.
- *Legal ids are known.* Training computes the logits of legal ids only, by `range_logits`;
  `forward` returns those of all V ids.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

SEP = 3
"""Token id of SEP: slots are counted from it. Equal to ``astromodal.core.vocab.SEP``."""
N_FEATURES = 48
"""Features of a token id."""

Shapes = Sequence[tuple[int, int]]
"""Runs of sequences of equal length that make up a flat batch: (sequences, tokens of each)."""


class CausalTransformerLM(nn.Module):
    """A causal language model over the joint vocabulary.

    Parameters
    ----------
    vocab_size : int
        Number of token ids, V.
    d_model, n_layers, n_heads, d_ff : int
        Width D, layers, attention heads (``D / n_heads`` must be even) and feed-forward width.
    dropout : float
        Dropout of the embeddings and of the output of each branch. Attention weights have none, so
        that fused attention kernels can be used.
    max_seq_len : int
        Longest sequence.
    n_types : int
        Number of token types.

    Attributes
    ----------
    recompute : bool
        Whether training keeps only the inputs of layers and recomputes the rest in the backward
        pass (Chen et al. 2016, arXiv:1604.06174): the same gradients in a third more time and, for
        long batches, a fraction of the memory. False by default.
    """

    recompute: bool
    features: torch.Tensor
    cosines: torch.Tensor
    sines: torch.Tensor

    def __init__(
        self,
        vocab_size: int,
        d_model: int,
        n_layers: int,
        n_heads: int,
        d_ff: int,
        dropout: float,
        max_seq_len: int,
        n_types: int = 16,
    ) -> None:
        super().__init__()
        if d_model % n_heads or (d_model // n_heads) % 2:
            raise ValueError(
                f"d_model / n_heads must be an even integer, got {d_model} / {n_heads}"
            )
        self.max_seq_len = max_seq_len
        self.recompute = False
        # AdamW moves all weights of the logits by a full step, which for rows of rare ids is noise.
        # Logits are scaled as in T5 (Raffel et al. 2020, arXiv:1910.10683) to keep it small.
        self.scale = d_model**-0.5
        self.embedding = nn.Embedding(vocab_size, d_model)  # (V, D), tied: input and logits
        self.types = nn.Embedding(n_types, d_model)
        self.slots = nn.Embedding(max_seq_len, d_model)
        self.features_in = nn.Linear(N_FEATURES, d_model, bias=False)
        self.features_out = nn.Linear(d_model, N_FEATURES, bias=False)
        # The part of the logits that depends on the slot alone; row `type * max_seq_len + slot`.
        self.prior = nn.Embedding(n_types * max_seq_len, N_FEATURES)
        self.bias = nn.Parameter(torch.zeros(vocab_size))
        self.layers = nn.ModuleList(Layer(d_model, n_heads, d_ff, dropout) for _ in range(n_layers))
        self.norm = nn.LayerNorm(d_model)
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("features", torch.zeros(vocab_size, N_FEATURES))
        cosines, sines = _rotary_tables(max_seq_len, d_model // n_heads)
        self.register_buffer("cosines", cosines, persistent=False)
        self.register_buffer("sines", sines, persistent=False)
        self._initialise(n_layers)

    def _initialise(self, n_layers: int) -> None:
        """Initialise weights as GPT-2: normal of 0.02, branches scaled by the number of layers."""
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, std=0.02)
        for module in self.layers:
            if isinstance(module, Layer):
                module.initialise_branches(0.02 / math.sqrt(2 * n_layers))
        nn.init.normal_(self.features_in.weight, std=0.1)
        nn.init.zeros_(self.features_out.weight)
        nn.init.zeros_(self.prior.weight)

    def compile_layers(self, backend: str = "inductor") -> None:
        """Compile the parts of layers before and after attention into few kernels.

        On a GPU the many small operations of a layer, which read and write all tokens each, take as
        long as its matrix products. One compilation serves all layers and any number of tokens.

        Parameters
        ----------
        backend : str
            Backend of ``torch.compile``.
        """
        for layer in self.layers:
            for name in ("before", "after"):
                compiled = torch.compile(getattr(layer, name), dynamic=True, backend=backend)
                setattr(layer, name, compiled)

    def forward(
        self,
        token_ids: torch.Tensor,
        token_types: torch.Tensor,
        key_padding_mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the logits of the next token.

        Parameters
        ----------
        token_ids, token_types : int (B, T)
            Token ids and types.
        key_padding_mask : bool (B, T), optional
            True where a token is padding, which no other token attends to.

        Returns
        -------
        float (B, T, V)
            Logits at t are those of the token at t + 1.
        """
        return self.logits(self.hidden(token_ids, token_types, key_padding_mask))

    def hidden(
        self,
        token_ids: torch.Tensor,
        token_types: torch.Tensor,
        key_padding_mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the states of all tokens, (B, T, D + F), as `flat_hidden` does."""
        shape = token_ids.shape
        slots = slots_of(token_ids).flatten()
        flat = self.flat_hidden(
            token_ids.flatten(),
            token_types.flatten(),
            slots,
            [(shape[0], shape[1])],
            key_padding_mask,
        )
        return flat.view(*shape, -1)

    def flat_hidden(
        self,
        token_ids: torch.Tensor,
        token_types: torch.Tensor,
        slots: torch.Tensor,
        shapes: Shapes,
        key_padding_mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return states of sequences that follow one another without padding.

        All operations but attention run over all tokens at once. Attention runs once for each run
        of sequences of equal length, and needs no mask.

        Parameters
        ----------
        token_ids, token_types, slots : int (N,)
            Ids, types and slots (see `slots_of`) of all tokens.
        shapes : sequence of (int, int)
            Number of sequences and their length for each run; the products sum to N.
        key_padding_mask : bool (B, T), optional
            Padding, as in `forward`; for one run only.

        Returns
        -------
        float (N, D + F)
            The last hidden states, ``[:, :D]``, and the prior of the slots; the input of `logits`
            and `range_logits`.
        """
        longest = max(length for _, length in shapes)
        if longest > self.max_seq_len:
            raise ValueError(
                f"sequences must have at most {self.max_seq_len} tokens, got {longest}"
            )
        x = self.embedding(token_ids) + self.types(token_types) + self.slots(slots)  # (N, D)
        x = self.dropout(x + self.features_in(self.features[token_ids]))
        angles = self._angles(shapes)
        mask = None if key_padding_mask is None else _causal_mask(key_padding_mask)
        for layer in self.layers:
            if self.recompute and self.training:
                x = checkpoint(layer, x, angles, shapes, mask, use_reentrant=False)
            else:
                x = layer(x, angles, shapes, mask)
        place = token_types * self.max_seq_len + slots
        return torch.cat([self.norm(x), self.prior(place).to(x.dtype)], dim=1)

    def _angles(self, shapes: Shapes) -> tuple[torch.Tensor, torch.Tensor]:
        """Return cosines and sines of each token's rotary angles, (N, 1, D / H / 2)."""
        tables = (self.cosines, self.sines)
        cos, sin = (torch.cat([t[:length].repeat(n, 1, 1) for n, length in shapes]) for t in tables)
        return cos, sin

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return the logits of all ids, (..., V), of states (..., D + F)."""
        scaled, projected = self._project(hidden)
        by_row = F.linear(scaled, self.embedding.weight, self.bias)
        return by_row + F.linear(projected, self.features)

    def _project(self, states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the factors of learned rows, (..., D), and of features, (..., F)."""
        hidden, prior = (states * self.scale).split([len(self.norm.weight), N_FEATURES], dim=-1)
        return hidden, self.features_out(hidden) + prior

    def range_logits(
        self, hidden: Sequence[torch.Tensor], ranges: Sequence[tuple[int, int, int]]
    ) -> list[torch.Tensor]:
        """Return the logits of legal ids only.

        Parameters
        ----------
        hidden : sequence of float (C, M, D + F)
            For each entry of `ranges`, M states of `flat_hidden` for each of its C ranges.
        ranges : sequence of (int, int, int)
            First id, number C of consecutive ranges, and number S of ids in each; ascending and
            without overlap.

        Returns
        -------
        list of float (C, M, S)
            Equal to `logits` at these ids.
        """
        edges = [0]
        for first, count, size in ranges:
            edges += [first, first + count * size]
        sizes = [b - a for a, b in zip(edges, [*edges[1:], len(self.bias)], strict=True)]
        # One split for all ranges: its gradient is one tensor, not one of size V per range.
        rows = self.embedding.weight.split(sizes)[1::2]
        biases = self.bias.split(sizes)[1::2]
        out = []
        for h, (first, count, size), row, bias in zip(hidden, ranges, rows, biases, strict=True):
            scaled, projected = self._project(h)
            features = self.features[first : first + count * size].view(count, size, -1)
            rows_of = row.view(count, size, -1)
            added = bias.view(count, 1, size)
            out.append(_range_logits(scaled, projected, rows_of, features, added))
        return out


def _range_logits(
    hidden: torch.Tensor,  # (C, M, D)
    projected: torch.Tensor,  # (C, M, F)
    rows: torch.Tensor,  # (C, S, D)
    features: torch.Tensor,  # (C, S, F)
    bias: torch.Tensor,  # (C, 1, S)
) -> torch.Tensor:
    """Return the sum of products with rows and with features, (C, M, S), with least memory."""
    if 2 * hidden.shape[1] < hidden.shape[2]:  # few positions per table: do not copy the table
        by_row = torch.baddbmm(bias, hidden, rows.transpose(1, 2))
        return torch.baddbmm(by_row, projected, features.transpose(1, 2))
    table = torch.cat([rows, features], dim=2).transpose(1, 2)  # (C, D + F, S)
    return torch.baddbmm(bias, torch.cat([hidden, projected], dim=2), table)


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


def slots_of(token_ids: torch.Tensor) -> torch.Tensor:
    """Return the distance of each token from the latest SEP, int64 (B, T); 0 before the first."""
    place = torch.arange(token_ids.shape[1], device=token_ids.device).expand(token_ids.shape)
    latest = torch.where(token_ids == SEP, place, -1).cummax(dim=1).values
    return torch.where(latest >= 0, place - latest, 0)


def _causal_mask(padding: torch.Tensor) -> torch.Tensor:
    """Return the attention mask, bool (B, 1, T, T): earlier tokens but padding, and itself."""
    length = padding.shape[1]
    earlier = torch.ones(length, length, dtype=torch.bool, device=padding.device).tril()
    itself = torch.eye(length, dtype=torch.bool, device=padding.device)
    return (earlier & ~padding[:, None, :] | itself)[:, None]


def _rotary_tables(length: int, d_head: int) -> tuple[torch.Tensor, torch.Tensor]:
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
