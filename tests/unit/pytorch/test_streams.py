"""Streams: every object once, reproducibly, over workers and ranks, and from where it stopped."""

from __future__ import annotations

import itertools
import pickle
from collections import Counter
from types import SimpleNamespace

import pytest
import torch
from torch import distributed
from torch.utils.data import DataLoader

from astromodal.errors import ConfigError
from astromodal.pytorch import CubeStream, SequenceStream, collate_sequences, streams

KINDS = ("sequences", "cubes")
N = {"sequences": 101, "cubes": 290}


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def make(kind, packed, cubes):
    """Makes a stream of either kind."""

    def stream(**options):
        if kind == "sequences":
            return SequenceStream(packed.folder, packed.config, **options)
        return CubeStream(cubes.folder, cubes.config, columns=["mag_pstotal_r", "image"], **options)

    return stream


def keys(items):
    return [(item["field"], item["row"]) for item in items]


def batched(loader):
    found = []
    for batch in loader:
        found += zip(batch["field"], batch["row"].tolist(), strict=True)
    return found


def joined(lists):
    return Counter(key for each in lists for key in each)


def epoch(stream, number):
    stream.set_epoch(number)
    return keys(stream)


def test_an_epoch_has_every_object_once(kind, make):
    """In an order that depends on seed and epoch alone."""
    first = epoch(make(seed=1), 0)
    assert len(first) == len(set(first)) == N[kind] == make().n_objects
    stream = make(seed=1)
    assert [epoch(stream, 1), epoch(stream, 0)] == [epoch(make(seed=1), 1), first]
    assert len({tuple(o) for o in (first, epoch(stream, 1), epoch(make(seed=2), 0))}) == 3
    assert sorted(first) == sorted(epoch(stream, 1))


def test_without_shuffling_it_is_the_order_of_the_files(make):
    """One process gives rows in order, field by field."""
    found = keys(make(shuffle=False))
    assert found == sorted(found)


@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_share_the_objects(kind, make, ranks):
    """Each object belongs to one rank; with `drop`, all ranks have equally many, none twice."""
    kept = [keys(make(rank=rank, world_size=ranks)) for rank in range(ranks)]
    assert joined(kept) == Counter(keys(make()))
    dropped = [keys(make(rank=r, world_size=ranks, remainder="drop")) for r in range(ranks)]
    sizes = [len(part) for part in kept]
    assert [len(part) for part in dropped] == [min(sizes)] * ranks
    assert all(part == whole[: min(sizes)] for part, whole in zip(dropped, kept, strict=True))
    assert max(sizes) - min(sizes) <= (1 if kind == "sequences" else 50)


def test_more_processes_than_row_groups(make, kind):
    """Some then have nothing; no object is lost."""
    shares = [keys(make(rank=rank, world_size=120)) for rank in range(120)]
    assert joined(shares) == Counter(keys(make()))
    assert min(map(len, shares)) == 0


def test_workers_share_what_a_rank_has(make, monkeypatch):
    """Three workers of each of two ranks give every object once."""
    shares = []
    for rank, worker in itertools.product(range(2), range(3)):
        info = SimpleNamespace(id=worker, num_workers=3)
        monkeypatch.setattr(streams, "get_worker_info", lambda info=info: info)
        shares.append(keys(make(rank=rank, world_size=2)))
    monkeypatch.undo()
    assert joined(shares) == Counter(keys(make()))


def test_processes_that_persist_see_the_epoch(packed):
    """Two worker processes give every object once, in another order each epoch."""
    stream = SequenceStream(packed.folder, packed.config)
    loader = DataLoader(
        stream, batch_size=8, num_workers=2, collate_fn=collate_sequences,
        persistent_workers=True, multiprocessing_context="spawn",
    )  # fmt: skip
    orders = []
    for number in range(2):
        stream.set_epoch(number)
        orders.append(batched(loader))
        assert Counter(orders[-1]) == Counter(keys(stream))
    assert orders[0] != orders[1]


@pytest.mark.parametrize("done", [0, 1, 33, 64, 100, 101])
def test_a_stream_goes_on_where_another_stopped(make, done):
    """After any number of objects, in the same epoch; the next epoch is whole."""
    stream = make(seed=4, rank=0, world_size=1)
    whole, after = epoch(stream, 3), epoch(stream, 4)
    stream.set_epoch(3)
    items = iter(stream)
    first = keys(next(items) for _ in range(done))
    state = pickle.loads(pickle.dumps(stream.state_dict()))
    resumed = make(seed=4)
    resumed.load_state_dict(state)
    assert resumed.epoch == 3
    assert first + keys(resumed) == whole
    assert epoch(resumed, 4) == after


def test_a_new_iteration_begins_anew(make):
    """An iteration that was given up leaves nothing behind."""
    stream = make()
    assert keys(itertools.islice(stream, 5)) == keys(stream)[:5]


def test_a_state_of_another_epoch_is_not_used(make):
    """If the epoch is set anew, it begins with its first object."""
    stream = make()
    items = iter(stream)
    for _ in range(5):
        next(items)
    other = make()
    other.load_state_dict(stream.state_dict())
    assert epoch(other, 1) == epoch(make(), 1)


def test_a_state_of_another_stream_is_refused(make):
    """Seed, objects, workers and ranks must be those of the stream that continues."""
    stream = make(seed=5)
    with pytest.raises(ConfigError, match="seed of the state must be 5, as in the stream, got 0"):
        stream.load_state_dict(make().state_dict())
    with pytest.raises(ConfigError, match="objects of the state must be"):
        stream.load_state_dict(stream.state_dict() | {"objects": 7})
    stream.load_state_dict(make(seed=5, rank=1, world_size=2).state_dict())
    with pytest.raises(ConfigError, match="state must be share 0 of 1 .*, got share 1 of 2; use"):
        next(iter(stream))


@pytest.mark.filterwarnings("ignore:'set_vital' is deprecated")
@pytest.mark.parametrize(("workers", "done"), [(0, 3), (0, 0), (2, 3)])
def test_the_stateful_loader_of_torchdata_resumes(packed, workers, done):
    """Batches after a saved state are those of a run that was not interrupted."""
    loaders = pytest.importorskip("torchdata.stateful_dataloader", reason="torchdata is missing")

    def loader():
        return loaders.StatefulDataLoader(
            SequenceStream(packed.folder, packed.config, seed=2), batch_size=8,
            num_workers=workers, collate_fn=collate_sequences,
            multiprocessing_context="spawn" if workers else None,
        )  # fmt: skip

    run, whole = loader(), []
    state = run.state_dict()
    for number, batch in enumerate(run, start=1):
        whole.append(batch["row"].tolist())
        if number == done:
            state = run.state_dict()
    resumed = loader()
    resumed.load_state_dict(state)
    assert [batch["row"].tolist() for batch in resumed] == whole[done:]


def test_the_rank_is_that_of_the_process_group(make, tmp_path):
    """Without a rank, that of `torch.distributed` counts, also in what workers get."""
    distributed.init_process_group("gloo", f"file://{tmp_path}/meeting", rank=0, world_size=1)
    try:
        stream = make()
        assert pickle.loads(pickle.dumps(stream))._group == (0, 1)
        assert keys(stream) == keys(make(rank=0, world_size=1))
    finally:
        distributed.destroy_process_group()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"remainder": "pad"}, "remainder must be keep or drop, got pad"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
        ({"rank": 1}, "rank and world_size must be given together, got rank 1 and world_size None"),
        ({"rank": 2, "world_size": 2}, "rank must be 0 to 1, got 2"),
    ],
)
def test_parameters_are_checked(make, options, said):
    """Each error names the parameter."""
    with pytest.raises(ConfigError, match=said):
        make(**options)


def test_tensors_of_an_item_are_its_own(make):
    """What one item holds does not keep the others of its read in memory."""
    item = next(iter(make()))
    for tensor in (t for t in item.values() if isinstance(t, torch.Tensor)):
        assert tensor.untyped_storage().nbytes() == tensor.nbytes
