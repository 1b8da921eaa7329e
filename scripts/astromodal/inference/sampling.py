"""Blocks drawn from the model, a code at a time.

Legend: R sequences (several of an object may stand side by side), S codes in use, D model.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from astromodal.core.vocab import MISS, MISSING_CODE, SEP
from astromodal.inference.bundle import Bundle
from astromodal.inference.prompts import run
from astromodal.models.decoding import Cache
from astromodal.training.layout import Block

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
