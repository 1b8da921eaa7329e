import numpy as np
import pytest

from astromodal.core.vocab import MISSING_CODE
from astromodal.data.cube import Cube
from astromodal.errors import FormatError
from astromodal.surveys.registry import grid_group
from astromodal.tokenizers.spectra.tokens import encode_field_spectra, load_spectrum_tokens
from helpers.spectra import SETTINGS, desi_columns, samples_of, spectra, tokenizer_of

SLOTS = grid_group("desi_r").n_slots(SETTINGS)


@pytest.fixture(scope="module")
def tokenizer():
    return tokenizer_of({g: samples_of(*spectra(30, g), group=g) for g in ("desi_b", "desi_r")})


@pytest.fixture
def make(write_cube):
    """A cube of five rows: r; nothing; r dead and b dead; r and b; b."""

    def cube(order=(0, 1, 2, 3, 4), field="F1"):
        columns = {}
        for group, has, dead in (("desi_r", (0, 2, 3), 2), ("desi_b", (2, 3, 4), 2)):
            flux, ivar = spectra(5, group, seed=1)
            ivar[dead] = 0
            parts = [[x[i] if i in has else None for i in order] for x in (flux, ivar)]
            columns |= desi_columns(*parts, group)
        return Cube(write_cube({"id": [f"o{i}".encode() for i in order], **columns}, field), field)

    return cube


def test_objects_with_any_spectrum_are_listed(make, tokenizer):
    """By id and by row; a row without any spectrum is left out, a dead fibre is not."""
    tokens = encode_field_spectra(make(), tokenizer)
    assert tokens.ids.tolist() == ["o0", "o2", "o3", "o4"]
    assert (tokens.row.tolist(), tokens.row.dtype) == ([0, 2, 3, 4], np.int32)
    assert tokens.counts["desi_r"] == {"n_spectra": 3, "n_live": 2}
    assert tokens.counts["gaiaxp_bp"] == {"n_spectra": 0, "n_live": 0}


def test_codes_lie_where_indptr_says(make, tokenizer):
    """A live spectrum has all codes; an absent one and a dead fibre have none."""
    tokens = encode_field_spectra(make(), tokenizer)
    group = tokens.groups["desi_r"]
    assert np.diff(group.indptr).tolist() == [SLOTS, 0, SLOTS, 0]
    assert group.indptr.dtype == np.int64
    flux, ivar = spectra(5, seed=1)
    codes, scale = tokenizer.encode("desi_r", flux, ivar)
    np.testing.assert_array_equal(tokens.codes("desi_r", 0), codes[0])
    np.testing.assert_array_equal(tokens.codes("desi_r", 2), codes[3])
    assert group.scale.tolist() == [scale[0], MISSING_CODE, scale[3], MISSING_CODE]


def test_shuffled_rows_give_the_same_codes_by_id(make, tokenizer):
    """Every object's codes depend on its own spectrum alone."""
    plain = encode_field_spectra(make(), tokenizer)
    shuffled = encode_field_spectra(make((3, 1, 4, 0, 2), "F2"), tokenizer)
    place = {name: i for i, name in enumerate(shuffled.ids.tolist())}
    for i, name in enumerate(plain.ids.tolist()):
        for group in ("desi_b", "desi_r"):
            np.testing.assert_array_equal(plain.codes(group, i), shuffled.codes(group, place[name]))


def test_the_input_hash_follows_the_spectra(make, tokenizer):
    """The same spectra have the same hash; in other rows they have another."""
    first, again = (encode_field_spectra(make(), tokenizer) for _ in range(2))
    moved = encode_field_spectra(make((3, 1, 4, 0, 2), "F2"), tokenizer)
    assert first.input_hash == again.input_hash != moved.input_hash


def test_a_field_without_spectra_has_a_file_too(write_cube, tokenizer, tmp_path):
    """No objects, every group's arrays."""
    cube = Cube(write_cube({"id": ["a", "b"]}), "F1")
    encode_field_spectra(cube, tokenizer).save(tmp_path / "t.npz")
    tokens = load_spectrum_tokens(tmp_path / "t.npz", tokenizer.hash)
    assert (len(tokens.ids), tokens.row.dtype) == (0, np.int32)
    assert list(tokens.groups) == list(SETTINGS.groups)
    assert tokens.groups["desi_b"].indptr.tolist() == [0]


def test_tokens_come_back_from_disk(make, tokenizer, tmp_path):
    """All arrays, counts and both hashes."""
    made = encode_field_spectra(make(), tokenizer)
    made.save(tmp_path / "t.npz")
    found = load_spectrum_tokens(tmp_path / "t.npz", tokenizer.hash)
    assert found.ids.tolist() == made.ids.tolist()
    assert (found.counts, found.input_hash) == (made.counts, made.input_hash)
    for group, tokens in made.groups.items():
        for name, array in vars(tokens).items():
            stored = getattr(found.groups[group], name)
            np.testing.assert_array_equal(stored, array)
            assert stored.dtype == array.dtype


def test_tokens_of_another_tokenizer_are_refused(make, tokenizer, tmp_path):
    """The message names both hashes."""
    encode_field_spectra(make(), tokenizer).save(tmp_path / "t.npz")
    with pytest.raises(FormatError, match=f"tokenizer of hash 0123, got {tokenizer.hash}"):
        load_spectrum_tokens(tmp_path / "t.npz", "0123")
