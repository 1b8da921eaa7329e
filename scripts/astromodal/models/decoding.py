"""Incremental decoding: the transformer runs a few tokens at a time over a cache.

All sequences of a batch have as many tokens; shorter ones begin with padding.

Legend: B sequences, N new tokens of each, P tokens in the cache, D model, H heads, F features of an
id.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from astromodal.models.layers import Layer
from astromodal.models.transformer import CausalTransformerLM

_Attend = Callable[[int, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""Attention of a layer: its number, and new queries, keys and values, (B, H, N, D/H) each."""


@dataclass
class Cache:
    """The keys and values of the tokens that a batch of sequences has run.

    Attributes
    ----------
    keys, values : list of float (B, H, capacity, D/H)
        Of each layer; those beyond the first `length` tokens are undefined.
    sums : float (B, D) or None
        The sum of the values of each sequence's tokens.
    padding : bool (B, first tokens) or None
        Which of the first tokens are padding, which no other token attends to.
    length : int
        Number of tokens of each sequence: P.
    """

    keys: list[torch.Tensor]
    values: list[torch.Tensor]
    sums: torch.Tensor | None
    padding: torch.Tensor | None = None
    length: int = 0

    def repeat(self, n: int) -> Cache:
        """Return a cache with each sequence `n` times in a row, of the same capacity."""
        return self._each(lambda kept: kept.repeat_interleave(n, dim=0))

    def _each(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Cache:
        kept = [change(key) for key in self.keys], [change(value) for value in self.values]
        sums = None if self.sums is None else change(self.sums)
        padding = None if self.padding is None else change(self.padding)
        return Cache(*kept, sums, padding, self.length)


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
        sums = like.new_zeros(n_sequences, like.shape[1]) if self.model.columns.n_columns else None
        return Cache(keys, [torch.empty_like(key) for key in keys], sums)

    @torch.no_grad()
    def extend(
        self,
        cache: Cache,
        tokens: torch.Tensor,
        types: torch.Tensor,
        slots: torch.Tensor,
        padding: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Run the next tokens, and add their keys and values to the cache.

        Parameters
        ----------
        cache : Cache
            The earlier tokens; it grows by N tokens.
        tokens : int (B, N)
            Token ids.
        types, slots : int (N,) or (B, N)
            Their types and slots, of all sequences or of each, as in
            `CausalTransformerLM.flat_hidden`.
        padding : bool (B, N), optional
            Tokens in front that are padding, where the cache is empty.

        Returns
        -------
        float (B, N, D + F)
            States as of `CausalTransformerLM.hidden`.
        """
        before, n = cache.length, tokens.shape[1]
        end = before + n

        cache.padding = padding if padding is not None else cache.padding
        mask = None
        if cache.padding is not None:
            mask = _padded_mask(cache.padding, before, n)
        elif before and n > 1:
            mask = _causal_mask(before, n, tokens.device)

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
        x, values = self.model.embed(tokens)
        if values is not None and cache.sums is not None:
            sums = cache.sums[:, None] + values.cumsum(1)
            x, cache.sums = x + sums * self.model.takes_sums(tokens, types, slots), sums[:, -1]
        states = self.run(x, types, slots, places, attend)
        cache.length = end
        return states

    def run(
        self,
        x: torch.Tensor,  # (B, N, D), embeddings of tokens
        types: torch.Tensor,  # (N,) or (B, N), and so are slots
        slots: torch.Tensor,
        places: torch.Tensor,  # (N,), positions of the tokens in their sequences
        attend: _Attend,
    ) -> torch.Tensor:
        """Return the states of tokens, (B, N, D + F), of which `attend` computes the attention."""
        model, (n_sequences, n) = self.model, x.shape[:2]
        x = (x + model.types(types) + model.slots(slots)).flatten(0, 1)  # (B N, D)
        tables = (model.cosines, model.sines)
        cos, sin = (table[places].repeat(n_sequences, 1, 1) for table in tables)
        for number, layer in enumerate(self.layers):
            # (B N, H, D/H) each, and then (B, H, N, D/H)
            parts = (t.unflatten(0, (n_sequences, n)) for t in layer.before(x, cos, sin))
            out = attend(number, *(t.transpose(1, 2) for t in parts))
            x = layer.after(x, out.transpose(1, 2).reshape(x.shape))
        prior = model.prior(types * model.max_seq_len + slots)  # (N, F) or (B, N, F)
        states = model.norm(x).unflatten(0, (n_sequences, n))
        return torch.cat([states, prior.to(x.dtype).expand(n_sequences, -1, -1)], dim=2)


def _causal_mask(before: int, n: int, device: torch.device) -> torch.Tensor:
    """Return the attention mask of `n` new tokens, bool (n, P + n)."""
    earlier = torch.ones(n, before, dtype=torch.bool, device=device)
    return torch.cat([earlier, torch.ones(n, n, dtype=torch.bool, device=device).tril()], dim=1)


def _padded_mask(padding: torch.Tensor, before: int, n: int) -> torch.Tensor:
    """Return the mask of `n` new tokens, bool (B, 1, n, P + n): earlier ones but padding; itself.

    Rotary angles depend on distances alone, so that padding in front changes no state.
    """
    seen = torch.ones(len(padding), 1, 1, before + n, dtype=torch.bool, device=padding.device)
    seen[:, 0, 0, : padding.shape[1]] = ~padding
    itself = torch.eye(n, dtype=torch.bool, device=padding.device)
    itself = torch.cat([torch.zeros_like(itself[:, :1]).expand(-1, before), itself], dim=1)
    return seen & _causal_mask(before, n, padding.device) | itself
