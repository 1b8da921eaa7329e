"""The transformer run a few tokens at a time, over the keys and values of what it ran before.

Sequences that stand side by side have the same types and slots, and their own token ids.

Legend: B sequences, N new tokens of each, P tokens run before, K branches, T tokens of a branch,
D model, H heads, F features of an id.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from astromodal.models.transformer import CausalTransformerLM, Layer

_Attend = Callable[[int, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""Attention of a layer, by its number, with new queries, keys and values, all (B, H, N, D/H)."""


@dataclass
class Cache:
    """What was run of sequences that stand side by side.

    Attributes
    ----------
    keys, values : list of float (B, H, capacity, D/H)
        Of each layer; only those of the first `length` tokens mean anything.
    length : int
        Tokens of each sequence that were run: P.
    """

    keys: list[torch.Tensor]
    values: list[torch.Tensor]
    length: int = 0

    def repeat(self, n: int) -> Cache:
        """Every sequence `n` times in a row, with the same room."""
        return self._each(lambda kept: kept.repeat_interleave(n, dim=0))

    def part(self, rows: slice) -> Cache:
        """Some of the sequences, to branch from: what is kept is not copied."""
        return self._each(lambda kept: kept[rows])

    def _each(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Cache:
        kept = [change(key) for key in self.keys], [change(value) for value in self.values]
        return Cache(*kept, self.length)


class Decoder:
    """Runs a model step by step; its states are those of one run over the whole sequence.

    Parameters
    ----------
    model : CausalTransformerLM
        In evaluation mode: no dropout is applied.
    """

    def __init__(self, model: CausalTransformerLM) -> None:
        self.model = model
        self.layers = [layer for layer in model.layers if isinstance(layer, Layer)]

    def start(self, n_sequences: int, capacity: int) -> Cache:
        """A cache for sequences of which nothing was run, with room for `capacity` tokens of each.

        Raises
        ------
        ValueError
            Where the capacity exceeds the longest sequence that the model takes.
        """
        if capacity > self.model.max_seq_len:
            most = self.model.max_seq_len
            raise ValueError(f"sequences must have at most {most} tokens, got {capacity}")
        heads = self.layers[0].n_heads
        like = self.model.embedding.weight
        shape = (n_sequences, heads, capacity, like.shape[1] // heads)
        keys = [like.new_empty(shape) for _ in self.layers]
        return Cache(keys, [torch.empty_like(key) for key in keys])

    @torch.no_grad()
    def extend(
        self, cache: Cache, tokens: torch.Tensor, types: torch.Tensor, slots: torch.Tensor
    ) -> torch.Tensor:
        """Run the next tokens, and keep their keys and values.

        Parameters
        ----------
        cache : Cache
            What was run before; it grows by N tokens.
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

        mask = _may_see(before, n, tokens.device) if before and n > 1 else None

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
        states = self._run(tokens, types, slots, places, attend)
        cache.length = end
        return states

    @torch.no_grad()
    def branch(
        self, cache: Cache, tokens: torch.Tensor, types: torch.Tensor, slots: torch.Tensor
    ) -> torch.Tensor:
        """Run several continuations of every sequence side by side; nothing of them is kept.

        Parameters
        ----------
        cache : Cache
            What was run before; it stays as it is, and no branch copies it.
        tokens : int (B, K, T)
            Token ids of K continuations, none of which sees another.
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
        flat = tokens.flatten(1)
        types, slots = types.repeat(n_branches), slots.repeat(n_branches)
        return self._run(flat, types, slots, places, attend).unflatten(1, (n_branches, n))

    def _run(
        self,
        tokens: torch.Tensor,  # (B, N)
        types: torch.Tensor,  # (N,)
        slots: torch.Tensor,  # (N,)
        places: torch.Tensor,  # (N,), where the tokens stand in their sequences
        attend: _Attend,
    ) -> torch.Tensor:
        model, (n_sequences, n) = self.model, tokens.shape
        x = model.embedding(tokens) + model.types(types) + model.slots(slots)  # (B, N, D)
        x = (x + model.features_in(model.features[tokens])).flatten(0, 1)  # (B N, D)
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
    """Attention to what was run before and to the own branch, without a copy of the former."""
    before, shape = keys.shape[2], (n_branches, query.shape[2] // n_branches)
    query = query * query.shape[3] ** -0.5
    q, k, v = (t.unflatten(2, shape) for t in (query, key, value))  # (B, H, K, T, D/H)
    earlier = (query @ keys.transpose(2, 3)).unflatten(2, shape)  # (B, H, K, T, P)
    own = q @ k.transpose(3, 4)  # (B, H, K, T, T)
    later = torch.ones(shape[1], shape[1], dtype=torch.bool, device=query.device).triu(1)
    weights = torch.cat([earlier, own.masked_fill(later, -torch.inf)], dim=4).softmax(dim=4)
    told = weights[..., :before].flatten(2, 3) @ values
    return told + (weights[..., before:] @ v).flatten(2, 3)


def _may_see(before: int, n: int, device: torch.device) -> torch.Tensor:
    """What each of `n` new tokens may see, bool (n, P + n)."""
    earlier = torch.ones(n, before, dtype=torch.bool, device=device)
    return torch.cat([earlier, torch.ones(n, n, dtype=torch.bool, device=device).tril()], dim=1)
