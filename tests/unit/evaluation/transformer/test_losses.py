"""NLL of the codes of sampled objects, and losses of each object, which add up to the batch's."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from astromodal.config.evaluate import EvaluationSettings
from astromodal.config.training import MeaningfulLossSettings
from astromodal.core.vocab import MISS
from astromodal.data.splits import TEST
from astromodal.evaluation.context import evaluated_fields
from astromodal.evaluation.transformer.losses import (
    ObjectLosses,
    measure_losses,
    measure_nll,
    sample_objects,
)
from astromodal.inference.model import AstroModel
from astromodal.sequences.dataset import SequenceSet
from astromodal.sequences.layout import MODALITIES
from astromodal.sequences.order import Chosen
from astromodal.sequences.store import BlockCodes, pack_objects, write_sequences
from astromodal.training.initialisation import Unigram
from astromodal.training.losses import TypedLoss
from helpers.model import cube_table, toy_bundle

CPU = torch.device("cpu")


@pytest.mark.parametrize("shuffle", [None, (3, 0)])
def test_nll_is_that_of_all_logits_over_legal_ids(tmp_path, toy, shuffle):
    """Each code's NLL equals that of a softmax of the whole model's logits over its legal ids."""
    sequences = SequenceSet([toy.write(tmp_path / "s.safetensors", n=6)], toy.layout)
    model, unigram = toy.model(), Unigram(sequences, np.arange(6))
    objects = np.array([2])
    ranges, _ = measure_nll(model, sequences, [objects], unigram, shuffle, None, CPU)
    batch = sequences.batch(objects, shuffle)
    tokens, types = (torch.from_numpy(a)[None].long() for a in (batch.tokens, batch.types))
    logits = model(tokens, types, None)[0]
    for each in ranges:
        for slot in range(each.ids.n_slots):
            if each.block == "scalar":  # a missing one has no token
                place = batch.columns.place[0, slot]
            else:
                block = batch.blocks[toy.layout[each.block].type]
                place = block.starts[0] + each.ids.first + slot + 1
            if place < 0 or batch.tokens[place] == MISS:
                assert np.isnan(each.model[0, slot])
                continue
            low = each.ids.offset + slot * each.ids.stride
            legal = logits[place - 1, low : low + each.ids.size]
            want = -F.log_softmax(legal, 0)[batch.tokens[place] - low]
            assert each.model[0, slot] == pytest.approx(float(want.detach()), abs=1e-5)


def test_unigram_nll_agrees_with_its_own_mean(tmp_path, toy):
    """The baseline's NLL, code by code, has the mean that the baseline itself returns."""
    sequences = SequenceSet([toy.write(tmp_path / "s.safetensors")], toy.layout)
    unigram, objects = Unigram(sequences, np.arange(20)), np.arange(20, 40)
    ranges, _ = measure_nll(
        toy.model(), sequences, [objects[:7], objects[7:]], unigram, None, None, CPU
    )
    for modality, mean in unigram.cross_entropy(sequences, objects).items():
        values = np.concatenate([r.unigram.ravel() for r in ranges if r.ids.modality == modality])
        assert np.nanmean(values) == pytest.approx(mean, rel=1e-5)


def test_first_blocks_are_known(tmp_path, toy):
    """In the layout's order an object with an image has its image first and nothing else."""
    sequences = SequenceSet([toy.write(tmp_path / "s.safetensors", n=4)], toy.layout)
    unigram = Unigram(sequences, np.arange(4))
    batches = [np.arange(4)]
    ranges, rows = measure_nll(toy.model(), sequences, batches, unigram, None, None, CPU)
    first = {
        r.block: dict(zip(rows[r.block].tolist(), r.first.tolist(), strict=True)) for r in ranges
    }
    assert first["image"] == {0: True, 2: True}
    assert first["scalar"] == {0: False, 1: True, 2: False, 3: True}


def test_an_asked_column_is_predicted_where_it_is_asked(tmp_path, toy):
    """Its NLL is that of the logits at the asking token, with everything else before it."""
    sequences = SequenceSet([toy.write(tmp_path / "s.safetensors", n=6)], toy.layout)
    model, unigram, objects = toy.model(), Unigram(sequences, np.arange(6)), np.array([2])

    def ask(objects, known, present):
        asked = known & [False, True]
        return Chosen(known & ~asked, asked, np.zeros_like(present))

    ranges, _ = measure_nll(model, sequences, [objects], unigram, None, ask, CPU)
    batch = sequences.batch(objects, None, ask)
    rows = (torch.from_numpy(a) for a in (batch.tokens, batch.types, batch.slots))
    logits = model.logits(model.flat_hidden(*rows, batch.shapes))
    ids = toy.layout["scalar"].ranges[0]
    legal = logits[batch.columns.place[0, 1], ids.offset + ids.stride :][: ids.size]
    want = -F.log_softmax(legal, 0)[batch.columns.ids[0, 1] - ids.offset - ids.stride]
    (scalar,) = (each for each in ranges if each.block == "scalar")
    assert scalar.model[0, 1] == pytest.approx(float(want.detach()), abs=1e-5)


def test_objects_are_sampled_by_modality(tmp_path, toy):
    """There are at most so many objects per modality, and all of them have it."""
    sequences = SequenceSet([toy.write(tmp_path / "s.safetensors")], toy.layout)
    chosen = sample_objects(sequences, np.arange(40), 5, seed=0)
    assert {name: len(rows) for name, rows in chosen.items()} == {
        "image": 5, "scalar": 5, "spectrum": 5,
    }  # fmt: skip
    assert np.all(chosen["image"] % 2 == 0)


SETTINGS = EvaluationSettings(max_objects=30)


@pytest.fixture(scope="module")
def bundle():
    return toy_bundle()


@pytest.fixture(scope="module")
def encoded(bundle):
    return AstroModel(bundle).encode(cube_table())


@pytest.fixture
def losses(tmp_path, bundle, encoded):
    """Losses of the objects of a field that nothing was trained on."""
    blocks = {}
    for block in bundle.layout.blocks:
        has = encoded.has(block.name)
        if has.any():
            rows, ids = encoded.row[has].astype(np.int32), encoded.ids[has]
            blocks[block.name] = BlockCodes(encoded.codes(block.name), rows, ids, block.name)
    path, hashes = tmp_path / "s.safetensors", bundle.tokenizers.hashes()
    split = np.full(len(encoded), TEST)
    write_sequences(path, pack_objects(bundle.layout, blocks, split), bundle.layout, hashes)
    fields = evaluated_fields(["H"], [], sequences=[path])
    return measure_losses(fields, bundle, SETTINGS)


@pytest.mark.parametrize(("order", "shuffle"), [(0, None), (1, (SETTINGS.seed, 0))])
def test_objects_add_up_to_the_training_s_loss(bundle, encoded, losses, order, shuffle):
    """Sums over objects are the terms of the loss that trains, in either order of blocks."""
    every = np.arange(len(encoded))
    loss = TypedLoss(
        bundle.layout, bundle.tokenizers.tables(), MeaningfulLossSettings(), bundle.device
    )
    batch = encoded.sequences.batch(every, shuffle, bundle.trained.hiding(SETTINGS.seed))
    terms = loss.batch_sums(bundle.trained.model, batch, None)
    for m, modality in enumerate(MODALITIES):
        entropy, error = (terms[name, modality] for name in ("cross_entropy", "squared_error"))
        assert losses.codes[:, m].sum() == entropy.n
        nll, squared = (getattr(losses, n)[order, :, m] for n in ("nll", "squared"))
        assert nll.sum() == pytest.approx(entropy.total.item(), rel=1e-4)
        assert squared.sum() == pytest.approx(error.total.item(), rel=1e-4)


def test_scalars_are_in_their_units(bundle, encoded, losses):
    """Nothing where nothing was measured, and no error beyond the range of the column's bins."""
    tokenizer = bundle.tokenizers.scalar
    missing = ~np.isfinite(tokenizer.decode(encoded.codes("scalar")))
    np.testing.assert_array_equal(np.isnan(losses.scalars[0]), missing)
    for i, used in enumerate(tokenizer.n_codes):
        errors = losses.scalars[0][~missing[:, i], i]
        assert (errors <= np.ptp(tokenizer.centers[i, :used])).all() if used else not len(errors)


def test_a_file_gives_them_back(tmp_path, losses):
    """Every array is loaded as it was saved."""
    losses.save(tmp_path / "l.npz")
    loaded = ObjectLosses.load(tmp_path / "l.npz")
    for name, value in vars(losses).items():
        np.testing.assert_array_equal(getattr(loaded, name), value)
