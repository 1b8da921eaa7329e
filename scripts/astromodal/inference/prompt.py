"""What is given of objects, and blocks that follow it: sampled code by code, or hidden.

Legend: B or m objects of a batch, R sequences, P tokens of a prompt, C scalar columns, S codes in
use, D model, F features of an id.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from astromodal.core.vocab import BOS, MISS, MISSING_CODE, PAD, SEP
from astromodal.errors import DataError, must_be
from astromodal.inference.bundle import Bundle, LegalIds
from astromodal.inference.encode import Encoded
from astromodal.inference.request import Request
from astromodal.models.decoding import Cache
from astromodal.sequences.dataset import Batch, SequenceSet
from astromodal.sequences.layout import SCALAR, Block, SequenceLayout
from astromodal.sequences.order import Chosen, plan_epoch


@dataclass(frozen=True)
class Prompt:
    """Objects of which the same blocks are given.

    Attributes
    ----------
    place : int64 (B,)
        Positions of the objects among all objects of the request.
    objects : int64 (B,)
        Numbers of the objects in the sequence set.
    blocks : tuple of str
        Given blocks other than the scalar block, in the layout's order.
    scalars : int32 (B, 1 + C)
        SEP and the tokens of the scalar block; MISS in a column that is not given, or missing.
    """

    place: np.ndarray
    objects: np.ndarray
    blocks: tuple[str, ...]
    scalars: np.ndarray

    @property
    def shown(self) -> np.ndarray:
        """Whether SEP and each scalar have a token, bool (B, 1 + C): no SEP without a scalar."""
        shown = self.scalars != MISS
        return shown & shown[:, 1:].any(axis=1, keepdims=True)

    def length(self, layout: SequenceLayout) -> int:
        """Return the number of tokens of the longest, BOS included: P."""
        blocks = sum(1 + layout[name].length for name in self.blocks)
        return 1 + blocks + int(self.shown.sum(axis=1).max(initial=0))

    def batches(self, tokens_each: int, budget: int) -> Iterator[Prompt]:
        """Yield batches of the objects of at most `budget` tokens, or of one object.

        Parameters
        ----------
        tokens_each : int
            Tokens that are run per object.
        budget : int
            Tokens that may be run at once.
        """
        step = max(1, budget // max(1, tokens_each))
        for begin in range(0, len(self.objects), step):
            part = slice(begin, begin + step)
            yield Prompt(
                self.place[part],
                self.objects[part],
                self.blocks,
                self.scalars[part],
            )


def prompts(objects: Encoded, request: Request) -> list[Prompt]:
    """Return a prompt for each set of given blocks that objects share."""
    layout, sequences = objects.layout, objects.sequences
    names = [block.name for block in layout.blocks]
    bits = np.uint32(sum(1 << layout[name].type for name in request.given_blocks))
    pattern = sequences.pattern[objects.numbers] & bits
    scalars = sequences.block_tokens(objects.numbers, names.index(SCALAR))  # (n, 1 + C)
    given = np.zeros(scalars.shape[1], dtype=bool)
    given[[1 + column for column in request.given_columns]] = True
    scalars[:, 1:][:, ~given[1:]] = MISS
    out = []
    for key in np.unique(pattern).tolist():
        place = np.flatnonzero(pattern == key)
        blocks = tuple(n for n in request.given_blocks if (key >> layout[n].type) & 1)
        out.append(Prompt(place, objects.numbers[place], blocks, scalars[place]))
    return out


def count_given(objects: Encoded, request: Request) -> np.ndarray:
    """Return the number of given codes of each object, int32 (n,)."""
    names = [block.name for block in objects.layout.blocks]
    counts = np.zeros(len(objects), dtype=np.int32)
    for prompt in prompts(objects, request):
        counts[prompt.place] += (prompt.scalars[:, 1:] != MISS).sum(axis=1, dtype=np.int32)
        for name in prompt.blocks:
            tokens = objects.sequences.block_tokens(prompt.objects, names.index(name))
            counts[prompt.place] += (tokens[:, 1:] != MISS).sum(axis=1, dtype=np.int32)
    return counts


def check_given(request: Request, n_given: np.ndarray) -> None:
    """Raise `DataError` if the user named what is given and no object has any of it."""
    named = request.given_blocks or request.given_columns
    if request.explicit and named and len(n_given) and not n_given.any():
        must = "measured of at least one object"
        do = "name something else, or give an empty list to predict from nothing"
        raise DataError(must_be("what is given", must, "nothing", do))


def run_prompt(bundle: Bundle, sequences: SequenceSet, prompt: Prompt, room: int) -> Cache:
    """Run the model over a prompt.

    Parameters
    ----------
    bundle : Bundle
        The model.
    sequences : SequenceSet
        Sequences of the objects.
    prompt : Prompt
        Objects, and the blocks that are given.
    room : int
        Number of tokens that will follow.

    Returns
    -------
    Cache
        Keys and values of the prompt's tokens.
    """
    layout, n = bundle.layout, len(prompt.objects)
    names, shown = [block.name for block in layout.blocks], prompt.shown
    tokens: list[np.ndarray] = [np.full((n, 1), BOS, dtype=np.int32)]
    types: list[np.ndarray] = [np.zeros(1, np.int64)]
    slots: list[np.ndarray] = [np.zeros(1, np.int64)]
    for name in prompt.blocks:
        tokens.append(sequences.block_tokens(prompt.objects, names.index(name)))
        types.append(np.full(1 + layout[name].length, layout[name].type, np.int64))
        slots.append(np.arange(1 + layout[name].length))
    tokens.append(prompt.scalars)
    types.append(np.full(shown.shape[1], layout[SCALAR].type, np.int64))
    slots.append(np.arange(shown.shape[1]))
    used = np.concatenate([np.ones((n, sum(map(len, types[:-1]))), dtype=bool), shown], axis=1)
    length = prompt.length(layout)
    padding = np.arange(length) < length - used.sum(axis=1)[:, None]
    joined = np.full((3, n, length), PAD, dtype=np.int64)  # tokens, types, slots
    for row, parts in zip(joined, (tokens, types, slots), strict=True):
        whole = np.concatenate(parts, axis=-1)
        row[~padding] = np.broadcast_to(whole, used.shape)[used]
    cache = bundle.decoder.start(n, length + room)
    rows = joined[0], joined[1], joined[2]
    extend(bundle, cache, *rows, padding=padding if padding.any() else None)
    return cache


def extend(
    bundle: Bundle,
    cache: Cache,
    tokens: np.ndarray,
    types: np.ndarray,
    slots: np.ndarray,
    padding: np.ndarray | None = None,
) -> torch.Tensor:
    """Append tokens (B, N) of types and slots (N,) or (B, N) to a cache; return states."""
    ids, kinds, places = (
        torch.from_numpy(a.astype(np.int64)).to(bundle.device) for a in (tokens, types, slots)
    )
    hidden = None if padding is None else torch.from_numpy(padding).to(bundle.device)
    return bundle.decoder.extend(cache, ids, kinds, places, hidden)


@dataclass(frozen=True)
class Sampling:
    """Options of the sampling of blocks.

    Attributes
    ----------
    n_samples : int
        Samples per object.
    seed : int
        Seed of the random numbers.
    temperature : float
        Divisor of the logits; 0 takes the likeliest code of each slot.
    """

    n_samples: int
    seed: int
    temperature: float = 1.0

    def uniforms(self, objects: np.ndarray, block: Block) -> np.ndarray:
        """Return uniform numbers in [0, 1), float64 (objects × samples, slots of a block).

        They depend on the seed, the block and each object's number, not on the batch.
        """
        shape = (self.n_samples, block.length)
        each = [
            np.random.default_rng([self.seed, block.type, int(i)]).random(shape) for i in objects
        ]
        return np.concatenate(each) if each else np.empty((0, block.length))


def sample_block(
    bundle: Bundle,
    cache: Cache,
    block: Block,
    uniform: np.ndarray,
    temperature: float = 1.0,
) -> np.ndarray:
    """Sample a block that continues sequences.

    Parameters
    ----------
    bundle : Bundle
        The model.
    cache : Cache
        Tokens of R sequences; the block and its SEP are appended.
    block : Block
        The block to sample.
    uniform : float64 (R, slots)
        Uniform numbers in [0, 1).
    temperature : float
        Divisor of the logits; 0 takes the likeliest code.

    Returns
    -------
    uint16 (R, slots)
        Codes in use; 65535 in a slot without any.
    """
    codes, kind = np.full(uniform.shape, MISSING_CODE, dtype=np.uint16), np.array([block.type])
    states = extend(bundle, cache, np.full((len(uniform), 1), SEP), kind, np.array([0]))
    for slot in range(block.length):
        ids = next(r for r in block.ranges if slot < r.first + r.n_slots)
        legal = bundle.legal(ids, slot)
        if legal.used:
            probabilities = _probabilities(bundle, states[:, -1], legal, temperature)
            codes[:, slot] = _pick(probabilities, uniform[:, slot])
        elif block.name == SCALAR:
            continue  # a missing scalar has no token
        own = codes[:, slot, None]
        tokens = np.where(own == MISSING_CODE, MISS, own + legal.first)
        states = extend(bundle, cache, tokens, kind, np.array([1 + slot]))
    return codes


def _probabilities(
    bundle: Bundle, states: torch.Tensor, legal: LegalIds, temperature: float
) -> np.ndarray:
    """Return probabilities of the codes in use, float32 (R, S), after states (R, D + F)."""
    log = bundle.log_probabilities(states, legal)
    if temperature == 0:
        return torch.nn.functional.one_hot(log.argmax(dim=1), legal.used).float().cpu().numpy()
    return (log / temperature).softmax(dim=1).cpu().numpy()


def _pick(probabilities: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Return codes (R,), at which the cumulative probabilities (R, S) exceed uniform numbers."""
    cumulative = np.cumsum(probabilities, axis=1, dtype=np.float64)
    level = uniform * cumulative[:, -1]
    return np.minimum((cumulative <= level[:, None]).sum(axis=1), probabilities.shape[1] - 1)


_PROBABILITIES = 1 << 22
"""Probabilities that are computed at once."""


@dataclass(frozen=True)
class HiddenBlocks:
    """States of the model at a hidden block of some objects.

    Attributes
    ----------
    bundle : Bundle
        The model.
    block : Block
        The block.
    place : int64 (m,)
        Positions of the objects among all objects of the request.
    objects : int64 (m,)
        Their numbers in the sequence set.
    states : float (m, slots, D + F)
        The states that predict each slot.
    """

    bundle: Bundle
    block: Block
    place: np.ndarray
    objects: np.ndarray
    states: torch.Tensor

    def probabilities(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield slots, and the probabilities of their codes in use, float32 (m, slots, S).

        Slots without a code in use are left out.
        """
        for ids in self.block.ranges:
            legal = self.bundle.legal(ids, ids.first)
            most = max(1, _PROBABILITIES // max(1, len(self.place) * legal.size))
            step = 1 if ids.stride else most
            for begin in range(ids.first, ids.first + ids.n_slots, step):
                slots = slice(begin, min(begin + step, ids.first + ids.n_slots))
                legal = self.bundle.legal(ids, begin)
                if legal.used:
                    log = self.bundle.log_probabilities(self.states[:, slots], legal)
                    yield slots, log.exp().cpu().numpy()


def run_given(
    bundle: Bundle,
    objects: Encoded,
    request: Request,
    asked: list[int],
    hidden: Block | None,
    token_budget: int,
) -> Iterator[tuple[np.ndarray, Batch, torch.Tensor]]:
    """Run the model over what is given of objects, and over what is predicted, as in training.

    Parameters
    ----------
    bundle, objects, request
        The model, the objects, and what is given of them.
    asked : list of int
        Numbers of the columns that are asked.
    hidden : Block, optional
        The block that is hidden.
    token_budget : int
        Tokens that are run at once.

    Yields
    ------
    place : int64 (m,)
        Positions of the objects of a batch among all objects.
    batch : Batch
        The batch.
    states : float (N, D + F)
        States of its tokens.
    """
    layout, blocks = bundle.layout, [] if hidden is None else [hidden]
    given, numbers = list(request.given_columns), [layout.number(block.name) for block in blocks]

    def choose(objects: np.ndarray, known: np.ndarray, present: np.ndarray) -> Chosen:
        chosen = Chosen(np.zeros_like(known), np.zeros_like(known), np.zeros_like(present))
        chosen.shown[:, given], chosen.asked[:, asked] = known[:, given], True
        chosen.hidden[:, numbers] = True
        return chosen

    kept = objects.sequences.only(request.given_blocks, range(layout[SCALAR].length))
    lengths = kept.lengths + sum(1 + block.length for block in blocks)
    order = np.argsort(lengths[objects.numbers], kind="stable")
    plan = plan_epoch(objects.numbers[order], lengths, None, 1, token_budget)
    for step in range(len(plan)):
        place = order[plan.edges[step] : plan.edges[step + 1]]
        batch = kept.batch(plan.step(step), None, choose)
        yield place[batch.order], batch, bundle.states(batch)


def hidden_blocks(
    bundle: Bundle, objects: Encoded, request: Request, block: Block, token_budget: int
) -> Iterator[HiddenBlocks]:
    """Run the model over objects whose given parts are followed by a hidden block."""
    for place, batch, states in run_given(bundle, objects, request, [], block, token_budget):
        starts = batch.blocks[block.type].starts
        at = torch.from_numpy(starts[:, None] + np.arange(block.length)).to(bundle.device)
        yield HiddenBlocks(bundle, block, place, batch.objects, states[at])


def pick_each(probabilities: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Return codes, (m, samples, slots), of probabilities (m, slots, S) and uniform numbers."""
    codes = np.empty(uniform.shape, dtype=np.uint16)
    for slot in range(uniform.shape[2]):
        for sample in range(uniform.shape[1]):
            codes[:, sample, slot] = _pick(probabilities[:, slot], uniform[:, sample, slot])
    return codes
