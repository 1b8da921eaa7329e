"""Codes are drawn from the model's own distribution, and only legal ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from astromodal.core.vocab import BOS, MISSING_CODE
from astromodal.inference.prompt import draws, sample_block


def sequence(bundle, block, codes):
    """Token ids and types of a sequence that has nothing but a block."""
    tokens, types = [BOS, 3], [0, block.type]
    for slot, code in enumerate(codes.tolist()):
        ids = next(r for r in block.ranges if slot < r.first + r.n_slots)
        first = bundle.legal(ids, slot)[0]
        tokens.append(4 if code == MISSING_CODE else first + code)
        types.append(block.type)
    return torch.tensor([tokens]), torch.tensor([types])


def from_nothing(bundle, name, n, **options):
    block = bundle.layout[name]
    cache = bundle.decoder.start(n, 2 + block.length)
    bos, zero = torch.full((n, 1), BOS), torch.zeros(1, dtype=torch.long)
    bundle.decoder.extend(cache, bos, zero, zero)
    uniform = draws(0, np.arange(n), 1, block)
    return sample_block(bundle, cache, block, uniform, **options), block


@pytest.mark.parametrize("name", ["image", "scalar", "desi_r"])
def test_what_is_watched_is_what_a_whole_run_says(bundle, name):
    """The probabilities at each slot are those of the full model after the codes drawn before."""
    seen = {}
    codes, block = from_nothing(bundle, name, 2, watch=lambda slot, p: seen.update({slot: p}))
    for i in range(2):
        with torch.no_grad():
            logits = bundle.trained.model(*sequence(bundle, block, codes[i]))[0]
        for slot, chances in seen.items():
            ids = next(r for r in block.ranges if slot < r.first + r.n_slots)
            first, used = bundle.legal(ids, slot)
            expected = logits[1 + slot, first : first + used].softmax(0).numpy()
            np.testing.assert_allclose(chances[i], expected, atol=1e-5)


@pytest.mark.parametrize("name", ["image", "scalar", "desi_r"])
def test_only_codes_in_use_are_drawn(bundle, name):
    """Whatever the weights, a code has a centroid; a column without bins stays missing."""
    codes, block = from_nothing(bundle, name, 40, temperature=100.0)
    for slot in range(block.length):
        ids = next(r for r in block.ranges if slot < r.first + r.n_slots)
        used = bundle.legal(ids, slot)[1]
        assert (codes[:, slot] < used).all() if used else (codes[:, slot] == MISSING_CODE).all()


def test_codes_are_drawn_in_proportion(bundle):
    """Of 4000 draws of one slot, each code's share is its probability within 4 sigma."""
    seen = []
    codes, _ = from_nothing(bundle, "scalar", 4000, watch=lambda slot, p: seen.append(p))
    chances = seen[0][0].astype(float)
    share = np.bincount(codes[:, 0], minlength=len(chances)) / 4000
    assert (np.abs(share - chances) <= 4 * np.sqrt(chances * (1 - chances) / 4000) + 1e-9).all()


def test_no_temperature_takes_the_likeliest(bundle):
    """Every draw is the same, and the likeliest of its slot."""
    codes, _ = from_nothing(bundle, "desi_r", 5, temperature=0)
    assert (codes == codes[0]).all()
    seen = []
    from_nothing(bundle, "desi_r", 1, watch=lambda slot, p: seen.append(p[0]))
    assert codes[0, 0] == seen[0].argmax()


def test_draws_are_an_object_s_own():
    """They do not depend on what an object is batched with, and differ by seed and block."""

    class Block:
        type, length = 3, 4

    both = draws(1, np.array([5, 9]), 2, Block)
    assert both.shape == (4, 4)
    np.testing.assert_array_equal(draws(1, np.array([9]), 2, Block), both[2:])
    assert (draws(2, np.array([9]), 2, Block) != both[2:]).all()
    assert draws(1, np.empty(0, int), 2, Block).shape == (0, 4)
