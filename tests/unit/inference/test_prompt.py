"""Codes are sampled from the model's distribution, and only legal ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from astromodal.core.vocab import BOS, MISSING_CODE
from astromodal.inference.prompt import Sampling, sample_block


def sequence(bundle, block, codes):
    """Token ids and types of a sequence of one block."""
    tokens, types = [BOS, 3], [0, block.type]
    for slot, code in enumerate(codes.tolist()):
        ids = next(r for r in block.ranges if slot < r.first + r.n_slots)
        first = bundle.legal(ids, slot).first
        tokens.append(4 if code == MISSING_CODE else first + code)
        types.append(block.type)
    return torch.tensor([tokens]), torch.tensor([types])


def from_nothing(bundle, name, n, **options):
    block = bundle.layout[name]
    cache = bundle.decoder.start(n, 2 + block.length)
    bos, zero = torch.full((n, 1), BOS), torch.zeros(1, dtype=torch.long)
    bundle.decoder.extend(cache, bos, zero, zero)
    uniform = Sampling(1, 0).uniforms(np.arange(n), block)
    return sample_block(bundle, cache, block, uniform, **options), block


def probabilities(bundle, block, codes, slot):
    """The whole model's probabilities of the codes in use at a slot, given the codes before.

    Codes of spectra that stand for no training sample have none.
    """
    ids = next(r for r in block.ranges if slot < r.first + r.n_slots)
    first, _, used = bundle.legal(ids, slot)
    with torch.no_grad():
        logits = bundle.trained.model(*sequence(bundle, block, codes))[0]
    legal = logits[1 + slot, first : first + used]
    if first == bundle.layout.spec.spectrum_offset("desi_r"):
        learned = torch.from_numpy(bundle.tokenizers.spectrum.seen["desi_r"])
        legal = legal.masked_fill(~learned, -torch.inf)
    return legal.softmax(0).numpy()


@pytest.mark.parametrize("name", ["image", "scalar", "desi_r"])
def test_the_likeliest_code_is_that_of_a_whole_run(bundle, name):
    """At temperature 0 every code is the likeliest of the full model after the codes before it."""
    codes, block = from_nothing(bundle, name, 1, temperature=0)
    for slot in np.flatnonzero(codes[0] != MISSING_CODE).tolist():
        p = probabilities(bundle, block, codes[0], slot)
        assert p[codes[0, slot]] == pytest.approx(p.max(), abs=1e-6)


@pytest.mark.parametrize("name", ["image", "scalar", "desi_r"])
def test_only_codes_in_use_are_sampled(bundle, name):
    """Whatever the weights, a code has a centroid; a column without bins stays missing."""
    codes, block = from_nothing(bundle, name, 40, temperature=100.0)
    for slot in range(block.length):
        ids = next(r for r in block.ranges if slot < r.first + r.n_slots)
        used = bundle.legal(ids, slot).used
        assert (codes[:, slot] < used).all() if used else (codes[:, slot] == MISSING_CODE).all()


def test_codes_are_sampled_in_proportion(bundle):
    """Of 4000 samples of one slot, each code's share is its probability within 4 sigma."""
    codes, block = from_nothing(bundle, "scalar", 4000)
    p = probabilities(bundle, block, codes[0], 0).astype(float)
    share = np.bincount(codes[:, 0], minlength=len(p)) / 4000
    assert (np.abs(share - p) <= 4 * np.sqrt(p * (1 - p) / 4000) + 1e-9).all()


def test_without_temperature_there_is_one_sample(bundle):
    """Every sample is the same."""
    codes, _ = from_nothing(bundle, "desi_r", 5, temperature=0)
    assert (codes == codes[0]).all()


def test_samples_are_an_object_s_own():
    """Samples do not depend on the batch, and differ by seed and object."""

    class Block:
        type, length = 3, 4

    both = Sampling(2, 1).uniforms(np.array([5, 9]), Block)
    assert both.shape == (4, 4)
    np.testing.assert_array_equal(Sampling(2, 1).uniforms(np.array([9]), Block), both[2:])
    assert (Sampling(2, 2).uniforms(np.array([9]), Block) != both[2:]).all()
    assert Sampling(2, 1).uniforms(np.empty(0, int), Block).shape == (0, 4)
