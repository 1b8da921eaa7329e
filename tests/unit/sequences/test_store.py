"""Sequences on disk."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from safetensors import safe_open

from astromodal.core.vocab import MISS, MISSING_CODE, SEP
from astromodal.errors import FormatError
from astromodal.sequences.store import SequenceStore, pack_objects, write_sequences
from astromodal.storage.arrays import save_tensors


def test_the_file_is_a_safetensors_file(survey):
    """The library of that name reads the same arrays and metadata."""
    store = SequenceStore.open(survey.path)
    with safe_open(survey.path, framework="numpy") as file:
        assert file.metadata().items() >= store.meta.items()
        for name in file.keys():  # noqa: SIM118 -- it is no dict
            np.testing.assert_array_equal(file.get_tensor(name), getattr(store, name))


def test_blocks_read_back_are_the_codes_written(survey):
    """Each object's block holds SEP and then its codes, moved to their ids."""
    store = SequenceStore.open(survey.path)
    for block in survey.layout.blocks:
        codes = survey.codes[block.name]
        found = store.blocks(codes.row.astype(np.int64), block)
        assert (found[:, 0] == SEP).all()
        for ids in block.ranges:
            slots = slice(ids.first, ids.first + ids.n_slots)
            tokens = found[:, 1:][:, slots] - ids.offset - ids.stride * np.arange(ids.n_slots)
            raw = codes.codes[:, slots]
            known = raw != MISSING_CODE
            np.testing.assert_array_equal(tokens[known], raw[known])


def test_missing_codes_become_miss_and_no_real_code_does(survey):
    """MISS stands exactly where a code was missing."""
    store = SequenceStore.open(survey.path)
    for block in survey.layout.blocks:
        codes = survey.codes[block.name]
        found = store.blocks(codes.row.astype(np.int64), block)[:, 1:]
        np.testing.assert_array_equal(found == MISS, codes.codes == MISSING_CODE)


def test_absent_blocks_are_left_out(survey):
    """An object has the blocks that its files hold, in the order of their types."""
    store = SequenceStore.open(survey.path)
    for i in range(len(store)):
        types = store.block_type[store.object_ptr[i] : store.object_ptr[i + 1]]
        wanted = [b.type for b in survey.layout.blocks if i in survey.codes[b.name].row]
        assert types.tolist() == wanted


def test_ids_keep_their_text(tmp_path, survey):
    """Ids are stored as UTF-8 of any length, so 64-bit numbers and accents stay exact."""
    names = np.array(["2449704931658296064", "é  ", "", "星"] + ["x"] * 116)
    codes = {name: replace(b, ids=names[b.row]) for name, b in survey.codes.items()}
    path = tmp_path / "s.safetensors"
    write_sequences(path, pack_objects(survey.layout, codes, survey.split), survey.layout, {})
    assert SequenceStore.open(path).ids().tolist() == names.tolist()


def test_ids_are_stable_when_a_group_is_absent(survey):
    """Without any DESI spectra the other blocks' tokens are what they were."""
    fewer = {name: b for name, b in survey.codes.items() if name != "desi_b"}
    all_blocks = pack_objects(survey.layout, survey.codes, survey.split)
    arrays = pack_objects(survey.layout, fewer, survey.split)
    kept = np.repeat(all_blocks["block_type"] != 3, np.diff(all_blocks["block_ptr"]))
    np.testing.assert_array_equal(arrays["tokens"], all_blocks["tokens"][kept])


def test_rows_that_are_no_objects_are_left_out(survey):
    """Images of rows without scalar codes make no sequence."""
    scalar = survey.codes["scalar"]
    half = replace(scalar, codes=scalar.codes[:60], row=scalar.row[:60], ids=scalar.ids[:60])
    arrays = pack_objects(survey.layout, {**survey.codes, "scalar": half}, survey.split)
    assert arrays["row"].tolist() == list(range(60))
    images = (survey.codes["image"].row < 60).sum()
    assert (arrays["block_type"] == 1).sum() == images


def test_no_objects_make_an_empty_file(tmp_path, survey):
    """A field without selected rows has sequences all the same: none."""
    codes = {n: replace(b, codes=b.codes[:0], row=b.row[:0], ids=b.ids[:0])
             for n, b in survey.codes.items()}  # fmt: skip
    path = tmp_path / "empty.safetensors"
    write_sequences(path, pack_objects(survey.layout, codes, survey.split), survey.layout, {})
    store = SequenceStore.open(path)
    assert len(store) == 0
    assert len(store.pattern) == 0


def test_ids_that_differ_between_files_are_refused(survey):
    """Files of different cubes are not joined: the error names both and the row."""
    image = survey.codes["image"]
    ids = image.ids.copy()
    ids[3] = "other"
    codes = {**survey.codes, "image": replace(image, ids=ids)}
    row = image.row[3]
    with pytest.raises(FormatError, match=f"row {row} in image.npz must be .* as in scalar.npz"):
        pack_objects(survey.layout, codes, survey.split)


def test_codes_beyond_their_range_are_refused(survey):
    """A code that the codebook does not have would be another column's id."""
    scalar = survey.codes["scalar"]
    wrong = scalar.codes.copy()
    wrong[5, 1] = 16
    codes = {**survey.codes, "scalar": replace(scalar, codes=wrong)}
    with pytest.raises(FormatError, match=r"scalar.npz: scalar codes must be below 16, got 16"):
        pack_objects(survey.layout, codes, survey.split)


def test_blocks_of_another_length_are_refused(survey):
    """Codes of another config do not fit the slots."""
    image = survey.codes["image"]
    codes = {**survey.codes, "image": replace(image, codes=image.codes[:, :3])}
    with pytest.raises(FormatError, match="image codes must be 9 per object, got 3"):
        pack_objects(survey.layout, codes, survey.split)


@pytest.mark.parametrize("content", [b"", b"not a file of tensors"])
def test_damaged_files_are_refused(tmp_path, content):
    """A file cut short or of another kind is named, not read."""
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content)
    must = r"bad.safetensors must be a safetensors file, got .*; delete it and run pack_sequences"
    with pytest.raises(FormatError, match=must):
        SequenceStore.open(path)


@pytest.mark.parametrize(
    ("arrays", "meta", "got"),
    [
        ({}, {}, "None version None"),
        (
            {"tokens": np.zeros(1, np.int32)},
            {"format": "sequences", "version": "1"},
            "one of tokens",
        ),
        ({}, {"format": "sequences", "version": "2"}, "sequences version 2"),
    ],
)
def test_whole_files_of_another_kind_are_not_to_be_deleted(tmp_path, arrays, meta, got):
    """They are somebody's: nothing in them is damaged."""
    path = tmp_path / "other.safetensors"
    save_tensors(path, arrays, meta)
    must = f"must be sequences version 1, got {got}; use the astromodal that wrote it, or move it a"
    with pytest.raises(FormatError, match=must):
        SequenceStore.open(path)


def test_a_file_cut_short_is_refused(tmp_path, survey):
    """A header that promises more tokens than there are is a damaged file."""
    path = tmp_path / "cut.safetensors"
    path.write_bytes(survey.path.read_bytes()[:-40])
    with pytest.raises(FormatError, match=r"cut.safetensors must be a safetensors file.*; delete"):
        SequenceStore.open(path)


def test_changed_sequences_are_noticed(survey):
    """A flipped bit of a token, once the file is read whole."""
    whole = bytearray(survey.path.read_bytes())
    tokens = SequenceStore.open(survey.path).tokens.tobytes()
    whole[whole.index(tokens) + 40] ^= 1
    survey.path.write_bytes(whole)
    store = SequenceStore.open(survey.path)
    with pytest.raises(FormatError, match=r"must be of hash .*; delete it and run pack_sequences"):
        store.verify()
