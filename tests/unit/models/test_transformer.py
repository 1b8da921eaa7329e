"""The causal transformer: what it may see, and that its shortcuts change nothing."""

from __future__ import annotations

import pytest
import torch

from astromodal.core import vocab
from astromodal.models import CausalTransformerLM
from astromodal.models.layers import ColumnIds
from astromodal.models.transformer import (
    MISS,
    N_FEATURES,
    N_TYPES,
    SEP,
    TYPE_SCALAR,
    TYPE_SPECIAL,
    slots_of,
)

V = 60
COLUMNS = ColumnIds(first=20, n_columns=3, n_bins=10)


@pytest.fixture
def model():
    """A small model whose every parameter and feature is random."""
    torch.manual_seed(3)
    model = CausalTransformerLM(V, 16, 2, 2, 32, 0.0, 24, columns=COLUMNS)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
        model.features.normal_()
    return model.eval()


def random_tokens(*shape):
    tokens = torch.randint(5, V, shape)
    tokens[:, 0], tokens[:, 1] = vocab.BOS, vocab.SEP
    tokens[:, 5] = vocab.SEP
    return tokens, torch.randint(0, 8, shape)


def test_no_token_sees_a_later_one(model):
    """Changing a token and its type changes no logits before it, and does change its own."""
    tokens, types = random_tokens(2, 12)
    before = model(tokens, types)
    tokens[:, 7], types[:, 7] = 9, 6
    after = model(tokens, types)
    torch.testing.assert_close(after[:, :7], before[:, :7], rtol=0, atol=0)
    assert (after[:, 7] != before[:, 7]).any()


def test_earlier_tokens_are_seen(model):
    """Changing the second token changes the last logits."""
    tokens, types = random_tokens(1, 12)
    before = model(tokens, types)[:, -1]
    tokens[:, 2] = (tokens[:, 2] + 1 - 5) % (V - 5) + 5
    assert not torch.allclose(model(tokens, types)[:, -1], before)


def test_padding_is_not_seen(model):
    """Logits of a padded sequence are those of the sequence without padding."""
    tokens, types = random_tokens(2, 12)
    padding = torch.zeros(2, 12, dtype=torch.bool)
    padding[0, 9:] = True
    tokens[0, 9:] = vocab.PAD
    padded = model(tokens, types, padding)
    alone = model(tokens[:1, :9], types[:1, :9])
    torch.testing.assert_close(padded[:1, :9], alone)


def test_padding_in_front_is_not_seen_either(model):
    """Rotary angles and slots are relative: padding before a sequence changes nothing."""
    tokens, types = random_tokens(1, 12)
    front = torch.zeros(1, 3, dtype=torch.long)
    padding = torch.tensor([[True] * 3 + [False] * 12])
    padded = model(torch.cat([front, tokens], 1), torch.cat([front, types], 1), padding)
    assert torch.isfinite(padded).all()
    torch.testing.assert_close(padded[:, 3:], model(tokens, types), rtol=1e-4, atol=1e-5)


def test_flat_batches_equal_batches_of_one_length(model):
    """Sequences of two lengths in one flat batch get the hidden states that each gets alone."""
    short, long = random_tokens(3, 8), random_tokens(2, 12)
    tokens, types, slots = (
        torch.cat([a.flatten(), b.flatten()])
        for a, b in [
            (short[0], long[0]),
            (short[1], long[1]),
            (model.slots_of(*short), model.slots_of(*long)),
        ]
    )
    flat = model.flat_hidden(tokens, types, slots, [(3, 8), (2, 12)])
    torch.testing.assert_close(flat[:24].view(3, 8, -1), model.hidden(*short))
    torch.testing.assert_close(flat[24:].view(2, 12, -1), model.hidden(*long))


@pytest.mark.parametrize("positions", [2, 40], ids=["few", "many"])
def test_range_logits_are_the_full_logits_of_those_ids(model, positions):
    """Logits of legal ids equal the full vocabulary's, restricted to them; so do gradients.

    One range is of ids that share a map of features, three are of columns with one each.
    """
    model.double()
    width = 16 + N_FEATURES
    hidden = torch.randn(4, positions, width, dtype=torch.float64, requires_grad=True)
    one, three = model.range_logits([hidden[:1], hidden[1:]], [(5, 1, 15), (20, 3, 10)])
    full = model.logits(hidden)
    wanted = torch.stack([full[1 + i, :, 20 + 10 * i : 30 + 10 * i] for i in range(3)])
    torch.testing.assert_close(one, full[:1, :, 5:20])
    torch.testing.assert_close(three, wanted)
    parts = [(one.square().sum() + three.square().sum()), full[:1, :, 5:20].square().sum()]
    learned = [hidden, model.embedding.weight, model.values.maps_out]
    by_range = torch.autograd.grad(parts[0], learned, retain_graph=True)
    by_all = torch.autograd.grad(parts[1] + wanted.square().sum(), learned)
    torch.testing.assert_close(by_range, by_all)


def test_maps_of_one_column_are_enough(model):
    """A single column in the middle has the logits of its own maps."""
    hidden = torch.randn(1, 4, 16 + N_FEATURES)
    (found,) = model.range_logits([hidden], [(30, 1, 10)])
    torch.testing.assert_close(found, model.logits(hidden)[..., 30:40])


def test_a_value_reaches_later_scalars_before_the_layers(model):
    """What enters the layers at a scalar holds the sum of the maps of all values up to it, by hand.

    So it does at a SEP, at an asked column and at a hidden code. Codes of other types receive
    nothing.
    """
    scalar, asked = vocab.TYPE_SCALAR, vocab.TYPE_ASKED
    tokens = torch.tensor(
        [[vocab.BOS, vocab.SEP, 24, 8, 37, 9, vocab.SEP, 8, vocab.MISS, vocab.MISS]]
    )
    types = torch.tensor([[0, scalar, scalar, 1, scalar, 1, 1, 1, 1, asked]])
    entered = []
    model.layers[0].register_forward_pre_hook(lambda layer, inputs: entered.append(inputs[0]))
    with torch.no_grad():
        model(tokens, types)
        maps = model.values.maps_sum.clone()
        model.values.maps_sum.zero_()
        model(tokens, types)
    weighted = model.features * model.values.weights_in
    first, second = weighted[24] @ maps[0], weighted[37] @ maps[1]
    nothing, both = torch.zeros(16), first + second
    wanted = [nothing, nothing, first, nothing, both, nothing, both, nothing, both, both]
    torch.testing.assert_close(entered[0] - entered[1], torch.stack(wanted), rtol=1e-4, atol=1e-4)


def test_slots_count_from_the_latest_sep():
    """A slot is the distance from the latest SEP; before the first it is 0."""
    tokens = torch.tensor([[1, SEP, 7, 8, SEP, 9], [1, 9, 9, SEP, 8, 8]])
    assert slots_of(tokens).tolist() == [[0, 0, 1, 2, 0, 1], [0, 0, 0, 0, 1, 2]]


def test_slots_of_scalars_are_those_of_their_columns(model):
    """A missing column has no token: the slots of the others stay, and BOS and EOS have slot 0."""
    special, image, scalar = vocab.TYPE_SPECIAL, vocab.TYPE_IMAGE, vocab.TYPE_SCALAR
    tokens = torch.tensor([[vocab.BOS, SEP, 5, 25, SEP, 29, 40, vocab.EOS]])
    types = torch.tensor([[special, image, image, image, scalar, scalar, scalar, special]])
    assert model.slots_of(tokens, types).tolist() == [[0, 0, 1, 2, 0, 1, 3, 0]]


def test_sep_and_types_are_the_vocabularys():
    """Slots are counted from the vocabulary's SEP, and sums go to its types of scalars."""
    assert (SEP, MISS, TYPE_SPECIAL) == (vocab.SEP, vocab.MISS, vocab.TYPE_SPECIAL)
    assert (TYPE_SCALAR, N_TYPES) == (vocab.TYPE_SCALAR, vocab.N_TYPES)
    assert vocab.TYPE_ASKED == N_TYPES - 1


def test_a_model_of_the_same_sizes_takes_the_state(model):
    """Everything that decides on logits is in the state, features included."""
    other = CausalTransformerLM(V, 16, 2, 2, 32, 0.0, 24).eval()
    other.load_state_dict(model.state_dict())
    tokens, types = random_tokens(2, 12)
    torch.testing.assert_close(other(tokens, types), model(tokens, types), rtol=0, atol=0)


def test_a_new_model_starts_near_uniform():
    """Logits of an untrained model are close to 0, so its loss starts at that of its bias."""
    torch.manual_seed(0)
    tokens, types = random_tokens(2, 12)
    assert CausalTransformerLM(V, 64, 2, 2, 64, 0.0, 24)(tokens, types).abs().max() < 0.2


def test_dropout_is_off_in_evaluation():
    """Two evaluations of a model with dropout agree; two training passes do not."""
    model = CausalTransformerLM(V, 16, 1, 2, 32, 0.5, 24)
    tokens, types = random_tokens(1, 12)
    assert not torch.equal(model.hidden(tokens, types), model.hidden(tokens, types))
    model.eval()
    assert torch.equal(model.hidden(tokens, types), model.hidden(tokens, types))


def test_recomputing_layers_changes_no_gradient():
    """With dropout too: the backward pass repeats the random numbers of the forward pass."""
    tokens, types = random_tokens(2, 12)
    gradients = []
    for recompute in (False, True):
        torch.manual_seed(5)
        model = CausalTransformerLM(V, 16, 2, 2, 32, 0.5, 24)
        model.recompute = recompute
        model(tokens, types).square().sum().backward()
        gradients.append([p.grad for p in model.parameters()])
    for plain, again in zip(*gradients, strict=True):
        torch.testing.assert_close(again, plain, rtol=0, atol=0)


def test_heads_that_do_not_divide_the_width_are_refused():
    """d_model / n_heads must be even: rotary angles turn pairs of features."""
    with pytest.raises(ValueError, match="d_model / n_heads must be an even integer, got 15 / 3"):
        CausalTransformerLM(V, 15, 1, 3, 32, 0.0, 24)


def test_sequences_beyond_the_longest_are_refused(model):
    """A sequence longer than max_seq_len has no slots for its tokens."""
    tokens, types = random_tokens(1, 25)
    with pytest.raises(ValueError, match="sequences must have at most 24 tokens, got 25"):
        model(tokens, types)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")  # PyTorch's own
def test_one_compilation_serves_every_layer(model):
    """Compiled layers give the same logits, from two graphs whatever the layers and tokens."""
    batches, graphs = [random_tokens(2, n) for n in (12, 9)], []
    wanted = [model(*batch) for batch in batches]

    def count(graph, inputs):
        graphs.append(graph)
        return graph.forward

    model.compile_layers(count)
    for batch, logits in zip(batches, wanted, strict=True):
        torch.testing.assert_close(model(*batch), logits)
    assert len(graphs) == 2
