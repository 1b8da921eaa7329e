from __future__ import annotations

import numpy as np
import pytest

from astromodal.config.inputs import SimulatedField, SimulateSettings
from astromodal.simulate import spectroscopy
from astromodal.simulate.light import Light, spectra
from astromodal.simulate.sources import GALAXY, QUASAR, STAR, Sources, sample_sources, stream
from astromodal.surveys.desi import GRIDS


@pytest.fixture(scope="module")
def rows(sources: Sources) -> np.ndarray:
    return spectroscopy.choose(sources, 0.05, stream(1, "f", "fibres"))


@pytest.fixture(scope="module")
def coadds(sources: Sources, light: Light, rows: np.ndarray) -> spectroscopy.Coadds:
    return spectroscopy.observe(sources, light, rows, stream(1, "f", "desi"))


def test_arms_have_their_lengths(coadds: spectroscopy.Coadds, rows: np.ndarray) -> None:
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


def test_strongest_residuals_are_at_sky_lines_in_vacuum(coadds: spectroscopy.Coadds) -> None:
    """In the middle of r, the 20 noisiest pixels are nearer than a pixel and a half to a line."""
    live = coadds.ivar["r"].max(axis=1) > 0
    ivar = np.median(coadds.ivar["r"][live], axis=0)
    wave = GRIDS["desi_r"].points()
    middle = np.flatnonzero((wave > 5860) & (wave < 7520))
    noisiest = wave[middle[np.argsort(ivar[middle])[:20]]]
    assert np.abs(noisiest[:, None] - spectroscopy.SKY_LINES).min(axis=1).max() < 1.2


def test_dead_fibres_are_dead_in_all_arms(coadds: spectroscopy.Coadds) -> None:
    """A dead fibre has no pixel in any arm; there are a few."""
    dead = {arm: (ivar == 0).all(axis=1) for arm, ivar in coadds.ivar.items()}
    assert 0 < dead["b"].sum() < 0.15 * len(dead["b"])
    for arm in "rz":
        np.testing.assert_array_equal(dead[arm], dead["b"])


def test_noise_is_what_ivar_says(
    sources: Sources, light: Light, rows: np.ndarray, coadds: spectroscopy.Coadds
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
    sources: Sources, rows: np.ndarray, coadds: spectroscopy.Coadds
) -> None:
    """Signal to noise spreads widely: above 3 for bright objects, below 2 for some."""
    ratio = np.median(coadds.flux["r"] * np.sqrt(coadds.ivar["r"]), axis=1)
    live = coadds.ivar["r"].max(axis=1) > 0
    assert np.median(ratio[live & (sources.r_mag[rows] < 19.5)]) > 3
    assert (ratio[live] < 2).any()
    assert (ratio[live] > 15).any()


def test_arms_agree_where_they_overlap(coadds: spectroscopy.Coadds) -> None:
    """Pixels that r and z share, from 7520 to 7620 Angstrom, agree within their errors."""
    shared = {"r": slice(2200, None), "z": slice(0, 126)}
    flux, ivar = ({a: v[a][:, s] for a, s in shared.items()} for v in (coadds.flux, coadds.ivar))
    good = (ivar["r"] > 0) & (ivar["z"] > 0)
    sigma = np.sqrt(1 / ivar["r"][good] + 1 / ivar["z"][good])
    pull = (flux["r"] - flux["z"])[good] / sigma
    assert np.median(pull) == pytest.approx(0.0, abs=0.03)
    assert np.median(np.abs(pull)) == pytest.approx(0.674, abs=0.03)


def test_flux_is_the_spectrum_times_one_number(
    sources: Sources, light: Light, rows: np.ndarray, coadds: spectroscopy.Coadds
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
    known = spectroscopy.choose_redshifts(sources, 0.10, rows, stream(1, "f", "known"))
    assert len(known) == 200
    assert np.isin(rows, known).mean() > 0.5


@pytest.fixture(scope="module")
def many() -> Sources:
    return sample_sources(SimulateSettings(fields={"A": SimulatedField(n_sources=20_000)}), "A")


def test_redshifts_are_right_but_for_a_few(sources: Sources) -> None:
    """Redshifts agree with the truth to a thousandth, but for a few percent."""
    rows = np.arange(len(sources))
    columns = spectroscopy.redshift_columns(sources, rows, stream(1, "f", "z"))
    off = np.abs(columns["specz_z"] - sources.redshift)
    assert 0.94 < np.mean(off < 5e-3) < 1
    stars = columns["specz_z"][sources.kind == STAR]
    assert np.median(np.abs(stars)) < 5e-4
    assert (columns["specz_e_z"] > 0).all()


@pytest.mark.parametrize(("g_mag", "factor"), [(14.0, 1.0), (17.0, 2.0), (20.0, 3.0)])
def test_scatter_of_stellar_parameters_is_the_stated_one(
    many: Sources, g_mag: float, factor: float
) -> None:
    """The core of label minus truth has the stated scatter and offset, at all magnitudes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spectroscopy, "FAINTEST", 30.0)
        found = spectroscopy.stellar_parameters(
            many, np.full(len(many), g_mag), stream(1, "f", "l")
        )
    star = (many.kind == STAR) & np.isfinite(found["gaia_teff_gspphot"])
    star &= (many.logg < 4.6) & (many.metallicity > -2)  # away from the labels' limits
    off = {
        "teff": np.log(found["gaia_teff_gspphot"] / many.teff)[star],
        "logg": (found["gaia_logg_gspphot"] - many.logg)[star],
        "mh": (found["gaia_mh_gspphot"] - many.metallicity)[star],
    }
    for name, noise in spectroscopy.STELLAR.items():
        scatter = 1.4826 * np.median(np.abs(off[name] - np.median(off[name])))
        assert scatter == pytest.approx(factor * noise.scatter, rel=0.07)
        assert np.median(off[name]) == pytest.approx(noise.offset, abs=0.1 * scatter)


def test_errors_of_redshifts_are_the_stated_ones(many: Sources) -> None:
    """Median errors by class are the stated ones, but for a share that is far too large."""
    rows = np.arange(len(many))
    columns = spectroscopy.redshift_columns(many, rows, stream(1, "f", "z"))
    for kind in (STAR, GALAXY, QUASAR):
        error = columns["specz_e_z"][many.kind == kind]
        assert np.median(error) == pytest.approx(spectroscopy.REDSHIFT[kind], rel=0.1)
        assert np.mean(error > 0.1) == pytest.approx(spectroscopy.ABSURD, abs=0.008)


def test_wrong_redshifts_are_as_many_as_stated(many: Sources) -> None:
    """Two in a hundred redshifts of galaxies and quasars are wrong, none of stars."""
    rows = np.arange(len(many))
    columns = spectroscopy.redshift_columns(many, rows, stream(1, "f", "z"))
    off = np.abs(columns["specz_z"] - many.redshift)
    beyond = many.kind != STAR
    assert np.mean(off[beyond] > 0.02) == pytest.approx(spectroscopy.WRONG, abs=0.005)
    assert off[~beyond].max() < 0.001
