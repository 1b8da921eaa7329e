import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astromodal.config.schema import SpectrumSettings
from astromodal.core.vocab import MISSING_CODE
from astromodal.errors import ConfigError, DataError, FormatError
from astromodal.storage.arrays import save_arrays
from astromodal.surveys.registry import grid_group
from astromodal.tokenizers.spectra.bins import local_scale, object_scale
from astromodal.tokenizers.spectra.codebook import train_codebook
from astromodal.tokenizers.spectra.grids import (
    SpectrumGroupTokenizer,
    levels_of,
    pair_features,
)
from astromodal.tokenizers.spectra.groups import SCALE_LEEWAY
from astromodal.tokenizers.spectra.tokenizer import SpectrumTokenizer
from helpers.spectra import SETTINGS, samples_of, spectra, tokenizer_of

GROUP = "desi_r"
FACTOR = grid_group(GROUP).bin_factor(SETTINGS)


def encode_exactly(tokenizer: SpectrumGroupTokenizer, flux: np.ndarray, ivar: np.ndarray):
    """Codes of spectra relative to their own scales, which no code rounds, and these scales."""
    binned = tokenizer.rebin(flux, ivar)
    scale = object_scale(*binned)
    return tokenizer.encode_bins(*binned, scale), scale


@pytest.fixture(scope="module")
def tokenizer():
    """Fitted on arm r and, with other spectra, on arm z; the other groups have no data."""
    return tokenizer_of(
        {
            "desi_r": samples_of(*spectra(60)),
            "desi_z": samples_of(*spectra(10, "desi_z", seed=9), group="desi_z"),
        }
    )


def test_codes_have_the_slots_of_the_group(tokenizer):
    """uint16, a code for two bins and twelve for the levels, and the bins' wavelengths."""
    codes, scale = encode_exactly(tokenizer[GROUP], *spectra(3, seed=1))
    assert codes.dtype == np.uint16
    assert codes.shape == (3, grid_group(GROUP).n_slots(SETTINGS))
    assert (scale > 0).all()
    np.testing.assert_array_equal(tokenizer[GROUP].wave, grid_group(GROUP).bin_centres(SETTINGS))


@settings(max_examples=20)
@given(st.integers(-30, 30), st.integers(0, 100))
def test_a_unit_changes_only_the_scale(tokenizer, power, seed):
    """Flux times c and ivar over c²: the same codes, and c times the scale."""
    flux, ivar = (x.astype(np.float64) for x in spectra(2, seed=seed))
    c = 2.0**power
    codes, scale = encode_exactly(tokenizer[GROUP], flux, ivar)
    again, scaled = encode_exactly(tokenizer[GROUP], flux * c, ivar / c**2)
    np.testing.assert_array_equal(again, codes)
    np.testing.assert_array_equal(scaled, scale * c)


@settings(max_examples=10)
@given(st.permutations(range(5)))
def test_codes_do_not_depend_on_the_batch(tokenizer, order):
    """In any order, one by one or together: the same codes and scales."""
    flux, ivar = spectra(5, seed=2)
    codes, scales = tokenizer.encode(GROUP, flux, ivar)
    shuffled = tokenizer.encode(GROUP, flux[order], ivar[order])
    np.testing.assert_array_equal(shuffled[0], codes[order])
    np.testing.assert_array_equal(shuffled[1], scales[order])
    alone = tokenizer.encode(GROUP, flux[:1], ivar[:1])
    np.testing.assert_array_equal(alone[0], codes[:1])


def test_bins_without_a_good_pixel_are_missing(tokenizer):
    """A code is missing where both of its bins are; a dead fibre is missing whole."""
    flux, ivar = spectra(2, seed=3)
    factor = FACTOR
    ivar[0, : 4 * factor] = 0
    flux[0, 10 * factor : 13 * factor] = np.nan
    ivar[1] = 0
    codes, scale_codes = tokenizer.encode(GROUP, flux, ivar)
    assert np.flatnonzero(codes[0] == MISSING_CODE).tolist() == [0, 1, 5]
    assert (codes[1] == MISSING_CODE).all()
    assert scale_codes.tolist()[1] == MISSING_CODE
    decoded, precision = tokenizer.decode(GROUP, codes, scale_codes)
    assert np.flatnonzero(np.isnan(decoded[0])).tolist() == [0, 1, 2, 3, 10, 11]
    assert np.isnan(decoded[1]).all()
    np.testing.assert_array_equal(np.isnan(precision), np.isnan(decoded))


def test_decoding_and_encoding_again_gives_the_code(tokenizer):
    """Each centroid is its own nearest one: decode and encode of a code is that code."""
    one = tokenizer[GROUP]
    slots = grid_group(GROUP).n_slots(SETTINGS)
    codes = np.resize(np.arange(len(one.centroids), dtype=np.uint16), (1, slots))
    np.testing.assert_array_equal(one.nearest(one.features(codes)), codes)
    # From fluxes too, relative to the same local scale: that of the fluxes is another one.
    scale, n_bins = np.array([3.0]), len(one.wave)
    flux, ivar = one.decode(codes, scale)
    _, levels = levels_of(one.features(codes[:, -12:]))
    again = one.nearest(pair_features(flux, ivar, local_scale(levels, scale, n_bins)))
    whole = n_bins // 2  # the last bin is alone
    np.testing.assert_array_equal(again[:, :whole], codes[:, :whole])


def test_decoded_spectra_follow_the_observed():
    """R² above 0.98 against the rebinned flux for held-out spectra with S/N above 3."""
    config = SpectrumSettings(codebook_size=512, max_spec_tokens_per_group=128, iterations=5)
    tokenizer = tokenizer_of({GROUP: samples_of(*spectra(200))}, config)
    flux, ivar = spectra(60, seed=4)
    observed, weight = tokenizer[GROUP].rebin(flux, ivar)
    decoded, decoded_ivar = tokenizer.decode(GROUP, *tokenizer.encode(GROUP, flux, ivar))
    deviation = ((observed - observed.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)
    r2 = 1 - ((decoded - observed) ** 2).sum(axis=1) / deviation
    bright = np.median(observed * np.sqrt(weight), axis=1) > 3
    assert bright.sum() > 20
    assert np.median(r2[bright]) > 0.98
    assert np.median(np.abs(np.log(decoded_ivar / weight))) < 0.1


def test_the_bins_correct_the_scales_rounding(tokenizer):
    """With three bins for all scales, decoded levels are still right to some percent."""
    coarse = tokenizer_of({GROUP: samples_of(*spectra(60))}, n_bins=32)
    flux, ivar = spectra(40, seed=5)
    observed, weight = coarse[GROUP].rebin(flux, ivar)
    codes, scale_codes = coarse.encode(GROUP, flux, ivar)
    exact = encode_exactly(coarse[GROUP], flux, ivar)[1]
    off = np.abs(np.log(coarse.decode_scale(GROUP, scale_codes) / exact))
    decoded, _ = coarse.decode(GROUP, codes, scale_codes)
    ratio = np.nansum(decoded * weight, axis=1) / np.nansum(observed * weight, axis=1)
    bright = np.median(observed * np.sqrt(weight), axis=1) > 10
    assert off.max() > 0.05
    assert np.abs(np.log(ratio[bright])).max() < off[bright].max()
    assert np.median(np.abs(ratio[bright] - 1)) < 0.03


def test_a_scale_beyond_the_training_data_keeps_its_shape(tokenizer):
    """A spectrum 1e6 times brighter than any before: codes of one at the edge of the leeway."""
    flux, ivar = (x.astype(np.float64) for x in spectra(1, seed=6))
    codes, _ = tokenizer.encode(GROUP, flux * 1e6, ivar / 1e12)
    binned = tokenizer[GROUP].rebin(flux, ivar)
    exact = encode_exactly(tokenizer[GROUP], flux, ivar)[1]
    edge = tokenizer[GROUP].encode_bins(*binned, exact / SCALE_LEEWAY)
    assert (codes == edge).mean() > 0.99


def test_a_group_without_data_encodes_everything_missing(tokenizer):
    """No centroids, no codes; decoding gives nothing; the standardised table is all zeros."""
    codes, scale_codes = tokenizer.encode("desi_b", *spectra(2, "desi_b"))
    assert (codes == MISSING_CODE).all()
    assert (scale_codes == MISSING_CODE).all()
    assert np.isnan(tokenizer.decode("desi_b", codes, scale_codes)[0]).all()
    assert not tokenizer.standardised("desi_b").any()


def test_each_group_has_its_own_codebook_by_name(tokenizer):
    """The order in which codebooks arrive does not matter, and none stands in for another."""
    books = [
        train_codebook(samples_of(*spectra(60)), "desi_r", SETTINGS),
        train_codebook(
            samples_of(*spectra(10, "desi_z", seed=9), group="desi_z"), "desi_z", SETTINGS
        ),
    ]
    settings = SETTINGS.model_copy(update={"groups": ("desi_z", "desi_r")})
    for order in (books, books[::-1]):
        found = SpectrumTokenizer.assemble(order, settings, 1024)
        assert list(found.groups) == ["desi_z", "desi_r"]
        assert found.scales.columns == ("spectrum_scale_desi_z", "spectrum_scale_desi_r")
        for group in ("desi_r", "desi_z"):
            np.testing.assert_array_equal(found[group].centroids, tokenizer[group].centroids)
    flux, ivar = spectra(3, seed=7)
    for mine, theirs in zip(
        found.encode("desi_r", flux, ivar), tokenizer.encode("desi_r", flux, ivar), strict=True
    ):
        np.testing.assert_array_equal(mine, theirs)


def test_codebooks_of_all_groups_are_needed():
    """A missing one is an error that names the groups."""
    with pytest.raises(
        FormatError, match="spectrum codebooks must be of the groups desi_b, .* got none"
    ):
        SpectrumTokenizer.assemble([], SETTINGS, 16)


def test_an_unknown_group_is_named(tokenizer):
    """With the nearest one."""
    with pytest.raises(ConfigError, match=r"got desi_x; nearest: 'desi_"):
        tokenizer.encode("desi_x", *spectra(1))


def test_spectra_of_another_length_are_refused(tokenizer):
    """Those of another arm, say."""
    with pytest.raises(DataError, match=r"desi_r flux and ivar must be of shape \(m, 2326\)"):
        tokenizer.encode("desi_r", *spectra(1, "desi_b"))


def test_codes_of_another_codebook_are_refused(tokenizer):
    """A code that the codebook does not have is never decoded to something."""
    codes = np.full((1, grid_group(GROUP).n_slots(SETTINGS)), 64, np.uint16)
    with pytest.raises(FormatError, match="codes of group desi_r must be below 64, got 64"):
        tokenizer[GROUP].decode(codes, np.ones(1))


def test_standardised_tables_have_the_vocabularys_size(tokenizer):
    """Codes beyond a small codebook are zeros."""
    wide = tokenizer_of({GROUP: samples_of(*spectra(60))})
    table = SpectrumTokenizer(wide.groups, wide.scales, 100).standardised(GROUP)
    assert (table.shape, table.dtype) == ((100, 2), np.float32)
    np.testing.assert_array_equal(table[:64], wide[GROUP].centroids)
    assert not table[64:].any()


def test_a_tokenizer_comes_back_from_disk(tokenizer, tmp_path):
    """It has the same hash and gives the same codes."""
    tokenizer.save(tmp_path / "t.npz")
    found = SpectrumTokenizer.load(tmp_path / "t.npz")
    flux, ivar = spectra(3, seed=8)
    assert (found.hash, list(found.groups)) == (tokenizer.hash, list(tokenizer.groups))
    np.testing.assert_array_equal(
        found.encode(GROUP, flux, ivar)[0], tokenizer.encode(GROUP, flux, ivar)[0]
    )


def test_a_changed_file_is_refused(tokenizer, tmp_path):
    """The arrays must have the hash that the file carries."""
    arrays = tokenizer.arrays() | {"desi_r_mean": np.zeros(3)}
    save_arrays(
        tmp_path / "t.npz", arrays, format="spectrum_tokenizer", version=5, hash=tokenizer.hash
    )
    with pytest.raises(FormatError, match=f"must be of hash {tokenizer.hash}, got"):
        SpectrumTokenizer.load(tmp_path / "t.npz")


def test_one_object_decodes_as_in_a_batch(tokenizer):
    """Flux and ivar of one object's codes, one for each wavelength."""
    codes, scale_codes = tokenizer.encode(GROUP, *spectra(2, seed=10))
    flux, ivar = tokenizer.decode(GROUP, codes[1:], scale_codes[1:])
    batch = tokenizer.decode(GROUP, codes, scale_codes)
    np.testing.assert_array_equal(flux[0], batch[0][1])
    np.testing.assert_array_equal(ivar[0], batch[1][1])
    assert len(tokenizer.spectrum(GROUP).wave) == flux.shape[1]


def test_codes_of_training_samples_come_back_from_disk(tokenizer, tmp_path):
    """Artificial lines have codes that no training sample has; the file says which."""
    seen = tokenizer.seen[GROUP]
    assert 0 < seen.sum() < len(seen) == len(tokenizer[GROUP].centroids)
    tokenizer.save(tmp_path / "tokenizer.npz")
    again = SpectrumTokenizer.load(tmp_path / "tokenizer.npz")
    np.testing.assert_array_equal(again.seen[GROUP], seen)
    assert again.hash == tokenizer.hash
