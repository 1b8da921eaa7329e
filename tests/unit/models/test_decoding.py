"""Running the model step by step gives what one run over everything gives."""

from __future__ import annotations

import pytest
import torch

from astromodal.core import vocab
from astromodal.models import CausalTransformerLM
from astromodal.models.decoding import Decoder
from astromodal.models.layers import ColumnIds

V = 60


@pytest.fixture
def model():
    """A small model whose every parameter and feature is random."""
    torch.manual_seed(3)
    model = CausalTransformerLM(V, 16, 2, 2, 32, 0.1, 24, columns=ColumnIds(20, 3, 10))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
        model.features.normal_()
    return model.eval()


@pytest.fixture
def sequences(model):
    """Token ids (3, 14), and the types and slots (14,) that they share."""
    torch.manual_seed(4)
    tokens = torch.randint(5, V, (3, 14))
    tokens[:, 0], tokens[:, 1], tokens[:, 6] = vocab.BOS, vocab.SEP, vocab.SEP
    types = torch.tensor([0] + [1] * 5 + [vocab.TYPE_SCALAR] * 6 + [vocab.TYPE_ASKED] * 2)
    tokens[:, 7:12] = 20 + 10 * torch.tensor([0, 0, 1, 1, 2]) + torch.randint(10, (3, 5))
    return tokens, types, model.slots_of(tokens, types.expand(3, -1))[0]


def full(model, tokens, types):
    with torch.no_grad():
        return model.hidden(tokens, types.expand(len(tokens), -1))


@pytest.mark.parametrize("steps", [[14], [1] * 14, [5, 1, 1, 7], [2, 12]])
def test_logits_step_by_step_are_those_of_one_run(model, sequences, steps):
    """However a sequence is divided, the cached logits differ by less than 1e-5."""
    tokens, types, slots = sequences
    decoder = Decoder(model)
    cache, begin, states = decoder.start(3, 20), 0, []
    for n in steps:
        part = slice(begin, begin + n)
        states.append(decoder.extend(cache, tokens[:, part], types[part], slots[part]))
        begin += n
    found = model.logits(torch.cat(states, dim=1))
    expected = model.logits(full(model, tokens, types))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_a_repeated_cache_goes_on_by_itself(model, sequences):
    """Copies of a sequence continue differently, each as if run alone."""
    tokens, types, slots = sequences
    decoder = Decoder(model)
    cache = decoder.start(1, 10)
    decoder.extend(cache, tokens[:1, :9], types[:9], slots[:9])
    copies, last = cache.repeat(2), torch.tensor([[37], [38]])
    found = decoder.extend(copies, last, types[9:10], slots[9:10])
    for i in range(2):
        alone = full(model, torch.cat([tokens[:1, :9], last[i : i + 1]], dim=1), types[:10])
        torch.testing.assert_close(found[i], alone[0, 9:], rtol=0, atol=1e-5)


def test_each_sequence_may_have_slots_of_its_own(model, sequences):
    """Slots by sequence give what each sequence gives alone with its slots."""
    tokens, types, slots = sequences
    own = torch.stack([slots, slots.clamp(max=4), slots + 2])
    decoder = Decoder(model)
    found = decoder.extend(decoder.start(3, 14), tokens, types, own)
    for i in range(3):
        alone = decoder.extend(decoder.start(1, 14), tokens[i : i + 1], types, own[i])
        torch.testing.assert_close(found[i], alone[0], rtol=0, atol=1e-5)


def test_padding_in_front_changes_no_state(model, sequences):
    """A shorter sequence behind padding goes on as it does alone, copies of it too."""
    tokens, types, slots = sequences
    decoder, n = Decoder(model), torch.tensor([0, 3, 5])
    padding = torch.arange(12) < n[:, None]
    rows = [torch.zeros(3, 12, dtype=torch.long) for _ in range(3)]
    for i, skipped in enumerate(n.tolist()):
        for row, values in zip(rows, (tokens[i], types, slots), strict=True):
            row[i, skipped:] = values[: 12 - skipped]
    cache = decoder.start(3, 14)
    decoder.extend(cache, *rows, padding)
    last = torch.full((6, 2), 7)
    found = decoder.extend(cache.repeat(2), last, types[12:], slots[12:])
    for i, skipped in enumerate(n.tolist()):
        alone = decoder.start(1, 14)
        decoder.extend(alone, *(row[i : i + 1, skipped:] for row in rows))
        wanted = decoder.extend(alone, last[:1], types[12:], slots[12:]).expand(2, -1, -1)
        torch.testing.assert_close(found[2 * i : 2 * i + 2], wanted, rtol=0, atol=1e-5)


def test_too_long_a_sequence_is_refused(model):
    """There is no room for more tokens than the model takes."""
    with pytest.raises(ValueError, match="at most 24 tokens, got 25"):
        Decoder(model).start(1, 25)
