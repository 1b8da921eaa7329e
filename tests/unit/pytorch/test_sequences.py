"""Sequences as items and padded batches of PyTorch."""

from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch

from astromodal.core.vocab import BOS, EOS, PAD
from astromodal.errors import ConfigError, FormatError
from astromodal.pytorch import SequenceDataset, SequenceStream, collate_sequences
from astromodal.sequences.dataset import SequenceSet
from astromodal.storage.formats import SKIPPED
from astromodal.storage.json_files import write_json
from helpers.model import write_results

LAST = "datacube_B_sequences.safetensors"


@pytest.fixture
def dataset(packed):
    return SequenceDataset(packed.folder, packed.config)


def test_an_item_is_what_training_sees(dataset):
    """Ids, types and slots are those of a batch of the object; the rest says which one it is."""
    sequences = SequenceSet(dataset.files, dataset.layout)
    assert len(dataset) == len(sequences) == 101
    for number in (0, 69, 70, 100):
        item, batch = dataset[number], sequences.batch(np.array([number]))
        wanted = {"token_ids": batch.tokens, "token_types": batch.types, "slots": batch.slots}
        for name, array in wanted.items():
            assert item[name].dtype == torch.int64
            assert item[name].tolist() == array.tolist()
        assert (item["token_ids"][0], item["token_ids"][-1]) == (BOS, EOS)
        field, row = ("A", number) if number < 70 else ("B", number - 70)
        assert (item["field"], item["row"], item["id"]) == (field, row, sequences.id(number))
        assert item["split"] == int(row % 5 == 0)


def test_items_that_are_read_together_keep_their_order(dataset):
    """In any order, and twice, they are the items that are read alone."""
    numbers = [100, 3, 70, 3]
    for found, number in zip(dataset.__getitems__(numbers), numbers, strict=True):
        assert found["id"] == dataset[number]["id"]
        assert torch.equal(found["token_ids"], dataset[number]["token_ids"])
    assert dataset.__getitems__([]) == []


@pytest.mark.parametrize(("split", "n"), [("train", 80), ("validation", 21), ("test", 0)])
def test_a_split_has_its_own_objects(packed, split, n):
    """Every fifth object validates, the others train."""
    found = SequenceDataset(packed.folder, packed.config, split)
    assert len(found) == n
    assert {found[i]["split"] for i in range(n)} == (
        {["train", "validation"].index(split)} if n else set()
    )


def test_given_leaves_the_rest_out(packed, dataset):
    """With a column and a group, no other column and block has a token."""
    found = SequenceDataset(packed.folder, packed.config, given=["b", "desi_r"])
    group = found.layout["desi_r"].type
    assert set(torch.cat([found[i]["token_types"] for i in range(101)]).tolist()) == {0, 2, group}
    scalars = [
        item["slots"][item["token_types"] == 2] for item in map(found.__getitem__, range(101))
    ]
    assert set(torch.cat(scalars).tolist()) == {0, 2}


def test_batches_are_padded_behind(dataset):
    """The mask is True behind each sequence, where ids are padding and types and slots 0."""
    items = [dataset[i] for i in range(20)]
    batch = collate_sequences(items)
    lengths = [len(item["token_ids"]) for item in items]
    assert len(set(lengths)) > 1
    assert (~batch["key_padding_mask"]).sum(1).tolist() == lengths
    for i, (item, n) in enumerate(zip(items, lengths, strict=True)):
        for name, fill in (("token_ids", PAD), ("token_types", 0), ("slots", 0)):
            assert torch.equal(batch[name][i, :n], item[name])
            assert (batch[name][i, n:] == fill).all()
    assert batch["id"] == [item["id"] for item in items]
    assert batch["row"].tolist() == [item["row"] for item in items]


def test_padded_logits_are_those_of_the_packed_sequences(tmp_path, bundle, encoded, model):
    """`model(token_ids, token_types, key_padding_mask)` gives the embeddings of `AstroModel`.

    It does although columns are missing, whose slots stay empty.
    """
    write_results(tmp_path, bundle, encoded)
    path = tmp_path / "outputs/sequences"
    dataset = SequenceDataset(path, model.config)
    batch = collate_sequences([dataset[i] for i in range(len(dataset))])
    padding = batch["key_padding_mask"]
    with torch.no_grad():
        states = model.model.hidden(batch["token_ids"], batch["token_types"], padding)[..., :16]
    slots = model.model.slots_of(batch["token_ids"], batch["token_types"])
    assert torch.equal(slots[~padding], batch["slots"][~padding])
    kept = ~padding[..., None]
    np.testing.assert_allclose(
        (states * kept).sum(1) / kept.sum(1), model.embed(encoded, "mean"), atol=1e-6
    )


def DatasetItems(dataset):
    return (dataset[i] for i in range(len(dataset)))


def test_a_pickle_holds_no_tokens(dataset):
    """What a worker gets is a few kilobytes, whatever the size of the files."""
    assert len(dataset.numbers) == 101
    assert len(pickle.dumps(dataset)) < 5000


def test_skipped_fields_are_left_out(packed, tmp_path):
    """A note in place of a file is not read, and without any file there is an error."""
    note = tmp_path / LAST
    write_json(note, {"format": SKIPPED, "field": "B", "rule": "encode_images", "error": "bad"})
    files = [packed.folder / "datacube_A_sequences.safetensors", note]
    assert len(SequenceDataset(files, packed.config)) == 70
    with pytest.raises(ConfigError, match=r"files must be one or more, such as .*, got none in "):
        SequenceDataset(packed.folder / "..", packed.config)


def test_a_damaged_file_is_found(packed, tmp_path):
    """Files are compared with their hashes once, unless `verify` is False."""
    path, data = tmp_path / LAST, bytearray((packed.folder / LAST).read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(FormatError, match="must be of hash"):
        SequenceDataset(path, packed.config)
    assert len(SequenceDataset(path, packed.config, verify=False)) == 31


def test_names_are_checked(packed):
    """A split or block that does not exist is an error which names the nearest one."""
    with pytest.raises(ConfigError, match=r"split must be one of train, .*; nearest: 'train'"):
        SequenceDataset(packed.folder, packed.config, "trian")
    with pytest.raises(ConfigError, match="nearest: 'desi_b'"):
        SequenceDataset(packed.folder, packed.config, given="desib")


def test_a_stream_shuffles_blocks(packed):
    """Blocks are in another order each epoch, with the same tokens."""
    stream = SequenceStream(packed.folder, packed.config, shuffle=False, shuffle_blocks=True)
    epochs = []
    for epoch in (0, 1, 1):
        stream.set_epoch(epoch)
        epochs.append([item["token_ids"].tolist() for item in stream])
    assert epochs[1] == epochs[2] != epochs[0]
    assert [sorted(tokens) for tokens in epochs[0]] == [sorted(tokens) for tokens in epochs[1]]


def test_the_package_loads_torch_late():
    """Importing the package loads no torch, and an unknown name is an error."""
    import astromodal.pytorch

    code = "import sys, astromodal.pytorch; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    with pytest.raises(AttributeError, match="has no attribute 'SequenceData'"):
        _ = astromodal.pytorch.SequenceData
