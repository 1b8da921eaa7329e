"""Batches without padding."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from astromodal.core.vocab import BOS, EOS, MISS, SEP
from astromodal.errors import FormatError
from astromodal.sequences.columns import AskedColumns
from astromodal.sequences.dataset import SequenceSet
from astromodal.sequences.order import divide, plan_epoch
from astromodal.sequences.layout import SCALAR
from astromodal.sequences.store import pack_objects, write_sequences
from astromodal.storage.safetensors import map_tensors, save_tensors
from helpers.survey import HASHES, make_codes


def split_up(batch):
    """Tokens, types and slots of each sequence of a batch."""
    lengths = [length for count, length in batch.shapes for _ in range(count)]
    edges = np.cumsum([0, *lengths])
    arrays = (batch.tokens, batch.types, batch.slots)
    return [tuple(a[i:j] for a in arrays) for i, j in zip(edges, edges[1:], strict=False)]


@pytest.mark.parametrize("shuffle", [None, (7, 1)], ids=["fixed", "shuffled"])
def test_sequences_are_bos_blocks_eos(survey, shuffle):
    """Every sequence is BOS, each of its object's blocks whole, and EOS."""
    sequences = survey.sequences()
    batch = sequences.batch(np.arange(120), shuffle)
    for number, (tokens, types, slots) in zip(batch.objects, split_up(batch), strict=True):
        assert (tokens[0], tokens[-1]) == (BOS, EOS)
        assert (types[0], types[-1]) == (0, 0)
        seps = np.flatnonzero(tokens == SEP)
        found = {}
        for begin, end in zip(seps, [*seps[1:], len(tokens) - 1], strict=True):
            block = survey.layout.of_type(int(types[begin]))
            assert (types[begin:end] == block.type).all()
            assert slots[begin:end].tolist() == list(range(1 + block.length))
            found[block.name] = tokens[begin:end]
        store = sequences.stores[0]
        for name, block_tokens in found.items():
            wanted = store.blocks(np.array([number]), survey.layout[name])[0]
            np.testing.assert_array_equal(block_tokens, wanted)
        assert set(found) == {n for n, codes in survey.codes.items() if number in codes.row}


def test_starts_are_where_the_seps_stand(survey):
    """``starts`` gives the SEP of every block of a type."""
    batch = survey.sequences().batch(np.arange(50), (1, 2))
    for type, starts in batch.starts.items():
        wanted = np.flatnonzero((batch.tokens == SEP) & (batch.types == type))
        np.testing.assert_array_equal(np.sort(starts), wanted)


def test_fixed_order_is_that_of_the_types(survey):
    """Without a shuffle, blocks follow the layout."""
    for tokens, types, _ in split_up(survey.sequences().batch(np.arange(120))):
        seps = types[tokens == SEP]
        assert (np.diff(seps) > 0).all()


def test_block_orders_are_drawn_evenly(survey):
    """Shuffled, each of an object's two blocks comes first about half of the time."""
    sequences = survey.sequences()
    two = np.flatnonzero(sequences.pattern == (1 << 1 | 1 << 2))
    first = [
        types[1]
        for epoch in range(200)
        for _, types, _ in split_up(sequences.batch(two[:5], (0, epoch)))
    ]
    assert 0.4 < np.mean(np.array(first) == 1) < 0.6


def test_hidden_scalars_are_shown_as_missing_and_stay_targets(survey):
    """Inputs differ from the tokens in scalars alone, where they are MISS."""
    batch = survey.sequences().batch(np.arange(120), (0, 0), HiddenColumns(1.0, (3, 0, 1)))
    differ = batch.inputs != batch.tokens
    assert differ.any()
    assert (batch.inputs[differ] == MISS).all()
    assert set(batch.types[differ]) == {survey.layout["scalar"].type}
    assert SEP not in batch.tokens[differ]


def test_nothing_is_hidden_unless_asked():
    """A probability of 0 hides nothing."""
    assert not HiddenColumns(0.0, (3, 0, 1)).sample(np.arange(100), 5).any()


def test_every_part_of_the_columns_is_hidden_and_often_all():
    """Of chosen objects half lose all columns; of the others the number is spread evenly."""
    hidden = HiddenColumns(0.5, (3, 0, 1)).sample(np.arange(40_000), 4).sum(axis=1)
    found = np.bincount(hidden, minlength=5) / 40_000
    np.testing.assert_allclose(found, [0.55, 0.05, 0.05, 0.05, 0.3], atol=0.01)


def test_what_is_hidden_does_not_depend_on_the_batch():
    """It is a function of the key and the object alone."""
    hidden_columns = HiddenColumns(0.5, (3, 7, 1))
    several = hidden_columns.sample(np.array([4, 9, 2]), 6)
    np.testing.assert_array_equal(several[1:2], hidden_columns.sample(np.array([9]), 6))
    assert (several != HiddenColumns(0.5, (3, 8, 1)).sample(np.array([4, 9, 2]), 6)).any()


def test_only_some_blocks_stay(survey):
    """The same objects, shorter: no block but those named, and no scalar but those numbered."""
    whole = survey.sequences()
    names = [block.name for block in survey.layout.blocks]
    seen = whole.only([names[0]], [1])
    kept = {survey.layout[name].type for name in (names[0], SCALAR)}
    for number, (tokens, types, _) in zip(*_each(seen, 120), strict=True):
        assert set(types[1:-1].tolist()) <= kept
        scalars = tokens[types == survey.layout[SCALAR].type][1:]
        own = whole.block_tokens(np.array([number]), names.index(SCALAR))[0, 1:]
        expected = np.where(np.arange(len(own)) == 1, own, MISS)
        np.testing.assert_array_equal(scalars, expected)
    assert len(whole.batch(np.arange(120)).tokens) > len(seen.batch(np.arange(120)).tokens)


def test_without_a_column_the_scalars_go(survey):
    """An object of which nothing is left is BOS and EOS."""
    nothing = survey.sequences().only([], [])
    assert set(nothing.lengths.tolist()) == {2}
    assert nothing.batch(np.arange(5)).tokens.tolist() == [BOS, EOS] * 5


def test_only_twice_is_what_both_leave(survey):
    """A column that was left out does not come back."""
    seen = survey.sequences().only([], [0, 1]).only([], [1, 2])
    place = [block.name for block in survey.layout.blocks].index(SCALAR)
    tokens = seen.block_tokens(np.arange(120), place)[:, 1:]
    assert (np.delete(tokens, 1, axis=1) == MISS).all()
    assert (tokens[:, 1] != MISS).any()


def _each(sequences, n):
    """Numbers and sequences of some objects."""
    batch = sequences.batch(np.arange(n))
    return batch.objects, split_up(batch)


def test_an_objects_block_order_does_not_depend_on_its_batch(survey):
    """The order depends on seed, epoch and object alone."""
    sequences = survey.sequences()
    together = sequences.batch(np.arange(120), (5, 3))
    sequence = dict(zip(together.objects.tolist(), split_up(together), strict=True))
    for number in range(0, 120, 17):
        alone = split_up(sequences.batch(np.array([number]), (5, 3)))[0]
        np.testing.assert_array_equal(alone[0], sequence[number][0])


def test_fields_are_numbered_through(tmp_path, survey):
    """Objects of a second field follow those of the first, and keep their ids and tokens."""
    path = tmp_path / "second.safetensors"
    codes = make_codes(survey.layout, 30, seed=2)
    arrays = pack_objects(survey.layout, codes, survey.split[:30])
    write_sequences(path, arrays, survey.layout, HASHES)
    both = SequenceSet([survey.path, path], survey.layout)
    alone = SequenceSet([path], survey.layout)
    assert len(both) == 150
    assert both.id(123) == alone.id(3) == "F2-3é"
    fields, rows = both.places(np.array([123, 5, 120]))
    assert (fields.tolist(), rows.tolist()) == ([1, 0, 1], [3, 5, 0])
    chosen = np.array([3, 8])
    np.testing.assert_array_equal(both.batch(chosen + 120).tokens, alone.batch(chosen).tokens)


def test_sequences_of_another_vocabulary_are_refused(tmp_path, survey):
    """A file whose ids mean something else is named, with both hashes."""
    path = tmp_path / "other.safetensors"
    arrays, meta = map_tensors(survey.path)
    save_tensors(path, arrays, {**meta, "vocab_hash": "000"})
    with pytest.raises(FormatError, match=r"other.safetensors: vocabulary of hash .* got 000"):
        SequenceSet([path], survey.layout)


def test_sequences_of_different_tokenizers_are_refused(tmp_path, survey):
    """Two fields encoded with different tokenizers do not train one model."""
    path = tmp_path / "other.safetensors"
    arrays = pack_objects(survey.layout, survey.codes, survey.split)
    write_sequences(path, arrays, survey.layout, {**HASHES, "image": "another"})
    with pytest.raises(FormatError, match="tokenizers of hashes must be .*'i'.* got .*'another'"):
        SequenceSet([survey.path, path], survey.layout)


lengths = st.lists(st.integers(3, 40), min_size=1, max_size=60).map(np.array)


@given(lengths, st.integers(5, 100), st.integers(0, 5))
def test_an_epoch_visits_each_object_once(lengths, budget, epoch):
    """Steps divide the objects, whatever the budget."""
    plan = plan_epoch(np.arange(len(lengths)), lengths, (1, epoch), 4, budget)
    visited = np.concatenate([plan.step(i) for i in range(len(plan))])
    assert sorted(visited.tolist()) == list(range(len(lengths)))


@given(lengths, st.integers(5, 100))
def test_a_step_keeps_to_its_budget(lengths, budget):
    """A step exceeds the budget only with a single object, and no step could take one more."""
    plan = plan_epoch(np.arange(len(lengths)), lengths, (1, 0), 4, budget)
    for i in range(len(plan)):
        total = lengths[plan.step(i)].sum()
        assert total <= budget or len(plan.step(i)) == 1
        if i + 1 < len(plan):
            assert total + lengths[plan.step(i + 1)[0]] > budget


def test_without_a_budget_steps_count_objects():
    """``batch_size`` objects per step, the last one smaller."""
    plan = plan_epoch(np.arange(10), np.full(10, 7), None, 4, None)
    assert [len(plan.step(i)) for i in range(len(plan))] == [4, 4, 2]


@pytest.mark.parametrize("budget", [None, 100])
def test_no_objects_make_no_steps(budget):
    """An epoch over nothing is empty."""
    empty = np.empty(0, dtype=np.int64)
    assert len(plan_epoch(empty, empty, (0, 0), 4, budget)) == 0


def test_epochs_differ_and_repeat():
    """Each epoch has an order of its own, the same at every call."""
    objects, lengths = np.arange(100), np.full(100, 5)
    plans = [plan_epoch(objects, lengths, (1, epoch), 8, None).objects for epoch in (0, 1, 0)]
    assert (plans[0] != plans[1]).any()
    np.testing.assert_array_equal(plans[0], plans[2])


@given(lengths, st.integers(1, 6))
def test_parts_divide_a_step_evenly(lengths, parts):
    """Each object is in one part; no part exceeds the emptiest by more than an object's tokens."""
    divided = divide(np.arange(len(lengths)), lengths, parts)
    assert len(divided) == parts
    assert sorted(np.concatenate(divided).tolist()) == list(range(len(lengths)))
    tokens = [int(lengths[part].sum()) for part in divided]
    assert max(tokens) - min(tokens) <= lengths.max()


def test_parts_by_hand():
    """Longest first, to the emptiest of three: 9, 7, 5, then 5 to the 5, 4 to the 7, 2 to the 9."""
    lengths = np.array([4, 9, 5, 2, 7, 5])
    divided = divide(np.arange(6), lengths, 3)
    assert [part.tolist() for part in divided] == [[1, 3], [4, 0], [2, 5]]


def test_one_part_is_the_step_in_its_order():
    """A step that nobody shares is left as it is."""
    np.testing.assert_array_equal(divide(np.array([3, 1, 2]), np.full(4, 5), 1)[0], [3, 1, 2])
