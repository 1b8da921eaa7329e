"""Errors of spectra along the wavelength, and the numbers of S/N bins, by hand."""

import numpy as np
import pytest

from astromodal.evaluation.spectra.measures import (
    continuum_error,
    measure_along,
    measure_by_snr,
    measure_group,
)
from astromodal.evaluation.spectra.sample import Fluxes, GroupSample


def _fluxes(flux, decoded, ivar=None):
    ivar = np.ones(flux.shape) if ivar is None else ivar
    return Fluxes(np.arange(float(flux.shape[1])), flux, ivar, decoded)


def test_continuum_error_by_hand():
    """A mean of 12 for 9 is off by 3; relative to a scale of 12 and a flux of 9 that is 3 / 15."""
    observed, decoded = np.array([[8.0, 10, 99]]), np.array([[11.0, 13, 0]])
    good = np.array([[True, True, False]])
    assert continuum_error(observed, decoded, good, np.array([12.0])) == pytest.approx([0.2])


def test_a_shifted_arm_is_seen_where_it_is():
    """Decoded flux that is wrong in one segment only shows there and nowhere else."""
    flux = np.random.default_rng(0).uniform(1, 2, (8, 64))
    decoded = flux.copy()
    decoded[:, 60:] *= 1.5
    along = measure_along(_fluxes(flux, decoded), np.ones(8), seed=0)
    assert np.abs(along.offset[:-1]).max() < 1e-12
    assert along.offset[-1] > 0.2
    assert along.worst() > 0.2
    assert (along.start[0], along.stop[-1]) == (0.0, 63.0)


def test_a_segment_without_good_bins_has_no_numbers():
    """Where no object has a good bin, nothing is measured."""
    flux = np.random.default_rng(0).uniform(1, 2, (4, 32))
    ivar = np.ones(flux.shape)
    ivar[:, :2] = 0
    along = measure_along(_fluxes(flux, flux, ivar), np.ones(4), seed=0)
    assert along.live[0] == 0
    assert np.isnan(along.offset[0])
    assert along.worst() == 0


def test_bins_of_snr_by_hand():
    """Three spectra in two bins: medians of R² and χ², and the edges in words."""
    low, high = measure_by_snr(
        np.array([0.5, 0.9, 7.0]), (0, 1, np.inf), np.array([0.2, 0.4, 0.9]), np.ones(3), 0
    )
    assert (low.n, low.r2.value, str(low)) == (2, pytest.approx(0.3), "0 to 1")
    assert (high.n, high.r2.value, str(high)) == (1, pytest.approx(0.9), "over 1")


def test_a_group_without_spectra_has_no_numbers():
    """Nothing is measured along the wavelength, and no headline can be made."""
    wave = np.arange(48.0)
    numbers = measure_group(GroupSample.empty(wave, wave[::6], np.zeros(4, int)), True, 0)
    assert (numbers.n_live, numbers.along, numbers.bits_an_object) == (0, None, 0.0)
    assert np.isnan(numbers.worst_continuum_error)
    assert not numbers.r2.known
    assert numbers.emission.flux.n == 0


def test_codes_that_lose_more_than_the_noise_fall_short():
    """The mark is the median χ² of the pixels in every bin of S/N: one bin above it is enough."""
    flux = np.full((4, 60), 100.0)
    decoded = np.random.default_rng(0).normal(100, [[1.0], [1.0], [0.5], [0.5]], (4, 60))
    ivar = np.repeat([[1.0], [1.0], [0.01], [0.01]], 60, axis=1)
    numbers = measure_group(_group(_fluxes(flux, decoded, ivar)), False, 0)
    assert [b.n for b in numbers.snr] == [0, 0, 0, 2, 2]
    assert numbers.within_noise()
    worse = _fluxes(flux, 100 + 1.5 * (decoded - 100), ivar)
    assert not measure_group(_group(worse), False, 0).within_noise()


def test_lines_are_measured_where_there_are_wavelengths():
    """Coefficients have a pseudo-wavelength: no line is looked for."""
    numbers = measure_group(_group(_fluxes(np.ones((2, 60)), np.ones((2, 60)))), False, 0)
    assert numbers.lines() == {}
    assert numbers.emission is None


def _group(fluxes):
    n = len(fluxes.flux)
    ids, ones = np.arange(n).astype("U"), np.ones(n)
    return GroupSample(ids, fluxes, fluxes, ones, ones, np.ones(n, int), np.ones(4, int), 0)
