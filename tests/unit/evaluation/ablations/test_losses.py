"""Losses of each object add up to those of the batch."""

import numpy as np
import pytest

from astromodal.config.evaluate import EvaluationSettings
from astromodal.config.training import MeaningfulLossSettings
from astromodal.data.splits import TEST
from astromodal.evaluation.ablations.losses import ObjectLosses, measure_losses
from astromodal.evaluation.context import evaluated_fields
from astromodal.inference.model import AstroModel
from astromodal.sequences.layout import MODALITIES
from astromodal.sequences.store import BlockCodes, pack_objects, write_sequences
from astromodal.training.losses import TypedLoss
from helpers.model import cube_table, toy_bundle

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
