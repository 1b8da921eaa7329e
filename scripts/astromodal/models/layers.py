"""Layers of the transformer: attention, feed-forward, heads of labels, maps of values of columns.

Legend: B batch, T tokens, N tokens of all sequences of a batch together, D model, H heads, V
vocabulary, F features of an id, G scalar columns of S bins, C of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

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


class ColumnIds(NamedTuple):
    """Consecutive ids of scalar columns, which have as many bins each.

    Attributes
    ----------
    first : int
        Id of the first bin of the first column.
    n_columns : int
        Number of columns, G.
    n_bins : int
        Number of bins of a column, S.
    """

    first: int
    n_columns: int
    n_bins: int

    @property
    def end(self) -> int:
        """One past the last id."""
        return self.first + self.n_columns * self.n_bins


N_COSINES = 32
"""Features of a scalar that are cosines in its rank, of frequencies 1, 2, 3 …; others follow."""
N_LEVELS = 33
"""Levels of cumulative probability that are calibrated."""
SHOWN = (0.125, 0.25, 0.5, 1.0)
"""Parts of an object's columns, labels aside, that are shown where levels are fitted."""
MAPS = ("maps_in", "maps_sum", "maps_out")
"""Names of the parameters of `ValueMaps`, float (G, F, D) each."""


class ValueMaps(nn.Module):
    """Linear maps of the features of bins, one of each kind per scalar column.

    `maps_in` adds to the embedding of a value's token, `maps_sum` to a sum that all later tokens of
    scalars receive, and `maps_out` turns last states into coefficients of the features, for the
    logits. The last starts at 0. Cosines of frequency k weigh 1/k on the way in and k^-1/2 on the
    way out, so that what is learned of a value is smooth: a model of few sources would otherwise
    learn their bins by heart.

    `temperatures`, float (G,), are divisors of the logits of each column in prediction, and
    `levels`, float (G, P, L), are what its even levels of cumulative probability then become where
    the parts `shown`, float (G, P), of all columns are shown. They change nothing in training,
    which fits them at its end.

    Parameters
    ----------
    columns : ColumnIds
        The ids. A state dict brings the columns of its model along, and replaces them.
    n_features, d_model : int
        Sizes F and D.
    """

    column_ids: torch.Tensor
    temperatures: torch.Tensor
    levels: torch.Tensor
    shown: torch.Tensor
    weights_in: torch.Tensor
    weights_out: torch.Tensor
    maps_in: nn.Parameter
    maps_sum: nn.Parameter
    maps_out: nn.Parameter

    def __init__(self, columns: ColumnIds, n_features: int, d_model: int) -> None:
        super().__init__()
        for name in MAPS:
            shape = columns.n_columns, n_features, d_model
            self.register_parameter(name, nn.Parameter(torch.empty(shape)))
        self._set_columns(columns)
        self.register_load_state_dict_pre_hook(_take_columns)
        # That of a sum of F features. The scale of learned rows would be too small: a map is
        # learned from all bins of its column, however rare each of them is.
        self._scale = n_features**-0.5
        for name, power in (("weights_in", 1.0), ("weights_out", 0.5)):
            self.register_buffer(name, _weights(n_features, power), persistent=False)
        nn.init.normal_(self.maps_in, std=0.1)
        nn.init.normal_(self.maps_sum, std=0.05)
        nn.init.zeros_(self.maps_out)

    def _set_columns(self, columns: ColumnIds) -> None:
        self.columns = columns
        self.register_buffer("column_ids", torch.tensor(columns, device="cpu"))
        self.register_buffer("temperatures", torch.ones(columns.n_columns))
        even = torch.linspace(0, 1, N_LEVELS, device="cpu")
        self.register_buffer("levels", even.repeat(columns.n_columns, len(SHOWN), 1))
        self.register_buffer("shown", torch.zeros(columns.n_columns, len(SHOWN)))

    def _of_columns(self, features: torch.Tensor) -> torch.Tensor:
        """Return the features of the bins of each column, (G, S, F)."""
        first, n_columns, n_bins = self.columns
        return features[first : self.columns.end].view(n_columns, n_bins, -1)

    def look_up(
        self, token_ids: torch.Tensor, features: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what tokens add to themselves and to the sums, (..., D) each; 0 for other ids.

        The tokens of each column are multiplied by its maps together: few of all bins occur in a
        batch.

        Parameters
        ----------
        token_ids : int (...)
            Token ids.
        features : float (V, F)
            Features of all ids.
        """
        flat, (first, _, n_bins) = token_ids.reshape(-1), self.columns
        place = ((flat >= first) & (flat < self.columns.end)).nonzero()[:, 0]
        found = self.maps_in.new_zeros(len(flat), 2 * self.maps_in.shape[2])
        if len(place):
            # Sorted by column, a token is the n-th of its column.
            columns, number = torch.unique((flat[place] - first) // n_bins, return_inverse=True)
            number, order = number.sort(stable=True)
            place, counts = place[order], torch.bincount(number)
            nth = (
                torch.arange(len(number), device=flat.device) - (counts.cumsum(0) - counts)[number]
            )
            ids = flat.new_full((len(columns), int(counts.max())), first)
            ids[number, nth] = flat[place]
            maps = torch.cat([self.maps_in, self.maps_sum], dim=2)[columns]
            products = torch.bmm(features[ids] * self.weights_in, maps)  # (columns, tokens, 2 D)
            found = found.index_copy(0, place, products[number, nth].to(found.dtype))
        own, summed = found.view(*token_ids.shape, -1).chunk(2, dim=-1)
        return own, summed

    def coefficients(self, states: torch.Tensor, first: int) -> torch.Tensor | None:
        """Return the coefficients of features in the logits of columns, (C, M, F).

        Parameters
        ----------
        states : float (C, M, D)
            Last states, M for each of C columns.
        first : int
            Id of the first bin of the first of them; None is returned where it is of no column.
        """
        if not self.columns.first <= first < self.columns.end:
            return None
        column = (first - self.columns.first) // self.columns.n_bins
        maps = self.maps_out[column : column + len(states)]
        return torch.bmm(states * self._scale, maps.transpose(1, 2)) * self.weights_out

    def logits(self, states: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """Return what the maps add to the logits of all ids, (..., V), of last states (..., D)."""
        weighted = self._of_columns(features) * self.weights_out
        own = torch.einsum("...d,gfd,gsf->...gs", states * self._scale, self.maps_out, weighted)
        return F.pad(own.flatten(-2), (self.columns.first, len(features) - self.columns.end))


def _weights(n_features: int, power: float) -> torch.Tensor:
    """Return k**-power for the cosines of frequency k and 1 for the other features, (F,).

    They are computed on the CPU, whatever the default device.
    """
    frequency = torch.arange(1.0, n_features + 1, device="cpu")
    return torch.where(frequency <= N_COSINES, frequency**-power, 1.0)


def _take_columns(maps: ValueMaps, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Give the module the columns of a state that is about to be loaded."""
    stored = state.get(f"{prefix}column_ids")
    if stored is None or len(stored) != 3 or stored.tolist() == list(maps.columns):
        return
    maps._set_columns(ColumnIds(*stored.tolist()))
    for name in MAPS:
        if (own := state.get(f"{prefix}{name}")) is not None:
            setattr(maps, name, nn.Parameter(torch.empty_like(own)))
