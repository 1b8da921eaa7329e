"""Incremental decoding: the transformer runs a few tokens at a time over a cache.

All sequences of a batch have the same token types and slots, and their own token ids.

Legend: B sequences, N new tokens of each, P tokens in the cache, K branches, T tokens of a branch,
D model, H heads, F features of an id, G scalar columns of S bins.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from astromodal.models.layers import Layer
from astromodal.models.transformer import CausalTransformerLM, takes_sums

_Attend = Callable[[int, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""Attention of a layer: its number, and new queries, keys and values, (B, H, N, D/H) each."""


@dataclass
class Cache:
    """The keys and values of the tokens that a batch of sequences has run.

    Attributes
    ----------
    keys, values : list of float (B, H, capacity, D/H)
        Of each layer; those beyond the first `length` tokens are undefined.
    rows : float (G S, 2 D) or None
        `ValueMaps.rows`.
    sums : float (B, D) or None
        The sum of the values of each sequence's tokens.
    length : int
        Number of tokens of each sequence: P.
    """

    keys: list[torch.Tensor]
    values: list[torch.Tensor]
    rows: torch.Tensor | None
    sums: torch.Tensor | None
    length: int = 0

    def repeat(self, n: int) -> Cache:
        """Return a cache with each sequence `n` times in a row, of the same capacity."""
        return self._each(lambda kept: kept.repeat_interleave(n, dim=0))

    def part(self, rows: slice) -> Cache:
        """Return a view of some sequences, to branch from."""
        return self._each(lambda kept: kept[rows])

    def _each(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Cache:
        kept = [change(key) for key in self.keys], [change(value) for value in self.values]
        sums = None if self.sums is None else change(self.sums)
        return Cache(*kept, self.rows, sums, self.length)


class Decoder:
    """Runs a model step by step, with the states of a single run over the whole sequence.

    Parameters
    ----------
    model : CausalTransformerLM
        The model, in evaluation mode: no dropout is applied.
    """

    def __init__(self, model: CausalTransformerLM) -> None:
        self.model = model
        self.layers = [layer for layer in model.layers if isinstance(layer, Layer)]

    def start(self, n_sequences: int, capacity: int) -> Cache:
        """Return an empty cache with room for `capacity` tokens of each sequence.

        Raises
        ------
        ValueError
            Where the capacity exceeds the model's longest sequence.
        """
        if capacity > self.model.max_seq_len:
            most = self.model.max_seq_len
            raise ValueError(f"sequences must have at most {most} tokens, got {capacity}")
        heads = self.layers[0].n_heads
        like = self.model.embedding.weight
        shape = (n_sequences, heads, capacity, like.shape[1] // heads)
        keys = [like.new_empty(shape) for _ in self.layers]
        with torch.no_grad():
            rows = self.model.values.rows(self.model.features)
        sums = None if rows is None else like.new_zeros(n_sequences, like.shape[1])
        return Cache(keys, [torch.empty_like(key) for key in keys], rows, sums)

    @torch.no_grad()
    def extend(
        self, cache: Cache, tokens: torch.Tensor, types: torch.Tensor, slots: torch.Tensor
    ) -> torch.Tensor:
        """Run the next tokens, and add their keys and values to the cache.

        Parameters
        ----------
        cache : Cache
            The earlier tokens; it grows by N tokens.
        tokens : int (B, N)
            Token ids.
        types, slots : int (N,)
            Their types and slots, as in `CausalTransformerLM.flat_hidden`.

        Returns
        -------
        float (B, N, D + F)
            States as of `CausalTransformerLM.hidden`.
        """
        before, n = cache.length, tokens.shape[1]
        end = before + n

        mask = _causal_mask(before, n, tokens.device) if before and n > 1 else None

        def attend(
            layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
        ) -> torch.Tensor:
            cache.keys[layer][:, :, before:end] = key
            cache.values[layer][:, :, before:end] = value
            keys, values = cache.keys[layer][:, :, :end], cache.values[layer][:, :, :end]
            causal = mask is None and n > 1
            return F.scaled_dot_product_attention(
                query, keys, values, attn_mask=mask, is_causal=causal
            )

        places = torch.arange(before, end, device=tokens.device)
        x, cache.sums = self._embed(cache, tokens[:, None], types)
        cache.sums = None if cache.sums is None else cache.sums[:, 0]
        states = self._run(x[:, 0], types, slots, places, attend)
        cache.length = end
        return states

    @torch.no_grad()
    def branch(
        self, cache: Cache, tokens: torch.Tensor, types: torch.Tensor, slots: torch.Tensor
    ) -> torch.Tensor:
        """Run several continuations of every sequence side by side, without extending the cache.

        Parameters
        ----------
        cache : Cache
            The earlier tokens; it is not changed, nor copied for the branches.
        tokens : int (B, K, T)
            Token ids of K continuations, none of which attends to another.
        types, slots : int (T,)
            Their types and slots, the same in all of them.

        Returns
        -------
        float (B, K, T, D + F)
        """
        before, (n_branches, n) = cache.length, tokens.shape[1:]

        def attend(
            layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
        ) -> torch.Tensor:
            keys, values = cache.keys[layer][:, :, :before], cache.values[layer][:, :, :before]
            return _attend_branches(n_branches, query, key, value, keys, values)

        places = torch.arange(before, before + n, device=tokens.device).repeat(n_branches)
        flat = self._embed(cache, tokens, types)[0].flatten(1, 2)  # (B, K T, D)
        types, slots = types.repeat(n_branches), slots.repeat(n_branches)
        return self._run(flat, types, slots, places, attend).unflatten(1, (n_branches, n))

    def _embed(
        self, cache: Cache, tokens: torch.Tensor, types: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return embeddings of tokens (B, K, T) of types (T,), and the last sums, (B, K, D)."""
        x, values = self.model.embed(tokens, cache.rows)
        if values is None or cache.sums is None:
            return x, None
        sums = cache.sums[:, None, None] + values.cumsum(2)
        return x + sums * takes_sums(types), sums[:, :, -1]

    def _run(
        self,
        x: torch.Tensor,  # (B, N, D), embeddings of tokens
        types: torch.Tensor,  # (N,)
        slots: torch.Tensor,  # (N,)
        places: torch.Tensor,  # (N,), positions of the tokens in their sequences
        attend: _Attend,
    ) -> torch.Tensor:
        model, (n_sequences, n) = self.model, x.shape[:2]
        x = (x + model.types(types) + model.slots(slots)).flatten(0, 1)  # (B N, D)
        tables = (model.cosines, model.sines)
        cos, sin = (table[places].repeat(n_sequences, 1, 1) for table in tables)
        for number, layer in enumerate(self.layers):
            # (B N, H, D/H) each, and then (B, H, N, D/H)
            parts = (t.unflatten(0, (n_sequences, n)) for t in layer.before(x, cos, sin))
            out = attend(number, *(t.transpose(1, 2) for t in parts))
            x = layer.after(x, out.transpose(1, 2).reshape(x.shape))
        prior = model.prior(types * model.max_seq_len + slots)  # (N, F)
        states = model.norm(x).unflatten(0, (n_sequences, n))
        return torch.cat([states, prior.to(x.dtype).expand(n_sequences, -1, -1)], dim=2)


def _attend_branches(
    n_branches: int,
    query: torch.Tensor,  # (B, H, K T, D/H), and so are key and value
    key: torch.Tensor,
    value: torch.Tensor,
    keys: torch.Tensor,  # (B, H, P, D/H), and so are values
    values: torch.Tensor,
) -> torch.Tensor:
    """Return attention to the cache and to the own branch, without a copy of the cache."""
    before, shape = keys.shape[2], (n_branches, query.shape[2] // n_branches)
    query = query * query.shape[3] ** -0.5
    q, k, v = (t.unflatten(2, shape) for t in (query, key, value))  # (B, H, K, T, D/H)
    earlier = (query @ keys.transpose(2, 3)).unflatten(2, shape)  # (B, H, K, T, P)
    own = q @ k.transpose(3, 4)  # (B, H, K, T, T)
    later = torch.ones(shape[1], shape[1], dtype=torch.bool, device=query.device).triu(1)
    weights = torch.cat([earlier, own.masked_fill(later, -torch.inf)], dim=4).softmax(dim=4)
    from_cache = weights[..., :before].flatten(2, 3) @ values
    return from_cache + (weights[..., before:] @ v).flatten(2, 3)


def _causal_mask(before: int, n: int, device: torch.device) -> torch.Tensor:
    """Return the attention mask of `n` new tokens, bool (n, P + n)."""
    earlier = torch.ones(n, before, dtype=torch.bool, device=device)
    return torch.cat([earlier, torch.ones(n, n, dtype=torch.bool, device=device).tril()], dim=1)
