"""The model gives the same results on a GPU as on the CPU; skipped without a GPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from astromodal.inference.model import AstroModel
from helpers.cutouts import cutouts
from helpers.model import cube_table, toy_bundle, write_run

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """The same model on the CPU and on the GPU."""
    run = write_run(tmp_path_factory.mktemp("run"), toy_bundle())
    return AstroModel.from_run(run), AstroModel.from_run(run, "cuda")


def test_codes_are_the_same(pair):
    """Rows are encoded to the same codes; of an image, all but those of latents on an edge."""
    cpu, gpu = (model.encode(cube_table()) for model in pair)
    for block in ("scalar", "desi_r"):
        np.testing.assert_array_equal(gpu.codes(block), cpu.codes(block))
    assert (gpu.codes("image") == cpu.codes("image")).mean() > 0.99


def test_embeddings_are_the_same(pair):
    """Embeddings agree to three digits."""
    cpu, gpu = (model.embed(model.encode(cube_table())) for model in pair)
    np.testing.assert_allclose(gpu, cpu, rtol=1e-3, atol=1e-3 * np.abs(cpu).max())


def test_predictions_are_the_same(pair):
    """Probabilities of redshifts agree to three digits."""
    given = ["mag_pstotal_r", "mag_pstotal_i"]
    cpu, gpu = (model.predict(model.encode(cube_table()), "specz_z", given) for model in pair)
    expected = cpu["specz_z"].probabilities
    np.testing.assert_allclose(gpu["specz_z"].probabilities, expected, atol=1e-3)


def test_latents_are_the_same(pair):
    """Latents of cutouts agree to a thousandth of their spread; without TF32."""
    pixels = cutouts(70)
    valid = np.ones(pixels.shape, bool)
    cpu, gpu = (model.tokenizers.image.encode(pixels, valid)[1] for model in pair)
    np.testing.assert_allclose(gpu, cpu, atol=3e-3 * cpu.std())
