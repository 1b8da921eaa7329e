"""What the model is shown of an object before it is asked.

Legend: B objects of a batch, P tokens of a prompt, C scalar columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from astromodal.core.vocab import BOS, MISS
from astromodal.inference.asking import Question
from astromodal.inference.bundle import Bundle
from astromodal.models.decoding import Cache
from astromodal.training.batches import SequenceSet
from astromodal.training.layout import SCALAR, SequenceLayout


@dataclass(frozen=True)
class Prompt:
    """Objects that are shown the same blocks.

    Attributes
    ----------
    place : int64 (B,)
        Places of the objects among those that were asked about.
    objects : int64 (B,)
        Their numbers.
    blocks : tuple of str
        Blocks that are shown, in the layout's order, the scalars not among them.
    scalars : int32 (B, 1 + C)
        SEP and the tokens of the scalar block; MISS in a column that is not given, or missing.
    tells : bool
        Whether the objects have a scalar that is given: all of them do, or none.
    """

    place: np.ndarray
    objects: np.ndarray
    blocks: tuple[str, ...]
    scalars: np.ndarray
    tells: bool

    def length(self, layout: SequenceLayout) -> int:
        """Tokens before the scalar block, BOS among them: P."""
        return 1 + sum(1 + layout[name].length for name in self.blocks)

    def slice(self, part: slice) -> Prompt:
        """Some of its objects."""
        return Prompt(
            self.place[part], self.objects[part], self.blocks, self.scalars[part], self.tells
        )


def prompts(sequences: SequenceSet, question: Question, objects: np.ndarray) -> list[Prompt]:
    """Gather objects that have the same blocks of what is given."""
    layout = sequences.layout
    names = [block.name for block in layout.blocks]
    bits = np.uint32(sum(1 << layout[name].type for name in question.given_blocks))
    pattern = sequences.pattern[objects] & bits
    scalars = sequences.block_tokens(objects, names.index(SCALAR))  # (n, 1 + C)
    given = np.zeros(scalars.shape[1], dtype=bool)
    given[[1 + column for column in question.given_columns]] = True
    scalars[:, 1:][:, ~given[1:]] = MISS
    tells = (scalars[:, 1:] != MISS).any(axis=1)
    keys = np.stack([pattern, tells.astype(np.uint32)], axis=1)
    found = []
    for key in np.unique(keys, axis=0):
        place = np.flatnonzero((keys == key).all(axis=1))
        blocks = tuple(n for n in question.given_blocks if (int(key[0]) >> layout[n].type) & 1)
        found.append(Prompt(place, objects[place], blocks, scalars[place], bool(key[1])))
    return found


def count_given(sequences: SequenceSet, question: Question, objects: np.ndarray) -> np.ndarray:
    """Codes that are shown of each object, int32 (n,)."""
    names = [block.name for block in sequences.layout.blocks]
    counts = np.zeros(len(objects), dtype=np.int32)
    for prompt in prompts(sequences, question, objects):
        counts[prompt.place] += (prompt.scalars[:, 1:] != MISS).sum(axis=1, dtype=np.int32)
        for name in prompt.blocks:
            tokens = sequences.block_tokens(prompt.objects, names.index(name))
            counts[prompt.place] += (tokens[:, 1:] != MISS).sum(axis=1, dtype=np.int32)
    return counts


def parts(prompt: Prompt, tokens_each: int, budget: int) -> Iterator[Prompt]:
    """A prompt's objects in parts, of which each runs at most `budget` tokens, or one object."""
    step = max(1, budget // max(1, tokens_each))
    for begin in range(0, len(prompt.objects), step):
        yield prompt.slice(slice(begin, begin + step))


def show(bundle: Bundle, sequences: SequenceSet, prompt: Prompt, scalars: bool, room: int) -> Cache:
    """Run a prompt.

    Parameters
    ----------
    bundle : Bundle
        The model.
    sequences : SequenceSet
        Where the objects are.
    prompt : Prompt
        What to show.
    scalars : bool
        Show the scalar block too, after the others, where any of it is given.
    room : int
        Tokens that are to follow.

    Returns
    -------
    Cache
    """
    layout, n = bundle.layout, len(prompt.objects)
    names = [block.name for block in layout.blocks]
    tokens = [np.full((n, 1), BOS, dtype=np.int32)]
    types, slots = [np.zeros(1, np.int64)], [np.zeros(1, np.int64)]
    for name in (*prompt.blocks, *([SCALAR] if scalars and prompt.tells else [])):
        block = layout[name]
        own = sequences.block_tokens(prompt.objects, names.index(name))
        tokens.append(prompt.scalars if name == SCALAR else own)
        types.append(np.full(1 + block.length, block.type, np.int64))
        slots.append(np.arange(1 + block.length, dtype=np.int64))
    joined = np.concatenate(tokens, axis=1)
    cache = bundle.decoder.start(n, joined.shape[1] + room)
    run(bundle, cache, joined, np.concatenate(types), np.concatenate(slots))
    return cache


def run(
    bundle: Bundle, cache: Cache, tokens: np.ndarray, types: np.ndarray, slots: np.ndarray
) -> torch.Tensor:
    """`Decoder.extend` of arrays: states of tokens (B, N) of types and slots (N,)."""
    moved = (torch.from_numpy(a.astype(np.int64)).to(bundle.device) for a in (tokens, types, slots))
    return bundle.decoder.extend(cache, *moved)
