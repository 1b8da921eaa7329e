import numpy as np
import pytest

from astromodal.config.schema import ImageSettings
from astromodal.data.cube import Cube
from astromodal.errors import FormatError
from astromodal.storage.arrays import load_arrays
from astromodal.tokenizers.images.tokens import (
    encode_field_images,
    load_image_latents,
    load_image_tokens,
)
from helpers.cutouts import SETTINGS, cutout_columns, cutouts, image_tokenizer


@pytest.fixture(scope="module")
def tokenizer():
    return image_tokenizer()


@pytest.fixture
def columns():
    """Five rows: the second has no cutout, the fourth a short one."""
    made = cutout_columns(cutouts(5))
    for band in "URZ":
        made[f"splus_cut_{band}"][1] = None
    made["splus_cut_R"][3] = made["splus_cut_R"][3][:100]
    return made


@pytest.fixture
def cube(write_cube, columns):
    return Cube(write_cube(columns), "F1")


def test_every_whole_cutout_is_encoded(cube, tokenizer):
    """Rows and ids of the whole cutouts, with the codes that the tokenizer gives; counts."""
    tokens, latents = encode_field_images(cube, tokenizer, SETTINGS)
    assert (tokens.ids.tolist(), tokens.row.tolist()) == (["o0", "o2", "o4"], [0, 2, 4])
    assert (tokens.n_whole, tokens.n_short) == (3, 1)
    pixels = cutouts(5)[[0, 2, 4]]
    codes, expected = tokenizer.encode(pixels, np.ones(pixels.shape, bool))
    np.testing.assert_array_equal(tokens.codes, codes)
    np.testing.assert_array_equal(latents.latents, expected)
    bright = tokenizer.brightness(pixels, np.ones(pixels.shape, bool))
    np.testing.assert_array_equal(tokens.brightness, bright)


def test_shuffled_rows_give_the_same_codes_per_id(write_cube, columns, tokenizer):
    """Codes follow the id, whatever row of the cube it stands in."""
    order = [4, 2, 0, 3, 1]
    shuffled = {name: [column[i] for i in order] for name, column in columns.items()}
    found = []
    for content in (columns, shuffled):
        cube = Cube(write_cube(content), "F1")
        tokens, _ = encode_field_images(cube, tokenizer, SETTINGS)
        found.append({i: c.tolist() for i, c in zip(tokens.ids, tokens.codes, strict=True)})
    assert found[0] == found[1]


def test_files_round_trip(tmp_path, cube, tokenizer):
    """Files hold the promised arrays under the promised names, and load to the same."""
    tokens, latents = encode_field_images(cube, tokenizer, SETTINGS)
    tokens.save(tmp_path / "t.npz")
    latents.save(tmp_path / "l.npz")
    stored = load_arrays(tmp_path / "t.npz", format="image_tokens", version=3)
    assert set(stored.arrays) == {"ids", "row", "codes", "brightness"}
    assert stored.attributes["n_short"] == 1
    again = load_image_tokens(tmp_path / "t.npz", tokenizer.hash)
    np.testing.assert_array_equal(again.codes, tokens.codes)
    assert again.input_hash == tokens.input_hash
    again_latents = load_image_latents(tmp_path / "l.npz", tokenizer.hash)
    np.testing.assert_array_equal(again_latents.latents, latents.latents)
    np.testing.assert_array_equal(again_latents.ids, tokens.ids)


def test_codes_of_another_tokenizer_are_refused(tmp_path, cube, tokenizer):
    """Codes and latents are refused beside another tokenizer, naming both hashes."""
    tokens, latents = encode_field_images(cube, tokenizer, SETTINGS)
    tokens.save(tmp_path / "t.npz")
    latents.save(tmp_path / "l.npz")
    match = f"made by the tokenizer of hash other, got {tokenizer.hash}; run encode_images"
    with pytest.raises(FormatError, match=match):
        load_image_tokens(tmp_path / "t.npz", "other")
    with pytest.raises(FormatError, match=match):
        load_image_latents(tmp_path / "l.npz", "other")


def test_input_hash_follows_the_pixels(write_cube, columns, tokenizer):
    """A changed pixel changes the hash of the input; the same content, read again, does not."""
    hashes = []
    for step in range(3):
        if step == 2:
            columns["splus_cut_R"][0] = columns["splus_cut_R"][0] + 1
        cube = Cube(write_cube(columns), "F1")
        hashes.append(encode_field_images(cube, tokenizer, SETTINGS)[0].input_hash)
    assert hashes[0] == hashes[1] != hashes[2]


def test_field_without_images(write_cube, tokenizer, tmp_path):
    """A cube without cutouts gives empty, valid files."""
    cube = Cube(write_cube({"id": ["a", "b"]}), "F1")
    tokens, latents = encode_field_images(cube, tokenizer, SETTINGS)
    assert (tokens.n_whole, tokens.codes.shape) == (0, (0, 64))
    tokens.save(tmp_path / "t.npz")
    assert load_image_tokens(tmp_path / "t.npz").ids.size == 0
    assert latents.latents.shape == (0, 2, 8, 8)


def test_bands_that_are_not_the_tokenizers(cube, tokenizer):
    """Settings of other bands than the tokenizer's are refused."""
    other = ImageSettings(**{**SETTINGS.model_dump(), "bands": ("R", "U", "Z")})
    with pytest.raises(FormatError, match=r"tokenizers.image.bands must be .*'U', 'R', 'Z'"):
        encode_field_images(cube, tokenizer, other)
