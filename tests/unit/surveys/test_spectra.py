import numpy as np
import pytest

from astromodal.config.schema import SpectrumSettings
from astromodal.errors import ConfigError
from astromodal.surveys.registry import GROUPS, grid_group, spectrum_group

DEFAULT = SpectrumSettings()


@pytest.mark.parametrize(
    ("group", "first", "last", "length"),
    [
        ("desi_b", 3600.0, 5800.0, 2751),
        ("desi_r", 5760.0, 7620.0, 2326),
        ("desi_z", 7520.0, 9824.0, 2881),
        ("gaiaxp_bp", 0.0, 60.0, 120),
        ("gaiaxp_rp", 0.0, 60.0, 120),
        ("sdss", 3600.0, 10_400.0, 3401),
    ],
)
def test_the_grids_are_those_of_the_surveys(group, first, last, length):
    """Ends and lengths of the coadded arms (Angstrom) and of XP (pseudo-wavelength)."""
    points = grid_group(group).grid(DEFAULT).points()
    assert (len(points), points[0]) == (length, first)
    assert points[-1] == pytest.approx(last)


@pytest.mark.parametrize(
    ("group", "factor", "bins", "slots"),
    [
        ("desi_b", 3, 917, 471),
        ("desi_r", 3, 776, 400),
        ("desi_z", 3, 961, 493),
        ("gaiaxp_bp", 1, 120, 56),
    ],
)
def test_default_bins(group, factor, bins, slots):
    """By hand: 2751 pixels need ceil(2751 / (2 × 500)) = 3 a bin: 917, in 459 pairs, and levels."""
    kind = grid_group(group)
    found = kind.bin_factor(DEFAULT), kind.n_bins(DEFAULT), kind.n_slots(DEFAULT)
    assert found == (factor, bins, slots)


@pytest.mark.parametrize("budget", [16, 17, 100, 512, 2880, 2881, 5000])
@pytest.mark.parametrize("group", [g.name for g in GROUPS if g.kind == "spectrum"])
def test_no_spectrum_exceeds_its_budget(group, budget):
    """The codes fit the budget, and one pixel a bin less would not."""
    settings = SpectrumSettings(max_spec_tokens_per_group=budget)
    kind = grid_group(group)
    length, factor = kind.grid(settings).length, kind.bin_factor(settings)
    assert kind.n_slots(settings) <= budget
    assert factor == 1 or -(-length // (factor - 1)) > 2 * (budget - 12)


@pytest.mark.parametrize("budget", [16, 512])
def test_coefficients_have_a_code_each(budget):
    """55 coefficients and their noise, whatever the budget and the samples are."""
    settings = SpectrumSettings(max_spec_tokens_per_group=budget, xp_samples=40)
    assert grid_group("gaiaxp_rp").n_slots(settings) == 56
    assert grid_group("gaiaxp_rp").n_bins(settings) == 40


def test_centres_are_the_means_of_the_bins():
    """The last bin of arm r holds 1 of 3 pixels: its centre is that pixel."""
    centres = grid_group("desi_r").bin_centres(DEFAULT)
    assert centres[0] == pytest.approx(5760.8)
    assert centres[-1] == pytest.approx(7620.0)
    assert len(centres) == grid_group("desi_r").n_bins(DEFAULT)
    assert (np.diff(centres) > 0).all()


def test_slots_lie_in_the_middle_of_their_bins():
    """Between two bins of arm b, at the last bin, which is alone; nowhere for levels."""
    kind = grid_group("desi_b")
    centres, points = kind.bin_centres(DEFAULT), kind.slot_points(DEFAULT)
    assert len(points) == kind.n_slots(DEFAULT)
    np.testing.assert_allclose(points[:458], (centres[:916:2] + centres[1:916:2]) / 2)
    assert points[458] == centres[-1]
    assert np.isnan(points[459:]).all()


def test_a_block_has_a_slot_for_each_epoch():
    """The most epochs of a light curve, which has no grid."""
    settings = SpectrumSettings(max_epochs=77)
    assert spectrum_group("ztf_g").n_slots(settings) == 77
    with pytest.raises(ConfigError, match="group ztf_g must be a group of spectra, got one of li"):
        grid_group("ztf_g")
