"""What the model is shown of an object before it is asked.

Legend: B objects of a batch, P tokens of a prompt, C scalar columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from astromodal.core.vocab import BOS, MISS, MISSING_CODE, SEP
from astromodal.inference.bundle import Bundle
from astromodal.inference.request import Question
from astromodal.models.decoding import Cache
from astromodal.sequences.dataset import SequenceSet
from astromodal.sequences.layout import SCALAR, Block, SequenceLayout


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


Watch = Callable[[int, np.ndarray], None]
"""Called with each slot and the probabilities, float32 (R, S), of its legal codes."""


def draws(seed: int, objects: np.ndarray, n_samples: int, block: Block) -> np.ndarray:
    """Uniform numbers that samples of a block are drawn with, float64 (objects × samples, slots).

    They depend on the seed, the block and an object's number, not on what it is batched with.
    """
    shape = (n_samples, block.length)
    each = [np.random.default_rng([seed, block.type, int(i)]).random(shape) for i in objects]
    return np.concatenate(each) if each else np.empty((0, block.length))


def sample_block(
    bundle: Bundle,
    cache: Cache,
    block: Block,
    uniform: np.ndarray,
    temperature: float = 1.0,
    watch: Watch | None = None,
) -> np.ndarray:
    """Continue sequences by a block.

    Parameters
    ----------
    bundle : Bundle
        The model.
    cache : Cache
        What was run of R sequences; it grows by the block with its SEP.
    block : Block
        The block.
    uniform : float64 (R, slots)
        Uniform numbers in [0, 1).
    temperature : float
        Logits are divided by it; 0 takes the likeliest code.
    watch : callable, optional
        Looks at the probabilities of every slot.

    Returns
    -------
    uint16 (R, slots)
        Codes; only such as are in use. 65535 in a slot where none is.
    """
    codes = np.full(uniform.shape, MISSING_CODE, dtype=np.uint16)
    tokens = np.full((len(uniform), 1), SEP)
    for slot in range(block.length):
        ids = next(r for r in block.ranges if slot < r.first + r.n_slots)
        states = run(bundle, cache, tokens, np.array([block.type]), np.array([slot]))[:, -1]
        first, used = bundle.legal(ids, slot)
        if not used:
            tokens = np.full_like(tokens, MISS)
            continue
        chances = _chances(bundle, states, first, ids.size, used, temperature)
        if watch is not None:
            watch(slot, chances)
        codes[:, slot] = _pick(chances, uniform[:, slot])
        tokens = codes[:, slot, None].astype(np.int64) + first
    run(bundle, cache, tokens, np.array([block.type]), np.array([block.length]))
    return codes


def _chances(
    bundle: Bundle, states: torch.Tensor, first: int, size: int, used: int, temperature: float
) -> np.ndarray:
    """Probabilities of the codes in use, float32 (R, S), after states (R, D + F)."""
    log = bundle.log_chances(states, first, size, used)
    if temperature == 0:
        return torch.nn.functional.one_hot(log.argmax(dim=1), used).float().cpu().numpy()
    return (log / temperature).softmax(dim=1).cpu().numpy()


def _pick(chances: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Of each row the code in whose share of [0, 1) its uniform number lies."""
    reached = np.cumsum(chances, axis=1, dtype=np.float64)
    wanted = uniform * reached[:, -1]
    return np.minimum((reached <= wanted[:, None]).sum(axis=1), chances.shape[1] - 1)
