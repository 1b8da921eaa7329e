from __future__ import annotations

import numpy as np
import pytest

from astromodal.simulate.extragalactic import BROAD, NARROW
from astromodal.simulate.spectra import REST_GRID, features, vacuum
from astromodal.simulate.spectroscopy import SKY_LINES

NIST = np.array(
    [
        [3933.66, 3934.78],  # Ca II K
        [5006.84, 5008.24],  # [O III]
        [5577.34, 5578.89],  # [O I]
        [5889.95, 5891.58],  # Na I
        [6300.30, 6302.05],  # [O I]
        [6562.80, 6564.61],  # H alpha
        [8542.09, 8544.44],  # Ca II
        [10830.34, 10833.31],  # He I
    ]
)
"""Wavelengths of lines in air and in vacuum (Angstrom), as the Atomic Spectra Database has them."""

EMISSION = (3727.09, 3729.88, 3869.86, 4102.89, 4341.69, 4862.69, 4960.30, 5008.24, 5877.25,
            6302.05, 6549.86, 6564.61, 6585.27, 6718.29, 6732.67, 9071.1, 9533.2)  # fmt: skip
"""Vacuum wavelengths of the lines of H II regions (Angstrom), as SDSS and DESI list them."""


def test_vacuum_wavelengths_are_the_tabulated_ones() -> None:
    """Lines of known wavelengths in air and in vacuum agree to a hundredth of an Angstrom."""
    np.testing.assert_allclose(vacuum(NIST[:, 0]), NIST[:, 1], atol=0.011)


@pytest.mark.parametrize("line", [5578.89, 5891.58, 5897.56, 6302.05, 6365.54, 7278.41, 8829.5])
def test_sky_lines_are_in_vacuum(line: float) -> None:
    """The list has the bright lines of oxygen, sodium and hydroxyl at their vacuum wavelengths."""
    assert np.abs(SKY_LINES - line).min() < 0.1


@pytest.mark.parametrize("line", EMISSION)
def test_emission_lines_of_galaxies_are_in_vacuum(line: float) -> None:
    """The narrow lines lie within 0.1 Angstrom of their vacuum wavelengths."""
    assert np.abs(np.array(list(NARROW)) - line).min() < 0.1


@pytest.mark.parametrize("line", [1215.67, 1549.06, 2798.75, 4862.69, 6564.61])
def test_broad_lines_of_quasars_are_in_vacuum(line: float) -> None:
    """Lyman alpha, C IV, Mg II and Balmer lines have the rest wavelengths of quasar composites."""
    assert np.abs(np.array(list(BROAD)) - line).min() < 0.1


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("calcium", 3934.78),
        ("triplet", 8544.44),
        ("neutral_calcium", 4227.92),
        ("sodium", 5891.58),
        ("hydrogen_giant", 6564.61),
    ],
)
def test_absorption_of_stars_is_in_vacuum(name: str, line: float) -> None:
    """An opacity template has its maximum at the line's vacuum wavelength."""
    near = np.abs(REST_GRID - line) < 2.0
    found = REST_GRID[near][np.argmax(features()[name][near])]
    assert found == pytest.approx(line, abs=0.4)


def test_band_heads_are_in_vacuum() -> None:
    """Opacity rises most steeply at the head of TiO, 7053 Angstrom in air."""
    near = np.abs(REST_GRID - 7053.0) < 6.0
    rise = np.gradient(features()["titanium_oxide"])[near]
    assert REST_GRID[near][np.argmax(rise)] == pytest.approx(7054.9, abs=0.5)
