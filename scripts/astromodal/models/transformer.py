"""The causal transformer over the joint vocabulary.

Legend: B batch, T tokens, N tokens of all sequences of a batch together, D model, H heads,
V vocabulary, F features of an id, S a range of ids, C ranges, G scalar columns.

A decoder with pre-norm layers as in GPT-2, with four differences:

- *Position* is encoded by the token's type, by a learned embedding of its slot (the distance from
  the latest SEP, which does not depend on the place of a block in the sequence) and by rotary
  angles in attention.
- *Codes have features.* Beside a learned row, a token id has fixed features, most of them of its
  centroid, which are projected into the input embedding and into the logits. Codes of similar
  meaning are similar from the first step on, however rarely a code occurs.
- *Values add up.* Each scalar column maps the features of its bins by a matrix of its own, for the
  input embedding and for the logits, so that a value stands in a direction of its column's. The
  token of a scalar also receives the sum of such maps of all values up to it, as the first layer of
  a perceptron on all columns: colours and their like need not be composed by attention.
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

from astromodal.models.layers import ColumnIds, Layer, Shapes, ValueMaps, rotary_tables

SEP = 3
"""Token id of SEP: slots are counted from it. Equal to ``astromodal.core.vocab.SEP``."""
MISS = 4
"""Token id of what is missing, asked or hidden. Equal to ``astromodal.core.vocab.MISS``."""
TYPE_SPECIAL = 0
"""Token type of BOS, EOS and padding. Equal to ``astromodal.core.vocab.TYPE_SPECIAL``."""
TYPE_SCALAR = 2
"""Token type of scalars. Equal to ``astromodal.core.vocab.TYPE_SCALAR``."""
N_TYPES = 16
"""Number of token types, the last of which is that of asked scalars. Equal to
``astromodal.core.vocab.N_TYPES``."""
N_FEATURES = 48
"""Features of a token id."""


_NO_COLUMNS = ColumnIds(0, 0, 0)


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
        Number of token types. The last is that of scalars whose value is asked.
    columns : ColumnIds, optional
        Ids of the scalar columns; without them, no column has maps of its own. A state dict brings
        the columns of its model along.

    Attributes
    ----------
    recompute : bool
        Whether training keeps only the inputs of layers and recomputes the rest in the backward
        pass (Chen et al. 2016, arXiv:1604.06174): the same gradients in a third more time and, for
        long batches, a fraction of the memory. False by default.
    """

    recompute: bool
    features: torch.Tensor
    view_mean: torch.Tensor
    view_map: torch.Tensor
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
        n_types: int = N_TYPES,
        columns: ColumnIds = _NO_COLUMNS,
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
        self.values = ValueMaps(columns, N_FEATURES, d_model)
        # Embeddings by a query are (state - view_mean) @ view_map, which is fitted after training.
        self.register_buffer("view_mean", torch.zeros(d_model))
        identity = torch.zeros(d_model, d_model).fill_diagonal_(1)  # `eye` imports SymPy
        self.register_buffer("view_map", identity)
        cosines, sines = rotary_tables(max_seq_len, d_model // n_heads)
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

    @property
    def columns(self) -> ColumnIds:
        """Ids of the scalar columns."""
        return self.values.columns

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
        flat = self.flat_hidden(
            token_ids.flatten(),
            token_types.flatten(),
            self.slots_of(token_ids, token_types).flatten(),
            [(shape[0], shape[1])],
            key_padding_mask,
        )
        return flat.view(*shape, -1)

    def slots_of(self, token_ids: torch.Tensor, token_types: torch.Tensor) -> torch.Tensor:
        """Return the slots of tokens, int64 (B, T), none of which asks for a value.

        A missing scalar has no token. The slot of a scalar is therefore that of its column; that of
        other tokens of a block is the distance from its SEP. BOS, EOS and padding have slot 0.
        """
        slots = torch.where(token_types == TYPE_SPECIAL, 0, slots_of(token_ids))
        if not self.columns.n_columns:
            return slots
        code = token_ids.to(torch.int64) - self.columns.first
        known = (code >= 0) & (token_ids < self.columns.end) & (token_types == TYPE_SCALAR)
        return torch.where(known, 1 + code // self.columns.n_bins, slots)

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
            Ids, types and slots of all tokens (see the method `slots_of`).
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
        x, values = self.embed(token_ids)
        x = x + self.types(token_types) + self.slots(slots)  # (N, D)
        if values is not None:
            x = x + _sums_of_runs(values, shapes) * self.takes_sums(token_ids, token_types, slots)
        x = self.dropout(x)
        angles = self._angles(shapes)
        mask = None if key_padding_mask is None else _causal_mask(key_padding_mask)
        for layer in self.layers:
            if self.recompute and self.training:
                x = checkpoint(layer, x, angles, shapes, mask, use_reentrant=False)
            else:
                x = layer(x, angles, shapes, mask)
        place = token_types * self.max_seq_len + slots
        return torch.cat([self.norm(x), self.prior(place).to(x.dtype)], dim=1)

    def embed(self, token_ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return the embeddings of ids, and what they add to the sums of values, (..., D) each.

        Without columns there are no sums.
        """
        x = self.embedding(token_ids) + self.features_in(self.features[token_ids])
        if not self.columns.n_columns:
            return x, None
        own, summed = self.values.look_up(token_ids, self.features)
        return x + own, summed

    def takes_sums(
        self, token_ids: torch.Tensor, token_types: torch.Tensor, slots: torch.Tensor
    ) -> torch.Tensor:
        """Return whether tokens receive the sums of values, bool (..., 1).

        Those of scalars do, and tokens without a value: SEP, BOS, EOS and MISS.
        """
        return ((token_types == TYPE_SCALAR) | (slots == 0) | (token_ids == MISS))[..., None]

    def _angles(self, shapes: Shapes) -> tuple[torch.Tensor, torch.Tensor]:
        """Return cosines and sines of each token's rotary angles, (N, 1, D / H / 2)."""
        tables = (self.cosines, self.sines)
        cos, sin = (torch.cat([t[:length].repeat(n, 1, 1) for n, length in shapes]) for t in tables)
        return cos, sin

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return the logits of all ids, (..., V), of states (..., D + F)."""
        scaled, projected = self._project(hidden)
        by_row = F.linear(scaled, self.embedding.weight, self.bias)
        out = by_row + F.linear(projected, self.features)
        last = hidden[..., : len(self.norm.weight)]
        return out + self.values.logits(last, self.features) if self.columns.n_columns else out

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
            own = self.values.coefficients(h[..., : len(self.norm.weight)], first)
            projected = projected if own is None else projected + own
            features = self.features[first : first + count * size].view(count, size, -1)
            rows_of = row.view(count, size, -1)
            added = bias.view(count, 1, size)
            out.append(_range_logits(scaled, projected, rows_of, features, added))
        return out


def _sums_of_runs(values: torch.Tensor, shapes: Shapes) -> torch.Tensor:
    """Return the sum of `values` (N, D) over each sequence's tokens up to each of them, (N, D)."""
    parts = values.split([count * length for count, length in shapes])
    runs = zip(parts, shapes, strict=True)
    return torch.cat([part.unflatten(0, shape).cumsum(1).flatten(0, 1) for part, shape in runs])


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


def slots_of(token_ids: torch.Tensor) -> torch.Tensor:
    """Return the distance of each token from the latest SEP, int64 (B, T); 0 before the first."""
    place = torch.arange(token_ids.shape[1], device=token_ids.device).expand(token_ids.shape)
    is_sep = token_ids == SEP
    number = is_sep.cumsum(1)  # of the latest SEP, from 1; ONNX has no cummax
    places = F.pad(torch.zeros_like(place), (1, 0)).scatter(1, number * is_sep, place * is_sep)
    return torch.where(number > 0, place - places.gather(1, number), 0)


def _causal_mask(padding: torch.Tensor) -> torch.Tensor:
    """Return the attention mask, bool (B, 1, T, T): earlier tokens but padding, and itself."""
    length = padding.shape[1]
    earlier = torch.ones(length, length, dtype=torch.bool, device=padding.device).tril()
    itself = torch.eye(length, dtype=torch.bool, device=padding.device)
    return (earlier & ~padding[:, None, :] | itself)[:, None]
