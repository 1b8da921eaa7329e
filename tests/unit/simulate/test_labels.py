from __future__ import annotations

import numpy as np
import pytest

from astromodal.config.inputs import SimulatedField, SimulateSettings
from astromodal.simulate import labels
from astromodal.simulate.sources import GALAXY, QUASAR, STAR, Sources, sample_sources, stream


@pytest.fixture(scope="module")
def many() -> Sources:
    return sample_sources(SimulateSettings(fields={"A": SimulatedField(n_sources=20_000)}), "A")


def test_redshifts_are_right_but_for_a_few(sources: Sources) -> None:
    """Redshifts agree with the truth to a thousandth, but for a few percent."""
    rows = np.arange(len(sources))
    columns = labels.redshift_columns(sources, rows, stream(1, "f", "z"))
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
        patch.setattr(labels, "FAINTEST", 30.0)
        found = labels.stellar_parameters(many, np.full(len(many), g_mag), stream(1, "f", "l"))
    star = (many.kind == STAR) & np.isfinite(found["gaia_teff_gspphot"])
    star &= (many.logg < 4.6) & (many.metallicity > -2)  # away from the labels' limits
    off = {
        "teff": np.log(found["gaia_teff_gspphot"] / many.teff)[star],
        "logg": (found["gaia_logg_gspphot"] - many.logg)[star],
        "mh": (found["gaia_mh_gspphot"] - many.metallicity)[star],
    }
    for name, noise in labels.STELLAR.items():
        scatter = 1.4826 * np.median(np.abs(off[name] - np.median(off[name])))
        assert scatter == pytest.approx(factor * noise.scatter, rel=0.07)
        assert np.median(off[name]) == pytest.approx(noise.offset, abs=0.1 * scatter)


def test_errors_of_redshifts_are_the_stated_ones(many: Sources) -> None:
    """Median errors by class are the stated ones, but for a share that is far too large."""
    rows = np.arange(len(many))
    columns = labels.redshift_columns(many, rows, stream(1, "f", "z"))
    for kind in (STAR, GALAXY, QUASAR):
        error = columns["specz_e_z"][many.kind == kind]
        assert np.median(error) == pytest.approx(labels.REDSHIFT[kind], rel=0.1)
        assert np.mean(error > 0.1) == pytest.approx(labels.ABSURD, abs=0.008)


def test_wrong_redshifts_are_as_many_as_stated(many: Sources) -> None:
    """Two in a hundred redshifts of galaxies and quasars are wrong, none of stars."""
    rows = np.arange(len(many))
    columns = labels.redshift_columns(many, rows, stream(1, "f", "z"))
    off = np.abs(columns["specz_z"] - many.redshift)
    beyond = many.kind != STAR
    assert np.mean(off[beyond] > 0.02) == pytest.approx(labels.WRONG, abs=0.005)
    assert off[~beyond].max() < 0.001
