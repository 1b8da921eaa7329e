"""Batches without padding."""

from __future__ import annotations

import numpy as np
import pytest

from astromodal.core.vocab import BOS, EOS, MISS, SEP, TYPE_ASKED
from astromodal.errors import FormatError
from astromodal.sequences.dataset import SequenceSet
from astromodal.sequences.layout import IMAGE, SCALAR
from astromodal.sequences.order import Chosen, Hiding
from astromodal.sequences.store import pack_objects, write_sequences
from astromodal.storage.arrays import map_tensors, save_tensors
from helpers.survey import HASHES, make_codes


def split_up(batch):
    """Tokens, types and slots of each sequence of a batch."""
    lengths = [length for count, length in batch.shapes for _ in range(count)]
    edges = np.cumsum([0, *lengths])
    arrays = (batch.tokens, batch.types, batch.slots)
    return [tuple(a[i:j] for a in arrays) for i, j in zip(edges, edges[1:], strict=False)]


@pytest.mark.parametrize("shuffle", [None, (7, 1)], ids=["fixed", "shuffled"])
def test_sequences_are_bos_blocks_eos(survey, shuffle):
    """Every sequence is BOS, its object's blocks and EOS; missing scalars have no token."""
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
            found[block.name] = tokens[begin:end], slots[begin:end]
        store = sequences.stores[0]
        for name, (block_tokens, block_slots) in found.items():
            wanted = store.blocks(np.array([number]), survey.layout[name])[0]
            kept = (wanted != MISS) | (name != SCALAR)
            np.testing.assert_array_equal(block_tokens, wanted[kept])
            np.testing.assert_array_equal(block_slots, np.flatnonzero(kept))
        scalars = store.blocks(np.array([number]), survey.layout[SCALAR])[0, 1:]
        wanted = {n for n, codes in survey.codes.items() if number in codes.row}
        assert set(found) == (wanted if (scalars != MISS).any() else wanted - {SCALAR})


def test_starts_are_where_the_seps_stand(survey):
    """``blocks`` gives the SEP of every block of a type, and the ids that follow it."""
    batch = survey.sequences().batch(np.arange(50), (1, 2))
    for type, block in batch.blocks.items():
        wanted = np.flatnonzero((batch.tokens == SEP) & (batch.types == type))
        np.testing.assert_array_equal(np.sort(block.starts), wanted)
        place = block.starts[:, None] + 1 + np.arange(block.ids.shape[1])
        np.testing.assert_array_equal(batch.tokens[place], block.ids)


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
        np.testing.assert_array_equal(scalars, own[1:2][own[1:2] != MISS])
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


def ask(*columns):
    """Ask some columns whether known or not, and show all other known ones."""

    def choose(numbers, known, present):
        asked = np.zeros_like(known)
        asked[:, list(columns)] = True
        return Chosen(known & ~asked, asked, np.zeros_like(present))

    return choose


def hide(number):
    """Hide a block, whether an object has it or not, and show everything else."""

    def choose(numbers, known, present):
        hidden = np.zeros_like(present)
        hidden[:, number] = True
        return Chosen(known, np.zeros_like(known), hidden)

    return choose


@pytest.mark.parametrize("shuffle", [None, (7, 1)], ids=["fixed", "shuffled"])
def test_a_hidden_block_stands_last_and_holds_no_code(survey, shuffle):
    """After all that is shown comes its SEP, and MISS in each of its slots."""
    image = survey.layout[IMAGE]
    batch = survey.sequences().batch(np.arange(60), shuffle, hide(survey.layout.number(IMAGE)))
    for tokens, types, slots in split_up(batch):
        last = slice(-2 - image.length, -1)
        assert tokens[last].tolist() == [SEP] + [MISS] * image.length
        assert (types[last] == image.type).all()
        assert slots[last].tolist() == list(range(1 + image.length))
        assert (types[: -2 - image.length] != image.type).all()


def test_a_hidden_block_keeps_its_codes_for_the_loss(survey):
    """They are those of the same objects shown; what an object does not have is missing."""
    sequences, kind = survey.sequences(), survey.layout[IMAGE].type
    shown = sequences.batch(np.arange(60)).blocks[kind]
    hidden = sequences.batch(np.arange(60), None, hide(survey.layout.number(IMAGE))).blocks[kind]
    assert sorted(hidden.objects) == list(range(60))
    by_number = dict(zip(hidden.objects.tolist(), hidden.ids, strict=True))
    for number, ids in zip(shown.objects.tolist(), shown.ids, strict=True):
        np.testing.assert_array_equal(by_number.pop(number), ids)
    assert all((ids == MISS).all() for ids in by_number.values())
    assert by_number


def test_lengths_bound_what_is_hidden_and_asked(survey):
    """No object is longer than its largest number of tokens, whatever is hidden of it."""
    sequences = survey.sequences()
    choice = Hiding((1, 2), 0.5, (0,), 0.5, survey.layout.hideable, 0.5)
    batch = sequences.batch(np.arange(120), (3, 0), choice)
    lengths = [len(tokens) for tokens, _, _ in split_up(batch)]
    assert (np.array(lengths) <= sequences.lengths[batch.objects]).all()


@pytest.mark.parametrize("shuffle", [None, (7, 1)], ids=["fixed", "shuffled"])
def test_asked_columns_stand_last_and_hold_no_value(survey, shuffle):
    """After all blocks comes a SEP of the type of asked columns, and MISS in the slot of each."""
    kind = TYPE_ASKED
    batch = survey.sequences().batch(np.arange(60), shuffle, ask(0, 2))
    for tokens, types, slots in split_up(batch):
        assert types[-4:].tolist() == [kind, kind, kind, 0]
        assert tokens[-4:].tolist() == [SEP, MISS, MISS, EOS]
        assert slots[-4:].tolist() == [0, 1, 3, 0]
        assert (types[:-4] != kind).all()
        shown = slots[(types == survey.layout[SCALAR].type) & (tokens != SEP)]
        assert set(shown.tolist()) <= {2}


def test_columns_know_where_they_stand(survey):
    """Places are those of shown values and of queries; a column without a token has none."""
    batch = survey.sequences().batch(np.arange(60), (7, 1), ask(0))
    columns = batch.columns
    assert (columns.place[:, 0] >= 0).all()
    assert columns.asked[:, 0].all()
    assert not columns.asked[:, 1:].any()
    assert (batch.tokens[columns.place[:, 0]] == MISS).all()
    shown = columns.place[:, 1:] >= 0
    np.testing.assert_array_equal(shown, columns.ids[:, 1:] != MISS)
    np.testing.assert_array_equal(
        batch.tokens[columns.place[:, 1:][shown]], columns.ids[:, 1:][shown]
    )


def test_sequences_say_where_their_objects_were(survey):
    """Sequences are sorted by their length; `order` leads back to the objects asked for."""
    objects = np.array([9, 3, 60, 4])
    batch = survey.sequences().batch(objects, None, ask(1))
    np.testing.assert_array_equal(objects[batch.order], batch.objects)


def test_lengths_are_upper_bounds(survey):
    """However columns are shown and asked, no sequence is longer than its object's `lengths`."""
    sequences = survey.sequences()
    batch = sequences.batch(np.arange(120), None, ask(0, 1))
    found = [len(tokens) for tokens, _, _ in split_up(batch)]
    assert (np.array(found) <= sequences.lengths[batch.objects]).all()


def test_objects_that_know_a_column(survey):
    """Objects whose scalars are missing in all of some columns differ."""
    sequences = survey.sequences()
    index = [block.name for block in survey.layout.blocks].index(SCALAR)
    tokens = sequences.block_tokens(np.arange(120), index)[:, 1:]
    found = sequences.know_any(np.arange(120), [0, 2])
    np.testing.assert_array_equal(found, (tokens[:, [0, 2]] != MISS).any(axis=1))
    assert not sequences.know_any(np.arange(120), []).any()


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


def test_labels_are_asked_after_the_columns(survey):
    """In tokens of the last slots, before EOS, of every object, with or without scalars."""
    layout = survey.layout
    plain, asking = survey.sequences(), survey.sequences().only([IMAGE], []).asking(2)
    batch = asking.batch(np.arange(50))
    assert batch.columns.objects.tolist() == batch.objects.tolist()
    places = batch.columns.place[:, layout[SCALAR].length :]
    assert (batch.tokens[places] == MISS).all()
    assert (batch.types[places] == TYPE_ASKED).all()
    assert (batch.slots[places] == layout[SCALAR].length + np.array([1, 2])).all()
    assert (batch.tokens[places[:, 1] + 1] == EOS).all()
    bare = plain.only([IMAGE], []).batch(np.arange(50))
    assert len(batch.tokens) == len(bare.tokens) + 3 * 50  # their SEP, and two of them
    assert (asking.lengths[batch.objects] >= [len(t) for t, _, _ in split_up(batch)]).all()


def test_blocks_of_some_objects_are_left_out(survey):
    """Those of the others stay."""
    sequences, layout = survey.sequences(), survey.layout
    hidden = np.zeros((len(sequences), len(layout.blocks)), dtype=bool)
    hidden[::2, layout.number(IMAGE)] = True
    left = sequences.without(hidden)
    bit = np.uint32(1 << layout[IMAGE].type)
    assert not (left.pattern[::2] & bit).any()
    assert (left.pattern[1::2] == sequences.pattern[1::2]).all()
    assert (left.pattern[::2] == sequences.pattern[::2] & ~bit).all()
    assert (left.lengths <= sequences.lengths).all()
