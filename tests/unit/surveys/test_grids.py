import numpy as np
import pytest

from astromodal.config.schema import LIGHT_CURVE_GROUPS, SPECTRUM_GROUPS, SpectrumSettings
from astromodal.errors import ConfigError
from astromodal.surveys.grids import bin_centres, bin_factor, n_bins, n_slots, native_grid

DEFAULT = SpectrumSettings()


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
    points = native_grid(group, DEFAULT).points()
    assert (len(points), points[0]) == (length, first)
    assert points[-1] == pytest.approx(last)


@pytest.mark.parametrize(
    ("group", "factor", "bins"),
    [("desi_b", 6, 459), ("desi_r", 5, 466), ("desi_z", 6, 481), ("gaiaxp_bp", 1, 120)],
)
def test_default_bins(group, factor, bins):
    """Hand-computed: 2751 pixels need ceil(2751 / 512) = 6 a bin, which makes ceil(2751 / 6)."""
    assert (bin_factor(group, DEFAULT), n_bins(group, DEFAULT)) == (factor, bins)


@pytest.mark.parametrize("budget", [8, 9, 100, 512, 2880, 2881, 5000])
@pytest.mark.parametrize("group", SPECTRUM_GROUPS)
def test_no_spectrum_exceeds_its_budget(group, budget):
    """The bins fit the budget, and one pixel a bin less would not."""
    settings = SpectrumSettings(max_spec_tokens_per_group=budget)
    length, factor = native_grid(group, settings).length, bin_factor(group, settings)
    assert n_bins(group, settings) <= budget
    assert factor == 1 or -(-length // (factor - 1)) > budget


def test_centres_are_the_means_of_the_bins():
    """The last bin of arm b holds 3 of 6 pixels: its centre is the mean of those."""
    centres = bin_centres("desi_b", DEFAULT)
    assert centres[0] == pytest.approx(3602.0)
    assert centres[-1] == pytest.approx(5799.2)
    assert len(centres) == n_bins("desi_b", DEFAULT)
    assert (np.diff(centres) > 0).all()


def test_an_unknown_group_is_named_with_the_nearest():
    """A mistyped group is an error that suggests the right one."""
    with pytest.raises(ConfigError, match=r"must be one of desi_b.*got desi_y; nearest: 'desi_"):
        native_grid("desi_y", DEFAULT)


def test_a_block_has_a_slot_a_bin_or_an_epoch():
    """Bins of a spectrum; the most epochs of a light curve, which has no grid."""
    settings = SpectrumSettings(max_epochs=77)
    assert n_slots("desi_b", settings) == n_bins("desi_b", settings) == 459
    assert n_slots("ztf_g", settings) == 77
    with pytest.raises(ConfigError, match="got ztf_g"):
        native_grid("ztf_g", settings)


def test_light_curves_are_off_by_default():
    """Known, and named by no default."""
    assert LIGHT_CURVE_GROUPS == ("ztf_g", "ztf_r", "ztf_i")
    assert DEFAULT.groups == SPECTRUM_GROUPS
    assert not set(LIGHT_CURVE_GROUPS) & set(SPECTRUM_GROUPS)
