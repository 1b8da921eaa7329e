"""Redshifts of spectra with lines at known places."""

import numpy as np
import pytest

from astromodal.evaluation.spectra.redshifts import (
    SPEED_OF_LIGHT,
    TEMPLATES,
    compare_redshifts,
    measure_redshifts,
)
from astromodal.evaluation.spectra.sample import Fluxes, GroupSample

BLUE, RED = 3600 + 0.8 * np.arange(2751), 5760 + 0.8 * np.arange(2326)


def _spectrum(wave, z, kind="narrow emission lines", height=1.0):
    template = TEMPLATES[kind]
    flux = np.full(len(wave), 5.0)
    for line, strength in template.lines.items():
        speed = SPEED_OF_LIGHT * np.log(wave / (line * (1 + z)))
        flux += height * strength * np.exp(-0.5 * (speed / template.sigma) ** 2)
    return flux


def _arm(wave, measured, decoded, ids=None, noise=0.1):
    rng = np.random.default_rng(1)
    measured, decoded = np.stack(measured), np.stack(decoded)
    noisy = measured + noise * rng.normal(size=measured.shape)
    fluxes = Fluxes(wave, noisy, np.full(measured.shape, noise**-2), decoded)
    n = len(measured)
    names = np.arange(n).astype("U") if ids is None else np.array(ids)
    return GroupSample(
        names, fluxes, fluxes, np.ones(n), np.ones(n), np.ones(n, int), np.ones(4, int), 0
    )


@pytest.mark.parametrize("z", [0.0, 0.05, 0.12])
def test_the_redshift_of_emission_lines(z):
    """Of a galaxy with three lines or more in the arm, to a tenth of a step."""
    flux = [_spectrum(BLUE, z)]
    compared = compare_redshifts([_arm(BLUE, flux, flux)])
    for redshifts in compared:
        assert SPEED_OF_LIGHT * np.abs(redshifts.z[0] - z) / (1 + z) < 15
        assert redshifts.delta_chi2[0] > 100


@pytest.mark.parametrize(("kind", "z"), [("absorption lines", 0.2), ("broad emission lines", 2.1)])
def test_other_kinds_of_lines(kind, z):
    """Galaxies and stars have lines in absorption, quasars broad ones."""
    flux = [_spectrum(BLUE, z, kind)]
    compared = compare_redshifts([_arm(BLUE, flux, flux)])
    assert compared.measured.z == pytest.approx([z], abs=1e-3 * (1 + z))


def test_arms_of_one_object_count_together():
    """Both arms make a redshift surer than one; objects are matched by id, in any order."""
    z = 0.45
    blue = [_spectrum(BLUE, 0.1), _spectrum(BLUE, z)]
    red = _arm(RED, [_spectrum(RED, z)], [_spectrum(RED, z)], ["a"])
    both = compare_redshifts([_arm(BLUE, blue, blue, ["b", "a"]), red])
    assert both.measured.z == pytest.approx([z, 0.1], abs=1e-4)
    assert both.measured.delta_chi2[0] > compare_redshifts([red]).measured.delta_chi2[0]


def test_a_decoded_spectrum_without_the_lines_has_another_redshift():
    """Half of the objects lose their lines: half of the redshifts differ."""
    measured = [_spectrum(BLUE, 0.1), _spectrum(BLUE, 0.2)]
    compared = compare_redshifts([_arm(BLUE, measured, [measured[0], _spectrum(BLUE, 0.5)])])
    numbers = measure_redshifts(compared, 0)
    assert (numbers.n_objects, numbers.all.n, numbers.all.other.value) == (2, 2, 0.5)
    assert compared.offsets()[1] == pytest.approx(SPEED_OF_LIGHT * 0.3 / 1.2, rel=1e-3)


def test_noise_determines_no_redshift():
    """Of twenty spectra without a line at most one has Δχ² above 9."""
    flat = [np.full(len(BLUE), 5.0)] * 20
    compared = compare_redshifts([_arm(BLUE, flat, flat)])
    assert measure_redshifts(compared, 0).all.n <= 1


def test_a_spectrum_without_good_pixels_has_no_redshift():
    """Its Δχ² is 0, and it counts as an object."""
    arm = _arm(BLUE, [_spectrum(BLUE, 0.1)], [_spectrum(BLUE, 0.1)])
    arm.pixels.ivar[:] = 0
    compared = compare_redshifts([arm])
    assert compared.measured.delta_chi2[0] == 0
    assert measure_redshifts(compared, 0).n_objects == 1
