from dataclasses import replace

import numpy as np
import pytest
import torch

from astromodal.config.schema import BANDS as BANDS_OF_S_PLUS
from astromodal.core.vocab import MISSING_CODE
from astromodal.errors import FormatError
from astromodal.tokenizers.images.brightness import brightness_values
from astromodal.tokenizers.images.tokenizer import ImageCodebook, ImageTokenizer
from astromodal.tokenizers.quantizers.nearest import NearestCentroid
from helpers.cutouts import brightness_bins, cutouts, image_tokenizer, untrained_autoencoder


@pytest.fixture(scope="module")
def tokenizer():
    return image_tokenizer()


@pytest.fixture(scope="module")
def pixels():
    return cutouts(37)


def everywhere(pixels):
    return np.ones(pixels.shape, bool)


def test_codes_are_the_nearest_centroids(tokenizer, pixels):
    """The code of a patch is the centroid nearest to its latent, row by row of the grid."""
    codes, latents = tokenizer.encode(pixels, everywhere(pixels))
    assert (codes.shape, codes.dtype) == ((37, 64), np.uint16)
    assert (latents.shape, latents.dtype) == ((37, 2, 8, 8), np.float32)
    flat = latents.reshape(37, 2, 64).transpose(0, 2, 1)
    distance = ((flat[:, :, None] - tokenizer.centroids) ** 2).sum(-1)
    np.testing.assert_array_equal(codes, distance.argmin(-1))


def test_codes_do_not_depend_on_the_batch(tokenizer, pixels):
    """One by one, in another order or all together: the same codes and latents, to the bit."""
    codes, latents = tokenizer.encode(pixels, everywhere(pixels))
    order = np.random.default_rng(0).permutation(37)
    shuffled = tokenizer.encode(pixels[order], everywhere(pixels))
    np.testing.assert_array_equal(shuffled[0], codes[order])
    np.testing.assert_array_equal(shuffled[1], latents[order])
    for i in (0, 20):
        one = tokenizer.encode(pixels[i : i + 1], everywhere(pixels[:1]))
        np.testing.assert_array_equal(one[0][0], codes[i])
        np.testing.assert_array_equal(one[1][0], latents[i])


def test_codes_do_not_depend_on_the_threads():
    """On one thread or two, with the default network on whole cutouts: the same bits."""
    wide = untrained_autoencoder(bands=BANDS_OF_S_PLUS, size=96, hidden=96, blocks=3)
    centroids = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
    bins = brightness_bins(BANDS_OF_S_PLUS)
    codebook = ImageCodebook(NearestCentroid(centroids), 64, wide.hash, bins)
    tokenizer = ImageTokenizer(wide, codebook)
    pixels = np.random.default_rng(1).normal(size=(18, 12, 96, 96)).astype(np.float32)
    valid = np.random.default_rng(2).random(pixels.shape) > 0.05
    threads, found = torch.get_num_threads(), []
    try:
        for number in (1, 2):
            torch.set_num_threads(number)
            found.append(tokenizer.encode(pixels, valid))
    finally:
        torch.set_num_threads(threads)
    for one, two in zip(*found, strict=True):
        np.testing.assert_array_equal(one, two)


def test_patches_are_what_the_network_makes_of_pixels(tokenizer, pixels):
    """Cut and normalised in one pass, patches are those that training sees."""
    valid = np.random.default_rng(3).random(pixels.shape) > 0.1
    x = tokenizer.normaliser.forward(pixels, valid)
    model = tokenizer.autoencoder.model
    expected = model.patches(torch.from_numpy(x), torch.from_numpy(valid))
    found = tokenizer.patches(pixels, valid).transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(found, expected)


def test_decode_gives_what_the_centroids_decode_to(tokenizer, pixels):
    """Decoding codes is decoding their centroids' latents, in counts/s."""
    codes, _ = tokenizer.encode(pixels[:3], everywhere(pixels[:3]))
    latents = tokenizer.centroids[codes].transpose(0, 2, 1).reshape(3, 2, 8, 8)
    bright = tokenizer.brightness(pixels[:3], everywhere(pixels[:3]))
    decoded = tokenizer.decode(codes, bright)
    assert (decoded.shape, decoded.dtype) == ((3, 3, 32, 32), np.float32)
    np.testing.assert_array_equal(decoded, tokenizer.decode_latents(latents, bright))


def test_a_decoded_cutout_has_its_coded_fluxes(tokenizer, pixels):
    """Sums around the coded place are what the brightness codes decode to, whatever the latents."""
    codes, _ = tokenizer.encode(pixels, everywhere(pixels))
    bright = tokenizer.brightness(pixels, everywhere(pixels))
    assert (bright.shape, bright.dtype) == ((37, 11), np.uint16)
    decoded = tokenizer.decode(codes, bright)
    bins, sky = tokenizer.codebook.bins, tokenizer.normaliser.sky
    places = bins.decode(bright)[:, :2]
    values = brightness_values(decoded, everywhere(pixels), places, sky)
    np.testing.assert_array_equal(bins.encode(values), bright)


def test_codes_of_the_place_are_those_of_the_source(tokenizer):
    """A source moved by a pixel along x has another x, the same y, and about the same fluxes."""
    pixels = cutouts(1, size=40)
    pixels[0] = 20 * np.maximum(pixels[0], 0)
    values = [
        tokenizer.codebook.bins.decode(tokenizer.brightness(part, everywhere(part)))[0]
        for part in (pixels[..., 4:36, 4:36], pixels[..., 4:36, 5:37])
    ]
    x, y = (values[0] - values[1])[:2]
    assert x == pytest.approx(1, abs=0.1)
    assert y == pytest.approx(0, abs=0.1)
    np.testing.assert_allclose(values[0][2:], values[1][2:], atol=0.2)


def test_without_brightness_latents_decide(tokenizer, pixels):
    """A cutout whose brightness codes are all missing is what its latents decode to."""
    _, latents = tokenizer.encode(pixels[:2], everywhere(pixels[:2]))
    missing = np.full((2, 11), MISSING_CODE, np.uint16)
    plain = tokenizer.decode_latents(latents)
    np.testing.assert_array_equal(tokenizer.decode_latents(latents, missing), plain)


def test_encode_leaves_its_input(tokenizer, pixels):
    """Neither pixels nor their validity are changed."""
    given, valid = pixels[:2].copy(), everywhere(pixels[:2])
    given.setflags(write=False)
    valid.setflags(write=False)
    tokenizer.encode(given, valid)


def test_nothing_to_encode(tokenizer):
    """No cutouts give no codes and no pixels."""
    nothing = np.empty((0, 3, 32, 32), np.float32), np.empty((0, 3, 32, 32), bool)
    codes, latents = tokenizer.encode(*nothing)
    bright = tokenizer.brightness(*nothing)
    assert (codes.shape, latents.shape, bright.shape) == ((0, 64), (0, 2, 8, 8), (0, 11))
    assert tokenizer.decode(codes, bright).shape == (0, 3, 32, 32)


def test_cutout_with_a_missing_code_is_nan(tokenizer):
    """A cutout that lacks a code is NaN throughout; its neighbours are not."""
    codes = np.zeros((2, 64), np.uint16)
    codes[1, 5] = MISSING_CODE
    decoded = tokenizer.decode(codes, np.full((2, 11), MISSING_CODE, np.uint16))
    assert np.isfinite(decoded[0]).all()
    assert np.isnan(decoded[1]).all()


def test_without_a_codebook_every_code_is_missing(pixels):
    """No training cutouts, no centroids: codes are missing, never made up."""
    tokenizer = image_tokenizer(n_codes=0)
    codes, _ = tokenizer.encode(pixels[:2], everywhere(pixels[:2]))
    assert (codes == MISSING_CODE).all()
    bright = tokenizer.brightness(pixels[:2], everywhere(pixels[:2]))
    assert np.isnan(tokenizer.decode(codes, bright)).all()
    assert not tokenizer.standardised().any()


def test_standardised_has_the_vocabularys_size(tokenizer):
    """Codes that are not in use are 0 in the table that the loss reads."""
    table = tokenizer.standardised()
    assert (table.shape, table.dtype) == ((32, 2), np.float32)
    np.testing.assert_array_equal(table[:20], tokenizer.centroids)
    assert not table[20:].any()


def test_unknown_code(tokenizer):
    """A code without a centroid belongs to another tokenizer."""
    with pytest.raises(FormatError, match="image codes must be below 20, got 20; run encode_im"):
        tokenizer.decode(np.full((1, 64), 20, np.uint16), np.zeros((1, 11), np.uint16))


def test_codebook_of_another_autoencoder():
    """A codebook is refused beside another autoencoder, naming both hashes."""
    one, other = untrained_autoencoder(1), untrained_autoencoder(2)
    centroids = NearestCentroid(np.zeros((1, 2), np.float32))
    codebook = ImageCodebook(centroids, 32, other.hash, brightness_bins())
    with pytest.raises(FormatError, match=f"of hash {one.hash}, got {other.hash}"):
        ImageTokenizer(one, codebook)


def test_files_give_the_same_tokenizer(tmp_path, tokenizer, pixels):
    """Saved and loaded, a tokenizer has the same hash and gives the same codes."""
    tokenizer.autoencoder.save(tmp_path / "a.pt")
    tokenizer.codebook.save(tmp_path / "c.npz")
    loaded = ImageTokenizer.load(tmp_path / "a.pt", tmp_path / "c.npz")
    assert loaded.hash == tokenizer.hash
    np.testing.assert_array_equal(
        loaded.encode(pixels, everywhere(pixels))[0],
        tokenizer.encode(pixels, everywhere(pixels))[0],
    )


def test_hash_covers_the_codebook(tokenizer):
    """Other centroids, or other bins of brightness, are another tokenizer."""
    for change in (
        {"quantizer": NearestCentroid(tokenizer.centroids + 1)},
        {"bins": brightness_bins(n_bins=9)},
    ):
        codebook = replace(tokenizer.codebook, **change)
        assert ImageTokenizer(tokenizer.autoencoder, codebook).hash != tokenizer.hash
