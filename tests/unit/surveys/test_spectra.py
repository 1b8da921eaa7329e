import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from astromodal.config.schema import SpectrumSettings
from astromodal.errors import ConfigError
from astromodal.surveys.registry import GROUPS, grid_group, spectra, spectrum_group
from astromodal.surveys.spectra import good_pixels, rebin

DEFAULT = SpectrumSettings()
SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 40))
FLUX = st.floats(-1e6, 1e6, width=32)
IVAR = st.one_of(st.just(0.0), st.floats(2**-20, 2**20, width=32), st.just(np.nan), st.just(-1.0))


@st.composite
def pixels(draw):
    shape = draw(SHAPES)
    flux = draw(arrays(np.float32, shape, elements=st.one_of(FLUX, st.just(np.nan))))
    return flux, draw(arrays(np.float32, shape, elements=IVAR)), draw(st.integers(1, 12))


@pytest.mark.parametrize(
    ("group", "first", "last", "length"),
    [
        ("desi_b", 3600.0, 5800.0, 2751),
        ("desi_r", 5760.0, 7620.0, 2326),
        ("desi_z", 7520.0, 9824.0, 2881),
        ("gaiaxp_bp", 0.0, 60.0, 120),
        ("gaiaxp_rp", 0.0, 60.0, 120),
    ],
)
def test_the_grids_are_those_of_the_surveys(group, first, last, length):
    """Ends and lengths of the coadded arms (Angstrom) and of XP (pseudo-wavelength)."""
    points = grid_group(group).grid(DEFAULT).points()
    assert (len(points), points[0]) == (length, first)
    assert points[-1] == pytest.approx(last)


@pytest.mark.parametrize(
    ("group", "factor", "bins"),
    [("desi_b", 6, 459), ("desi_r", 5, 466), ("desi_z", 6, 481), ("gaiaxp_bp", 1, 120)],
)
def test_default_bins(group, factor, bins):
    """Hand-computed: 2751 pixels need ceil(2751 / 512) = 6 a bin, which makes ceil(2751 / 6)."""
    kind = grid_group(group)
    assert (kind.bin_factor(DEFAULT), kind.n_bins(DEFAULT)) == (factor, bins)


@pytest.mark.parametrize("budget", [8, 9, 100, 512, 2880, 2881, 5000])
@pytest.mark.parametrize("group", spectra(GROUPS.names))
def test_no_spectrum_exceeds_its_budget(group, budget):
    """The bins fit the budget, and one pixel a bin less would not."""
    settings = SpectrumSettings(max_spec_tokens_per_group=budget)
    kind = grid_group(group)
    length, factor = kind.grid(settings).length, kind.bin_factor(settings)
    assert kind.n_bins(settings) <= budget
    assert factor == 1 or -(-length // (factor - 1)) > budget


def test_centres_are_the_means_of_the_bins():
    """The last bin of arm b holds 3 of 6 pixels: its centre is the mean of those."""
    centres = grid_group("desi_b").bin_centres(DEFAULT)
    assert centres[0] == pytest.approx(3602.0)
    assert centres[-1] == pytest.approx(5799.2)
    assert len(centres) == grid_group("desi_b").n_bins(DEFAULT)
    assert (np.diff(centres) > 0).all()


def test_a_block_has_a_slot_a_bin_or_an_epoch():
    """Bins of a spectrum; the most epochs of a light curve, which has no grid."""
    settings = SpectrumSettings(max_epochs=77)
    assert spectrum_group("desi_b").n_slots(settings) == 459
    assert grid_group("desi_b").n_bins(settings) == 459
    assert spectrum_group("ztf_g").n_slots(settings) == 77
    with pytest.raises(ConfigError, match="group ztf_g must be a group of spectra, got one of li"):
        grid_group("ztf_g")


def test_rebin_by_hand():
    """Bins of two: weights 1 and 3; a bad pixel; a lone last pixel; nothing good."""
    flux = np.array([[1, 2, 5, np.nan, 7], [1, 1, 1, 1, 1]], np.float32)
    ivar = np.array([[1, 3, 2, 9, 4], [0, 0, -1, np.inf, 0]], np.float32)
    mean, total = rebin(flux, ivar, 2)
    np.testing.assert_allclose(mean, [[1.75, 5, 7], [np.nan] * 3])
    assert total.tolist() == [[4, 2, 4], [0, 0, 0]]


@given(pixels())
def test_rebin_keeps_the_weighted_mean(case):
    """The inverse-variance-weighted mean over a spectrum is the one over its bins."""
    flux, ivar, factor = case
    mean, total = rebin(flux, ivar, factor)
    good = good_pixels(flux, ivar)
    weight = np.where(good, ivar, 0).astype(np.float64)
    expected = (np.where(good, flux, 0) * weight).sum(axis=1)
    found = np.where(total > 0, mean, 0) * total
    size = (np.where(good, np.abs(flux), 0) * weight).sum(axis=1)
    np.testing.assert_allclose(total.sum(axis=1), weight.sum(axis=1), rtol=1e-12)
    assert (np.abs(found.sum(axis=1) - expected) <= 1e-12 * size).all()


@given(pixels())
def test_a_bin_is_missing_where_no_pixel_is_good(case):
    """Every pixel counts for exactly one bin, and a bin without a good one has ivar 0."""
    flux, ivar, factor = case
    mean, total = rebin(flux, ivar, factor)
    good = good_pixels(flux, ivar)
    any_good = np.add.reduceat(good, np.arange(0, flux.shape[1], factor), axis=1) > 0
    np.testing.assert_array_equal(total > 0, any_good)
    np.testing.assert_array_equal(np.isfinite(mean), any_good)
