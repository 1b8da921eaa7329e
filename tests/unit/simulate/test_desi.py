from __future__ import annotations

import numpy as np
import pytest

from astromodal.simulate import desi
from astromodal.simulate.light import Light, spectra
from astromodal.simulate.sources import GALAXY, QUASAR, STAR, Sources, stream
from astromodal.surveys.desi import GRIDS


@pytest.fixture(scope="module")
def rows(sources: Sources) -> np.ndarray:
    return desi.choose(sources, 0.05, stream(1, "f", "fibres"))


@pytest.fixture(scope="module")
def coadds(sources: Sources, light: Light, rows: np.ndarray) -> desi.Coadds:
    return desi.observe(sources, light, rows, stream(1, "f", "desi"))


def test_arms_have_their_lengths(coadds: desi.Coadds, rows: np.ndarray) -> None:
    """The arms have 2751, 2326 and 2881 pixels, in float32."""
    for arm, length in {"b": 2751, "r": 2326, "z": 2881}.items():
        assert coadds.flux[arm].shape == coadds.ivar[arm].shape == (len(rows), length)
        assert coadds.flux[arm].dtype == coadds.ivar[arm].dtype == np.float32


def test_targets_are_of_all_classes(sources: Sources, rows: np.ndarray) -> None:
    """DESI takes quasars and galaxies for preference, and some stars."""
    counts = np.bincount(sources.kind[rows], minlength=3)
    assert len(rows) == 100
    assert (np.diff(rows) > 0).all()
    assert counts[GALAXY] > counts[STAR] > 0
    assert counts[QUASAR] > 12


def test_strongest_residuals_are_at_sky_lines_in_vacuum(coadds: desi.Coadds) -> None:
    """In the middle of r, the 20 noisiest pixels are nearer than a pixel and a half to a line."""
    live = coadds.ivar["r"].max(axis=1) > 0
    ivar = np.median(coadds.ivar["r"][live], axis=0)
    wave = GRIDS["desi_r"].points()
    middle = np.flatnonzero((wave > 5860) & (wave < 7520))
    noisiest = wave[middle[np.argsort(ivar[middle])[:20]]]
    assert np.abs(noisiest[:, None] - desi.SKY_LINES).min(axis=1).max() < 1.2


def test_dead_fibres_are_dead_in_all_arms(coadds: desi.Coadds) -> None:
    """A dead fibre has no pixel in any arm; there are a few."""
    dead = {arm: (ivar == 0).all(axis=1) for arm, ivar in coadds.ivar.items()}
    assert 0 < dead["b"].sum() < 0.15 * len(dead["b"])
    for arm in "rz":
        np.testing.assert_array_equal(dead[arm], dead["b"])


def test_noise_is_what_ivar_says(
    sources: Sources, light: Light, rows: np.ndarray, coadds: desi.Coadds
) -> None:
    """Neighbouring pixels differ by as much as ivar says, where spectra are smooth."""
    live = (coadds.ivar["r"] > 0).mean(axis=1) > 0.9
    flux, ivar = coadds.flux["r"][live], coadds.ivar["r"][live]
    step = flux[:, 1:] - flux[:, :-1]
    with np.errstate(divide="ignore"):
        sigma = np.sqrt(1 / ivar[:, 1:] + 1 / ivar[:, :-1])
    good = np.isfinite(sigma)
    faint = good & (np.abs(flux[:, 1:]) < 3)
    assert np.median(np.abs(step[faint] / sigma[faint])) == pytest.approx(0.674, abs=0.05)


def test_bright_targets_have_signal(
    sources: Sources, rows: np.ndarray, coadds: desi.Coadds
) -> None:
    """Signal to noise spreads widely: above 3 for bright objects, below 2 for some."""
    ratio = np.median(coadds.flux["r"] * np.sqrt(coadds.ivar["r"]), axis=1)
    live = coadds.ivar["r"].max(axis=1) > 0
    assert np.median(ratio[live & (sources.r_mag[rows] < 19.5)]) > 3
    assert (ratio[live] < 2).any()
    assert (ratio[live] > 15).any()


def test_arms_agree_where_they_overlap(coadds: desi.Coadds) -> None:
    """Pixels that r and z share, from 7520 to 7620 Angstrom, agree within their errors."""
    shared = {"r": slice(2200, None), "z": slice(0, 126)}
    flux, ivar = ({a: v[a][:, s] for a, s in shared.items()} for v in (coadds.flux, coadds.ivar))
    good = (ivar["r"] > 0) & (ivar["z"] > 0)
    sigma = np.sqrt(1 / ivar["r"][good] + 1 / ivar["z"][good])
    pull = (flux["r"] - flux["z"])[good] / sigma
    assert np.median(pull) == pytest.approx(0.0, abs=0.03)
    assert np.median(np.abs(pull)) == pytest.approx(0.674, abs=0.03)


def test_flux_is_the_spectrum_times_one_number(
    sources: Sources, light: Light, rows: np.ndarray, coadds: desi.Coadds
) -> None:
    """A bright fibre shows the source's spectrum, dimmed by the same factor in b and z."""
    live = coadds.ivar["z"].max(axis=1) > 0
    brightest = int(np.argmin(np.where(live, sources.r_mag[rows], 99)))
    factors = []
    for arm, start in (("b", 3600.0), ("z", 7520.0)):
        wave = start + 0.8 * np.arange(coadds.flux[arm].shape[1])
        true = spectra(sources, light, rows[[brightest]], wave)[0]
        good = coadds.ivar[arm][brightest] > 0
        factors.append(np.median((coadds.flux[arm][brightest] / true)[good]))
    assert factors[0] == pytest.approx(factors[1], rel=0.02)
    assert 0.1 < factors[0] < 1.2


def test_desi_targets_mostly_have_redshifts(sources: Sources, rows: np.ndarray) -> None:
    """Catalogued redshifts cover DESI's targets first; there are as many as configured."""
    known = desi.choose_redshifts(sources, 0.10, rows, stream(1, "f", "known"))
    assert len(known) == 200
    assert np.isin(rows, known).mean() > 0.5
