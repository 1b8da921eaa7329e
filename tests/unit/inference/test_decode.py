"""What the codes of objects say, in physical units."""

from __future__ import annotations

import numpy as np
import pytest

from astromodal.core.vocab import MISSING_CODE
from astromodal.errors import ConfigError
from helpers.model import COLUMNS, EMPTY


def test_scalars_are_a_table(model, encoded):
    """By id, with the means of the bins, NaN where a value is missing, and units."""
    frame = model.decode(encoded, "scalar")["scalar"]
    assert frame.index.tolist() == encoded.ids.tolist()
    assert tuple(frame.columns) == COLUMNS
    np.testing.assert_array_equal(frame, model.tokenizers.scalar.decode(encoded.codes("scalar")))
    assert frame["specz_z"].isna().tolist() == [i % 4 == 1 for i in range(12)]
    assert frame[EMPTY].isna().all()
    units = frame.attrs["units"]
    assert (units["mag_pstotal_r"], units["gaia_teff_gspphot"], units["specz_z"]) == (
        "mag",
        "K",
        "",
    )


def test_spectra_have_wavelengths_units_and_errors(model, encoded):
    """Those of the objects with a spectrum, with the decoded errors."""
    found = model.decode(encoded, "desi_r")["desi_r"]
    codes, coder = encoded.codes("desi_r"), model.tokenizers.spectrum
    flux, ivar = coder.decode("desi_r", codes[:, 1:], codes[:, 0])
    assert found.ids.tolist() == encoded.ids[encoded.has("desi_r")].tolist()
    np.testing.assert_array_equal(found.flux, flux)
    np.testing.assert_allclose(found.std, ivar**-0.5)
    np.testing.assert_array_equal(found.wave, coder.spectrum("desi_r").wave)
    assert (found.wave_unit, found.flux_unit) == ("Angstrom", "1e-17 erg / (s cm2 Angstrom)")
    assert found.n_given.tolist() == (codes != MISSING_CODE).sum(axis=1).tolist()


def test_cutouts_are_brought_to_their_brightness(model, encoded):
    """Pixels of all bands, as the tokenizer decodes both kinds of codes, without a spread."""
    found = model.decode(encoded, "image")["image"]
    codes, head = encoded.codes("image"), model.vocabulary.n_brightness
    expected = model.tokenizers.image.decode(codes[:, head:], codes[:, :head])
    np.testing.assert_array_equal(found.pixels, expected)
    assert np.isnan(found.std).all()
    assert found.bands == ("U", "R", "Z")
    assert len(found.ids) == 6


def test_bands_that_were_not_measured_are_named(model, encoded):
    """A band without codes of its brightness is decoded, and said to be no measurement."""
    codes, head = encoded.codes("image"), model.vocabulary.n_brightness
    found = model.decode(encoded, "image")["image"]
    known = codes[:, 2:head].reshape(-1, 3, 3) != MISSING_CODE
    np.testing.assert_array_equal(found.measured, known.all(axis=1))
    assert found.measured.any()


def test_a_band_is_measured_where_all_its_codes_are(model):
    """Of three bands, two missing codes of the second, and one of the third."""
    brightness = np.zeros((1, 11), np.uint16)
    brightness[0, [3, 6, 10]] = MISSING_CODE
    assert model.tokenizers.image.has_brightness(brightness).tolist() == [[True, False, False]]


def test_all_blocks_are_decoded(model, encoded):
    """In the order of the layout; a block that no object has is there and empty."""
    found = model.decode(encoded)
    assert list(found) == ["image", "scalar", "desi_r", "gaiaxp_bp"]
    assert found["gaiaxp_bp"].flux.shape == (0, 20)


def test_spectrum_stands_for_every_group(model, encoded):
    """As in a request."""
    assert list(model.decode(encoded, ["spectrum", "desi_r"])) == ["desi_r", "gaiaxp_bp"]


def test_selected_objects_decode_as_among_all(model, encoded):
    """A selection of objects gives their rows."""
    every = model.decode(encoded, "desi_r")["desi_r"]
    some = model.decode(encoded[3:8], "desi_r")["desi_r"]
    chosen = np.isin(every.ids, encoded.ids[3:8])
    assert chosen.sum() == 2
    np.testing.assert_array_equal(some.ids, every.ids[chosen])
    np.testing.assert_array_equal(some.flux, every.flux[chosen])


def test_an_unknown_block_is_refused(model, encoded):
    """With the nearest one."""
    with pytest.raises(
        ConfigError, match="blocks must be of image, .* got desi_x; nearest: 'desi_r'"
    ):
        model.decode(encoded, "desi_x")
