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
@pytest.mark.parametrize("group", [g.name for g in GROUPS if g.kind == "spectrum"])
def test_no_spectrum_exceeds_its_budget(group, budget):
    """The bins fit the budget, and one pixel a bin less would not."""
    settings = SpectrumSettings(max_spec_tokens_per_group=budget)
    kind = grid_group(group)
    length, factor = kind.grid(settings).length, kind.bin_factor(settings)
    assert kind.n_bins(settings) <= budget
    assert factor == 1 or -(-length // (factor - 1)) > budget


@pytest.mark.parametrize("budget", [8, 512])
def test_coefficients_have_a_code_each(budget):
    """55 coefficients and their noise, whatever the budget and the samples are."""
    settings = SpectrumSettings(max_spec_tokens_per_group=budget, xp_samples=40)
    assert grid_group("gaiaxp_rp").n_slots(settings) == 56
    assert grid_group("gaiaxp_rp").n_bins(settings) == 40


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
