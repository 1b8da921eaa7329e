"""Codes are a source's own: no other row of the cube, and no thread, has a say in them."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from astromodal.config.inputs import SimulatedField, SimulateSettings
from astromodal.config.schema import SCALAR_COLUMNS, ImageSettings, SelectionSettings, SplitSettings
from astromodal.data.cube import Cube
from astromodal.data.splits import split_field
from astromodal.simulate.field import simulate_field
from astromodal.tokenizers.images.autoencoder import TrainedAutoencoder, build_model, shape_settings
from astromodal.tokenizers.images.normaliser import ImageNormaliser
from astromodal.tokenizers.images.tokenizer import ImageCodebook, ImageTokenizer
from astromodal.tokenizers.images.tokens import encode_field_images
from astromodal.tokenizers.quantizers.nearest import NearestCentroid
from astromodal.tokenizers.scalars.quantiles import ColumnSummaries
from astromodal.tokenizers.scalars.tokenizer import ScalarTokenizer, encode_field_scalars
from astromodal.tokenizers.spectra.tokens import encode_field_spectra
from helpers.cutouts import brightness_bins
from helpers.spectra import samples_of, spectra, tokenizer_of

IMAGE = ImageSettings(hidden=16, blocks=1)
SKY = SimulateSettings(
    n_sources=90, xp_fraction=0.3, desi_fraction=0.3, fields={"A": SimulatedField()}
)
GROUPS = ("desi_b", "desi_r", "desi_z")


@pytest.fixture(scope="module")
def cubes(tmp_path_factory):
    """A simulated field, the same with its rows shuffled, and a part of it; a row group each."""
    folder = tmp_path_factory.mktemp("cubes")
    simulate_field(SKY, "A", folder / "A.parquet")
    whole = pq.read_table(folder / "A.parquet")
    order = np.random.default_rng(0).permutation(len(whole))
    for name, rows in (("shuffled", order), ("part", order[:37])):
        pq.write_table(whole.take(rows), folder / f"{name}.parquet")
    return [Cube(folder / f"{name}.parquet", "A") for name in ("A", "shuffled", "part")]


def same_by_id(encoded, codes_of) -> None:
    """Every object has the codes that it has in the first cube."""
    first = dict(codes_of(encoded[0]))
    assert first
    for other in encoded[1:]:
        found = codes_of(other)
        assert found
        for name, codes in found:
            np.testing.assert_array_equal(codes, first[name], err_msg=name)


def test_scalar_codes(cubes):
    """Shuffled or a part: the same codes."""
    values = cubes[0].scalars(SCALAR_COLUMNS)
    tokenizer = ScalarTokenizer.fit(ColumnSummaries.of(values, SCALAR_COLUMNS), SCALAR_COLUMNS, 64)
    cut = SelectionSettings(column=None)
    encoded = [
        encode_field_scalars(cube, split_field(cube, SplitSettings(), cut), tokenizer)
        for cube in cubes
    ]
    same_by_id(encoded, lambda tokens: list(zip(tokens.ids.tolist(), tokens.codes, strict=True)))


def test_spectrum_codes(cubes):
    """Shuffled or a part: the same codes and scales in every arm."""
    tokenizer = tokenizer_of({g: samples_of(*spectra(60, g), g) for g in GROUPS})
    encoded = [encode_field_spectra(cube, tokenizer) for cube in cubes]

    def codes_of(tokens):
        return [
            (f"{name} {group}", np.append(tokens.codes(group, i), tokens.groups[group].scale[i]))
            for i, name in enumerate(tokens.ids.tolist())
            for group in GROUPS
        ]

    same_by_id(encoded, codes_of)


def test_image_codes(cubes):
    """Shuffled or a part, on one thread or two: the same codes and latents."""
    model = build_model(shape_settings(IMAGE), 1).eval()
    normaliser = ImageNormaliser(IMAGE.bands, np.full(len(IMAGE.bands), 0.5))
    trained = TrainedAutoencoder(model, normaliser, shape_settings(IMAGE), 1)
    centroids = np.random.default_rng(1).normal(size=(300, 2)).astype(np.float32)
    tokenizer = ImageTokenizer(
        trained,
        ImageCodebook(NearestCentroid(centroids), 300, trained.hash, brightness_bins(IMAGE.bands)),
    )
    before, encoded = torch.get_num_threads(), []
    try:
        for cube, threads in zip(cubes, (1, 2, 1), strict=True):
            torch.set_num_threads(threads)
            encoded.append(encode_field_images(cube, tokenizer, IMAGE))
    finally:
        torch.set_num_threads(before)

    def codes_of(pair):
        tokens, latents = pair
        joined = [np.append(c, x) for c, x in zip(tokens.codes, latents.latents, strict=True)]
        return list(zip(tokens.ids.tolist(), joined, strict=True))

    same_by_id(encoded, codes_of)
