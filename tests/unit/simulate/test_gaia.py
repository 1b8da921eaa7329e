from __future__ import annotations

import contextlib
import io
import json
import warnings

import matplotlib
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from astromodal.errors import AstromodalError
from astromodal.simulate import gaia
from astromodal.simulate.light import GAIA_VEGA_ZERO_POINT, curve

ARRAYS = ("coefficients", "coefficient_errors", "coefficient_correlations")


@pytest.fixture(scope="module")
def stars(cube: pa.Table) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Stars with BP and RP, and their XP spectra as GaiaXPy takes them."""
    frame = cube.to_pandas()
    own = ~frame["gaia_designation"].duplicated(keep=False) & (frame["sim_class"] == "STAR")
    frame = frame[frame["gaiaxp_bp_coefficients"].notna() & own].reset_index(drop=True)
    table = pd.DataFrame({"source_id": np.arange(len(frame))})
    for band in ("bp", "rp"):
        for name in ("n_parameters", "standard_deviation"):
            table[f"{band}_{name}"] = frame[f"gaiaxp_{band}_{name}"]
        for name in ARRAYS:
            table[f"{band}_{name}"] = [parse(t) for t in frame[f"gaiaxp_{band}_{name}"]]
    return frame, table


@pytest.fixture(scope="module")
def spectra(
    stars: tuple[pd.DataFrame, pd.DataFrame],
) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray]:
    """Stars with BP and RP, and what GaiaXPy's ``calibrate`` makes of them (W/m²/nm)."""
    with matplotlib.rc_context(), warnings.catch_warnings():  # importing it turns LaTeX on
        warnings.simplefilter("ignore")
        from gaiaxpy import calibrate
    frame, table = stars
    wave = np.arange(400.0, 1000.0, 2.0)
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found, _ = calibrate(table, sampling=wave, save_file=False)
    return frame, found, wave


def parse(text: str) -> np.ndarray:
    value = json.loads(text)
    return np.array(json.loads(value) if isinstance(value, str) else value, dtype=np.float64)


def test_gaiaxpy_gives_the_spectrum_back(
    spectra: tuple[pd.DataFrame, pd.DataFrame, np.ndarray],
) -> None:
    """Calibrated XP spectra have the magnitudes of the source's own spectrum."""
    frame, found, wave = spectra
    assert len(frame) >= 5
    flux = np.stack(found["flux"].to_list()) * 1e19  # 1e-17 erg/s/cm²/Angstrom
    for name, tolerance in {"j0515": 0.08, "r": 0.03, "i": 0.03, "j0861": 0.05}.items():
        weight = curve(name, wave * 10)
        mean = (flux * weight * wave * 10).sum(axis=1) / (weight / (wave * 10)).sum()
        magnitude = -2.5 * np.log10(mean * 1e-17 / 2.99792458e18) - 48.60
        assert np.median(np.abs(magnitude - frame[f"sim_mag_{name}"])) < tolerance


def test_gaiaxpy_gives_the_fluxes_back(stars: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    """Photometry that GaiaXPy makes of XP spectra is the mean fluxes through zero points."""
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from gaiaxpy import PhotometricSystem, generate
    frame, table = stars
    system = PhotometricSystem.Gaia_DR3_Vega
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        found = generate(table, photometric_system=system, save_file=False)
    for band in ("g", "bp", "rp"):
        flux = frame[f"gaia_phot_{band}_mean_flux"]
        magnitude = GAIA_VEGA_ZERO_POINT[band] - 2.5 * np.log10(flux)
        off = found[f"GaiaDr3Vega_mag_{band.upper()}"] - magnitude
        assert abs(np.nanmedian(off)) < 0.015


@pytest.mark.parametrize(
    ("band", "mean", "width"),
    [("g", 639.07, 454.82), ("bp", 518.26, 265.90), ("rp", 782.51, 292.75)],
)
def test_passbands_are_those_of_the_third_data_release(
    band: str, mean: float, width: float
) -> None:
    """Mean wavelengths and widths (nm) are those of Riello et al. 2021, to 0.3 and 1.5 %."""
    wave = np.arange(300.0, 1100.0, 0.1)
    passband = curve(f"gaia_{band}", wave * 10)
    assert np.average(wave, weights=passband) == pytest.approx(mean, rel=0.003)
    above = wave[passband > passband.max() / 2]
    assert np.ptp(above) == pytest.approx(width, rel=0.015)


def test_errors_are_those_of_a_good_spectrum(
    spectra: tuple[pd.DataFrame, pd.DataFrame, np.ndarray],
) -> None:
    """GaiaXPy's errors are positive and, for these bright stars, a few percent of the flux."""
    _, found, wave = spectra
    flux, error = (np.stack(found[name].to_list()) for name in ("flux", "flux_error"))
    middle = (wave > 500) & (wave < 900)
    assert (error > 0).all()
    assert 0.0005 < np.median(error[:, middle] / flux[:, middle]) < 0.1


def test_projection_and_design_are_inverse() -> None:
    """A smooth photon rate survives the way to coefficients and, through the bases, back."""
    model = gaia.instrument("rp")
    rate = model.response * np.exp(-0.5 * ((model.wave - 800) / 150) ** 2)
    values = model.project @ rate
    back = np.linalg.pinv(model.project) @ values
    assert np.abs(back - rate).max() < 0.05 * rate.max()


def test_noise_has_the_errors_it_claims() -> None:
    """Coefficients of repeated observations scatter by their errors."""
    model = gaia.instrument("bp")
    flux = np.full((400, len(model.wave)), 50.0)
    measured = gaia.measure_xp("bp", flux, np.random.default_rng(1))
    pull = (measured.values - model.project @ model.rate(flux[0])) / measured.errors
    np.testing.assert_allclose(pull.std(axis=0), 1.0, atol=0.2)


def test_correlations_are_the_upper_triangle_by_columns() -> None:
    """The vector, filled in column by column, is a positive definite correlation matrix."""
    model = gaia.instrument("bp")
    measured = gaia.measure_xp("bp", np.full((1, len(model.wave)), 20.0), np.random.default_rng(2))
    matrix = np.eye(55)
    place = 0
    for column in range(1, 55):
        for row in range(column):
            matrix[row, column] = matrix[column, row] = measured.correlations[0, place]
            place += 1
    assert place == measured.correlations.shape[1] == 1485
    assert np.linalg.eigvalsh(matrix).min() > 0


def test_hermite_functions_are_orthonormal() -> None:
    """Products of Hermite functions integrate to one with themselves, to zero with others."""
    x = np.linspace(-20, 20, 4001)
    functions = gaia.hermite_functions(55, x)
    np.testing.assert_allclose(functions @ functions.T * (x[1] - x[0]), np.eye(55), atol=1e-9)


def test_text_can_be_quoted_once_more() -> None:
    """Numbers become the text of a list, or that in JSON quotes."""
    assert gaia.as_text(np.array([1.5, -2.0]), 8, quoted=False) == "[1.5,-2]"
    assert json.loads(gaia.as_text(np.array([1.5, -2.0]), 8, quoted=True)) == "[1.5,-2]"


def test_brightest_matches_have_spectra() -> None:
    """XP spectra go to bright candidates, as many as configured, or all."""
    g = np.linspace(13, 21, 100)
    candidates = np.arange(100) % 2 == 0
    rows = gaia.choose_xp(g, candidates, 0.2, np.random.default_rng(0))
    assert len(rows) == 20
    assert candidates[rows].all()
    assert g[rows].mean() < 16
    assert len(gaia.choose_xp(g, candidates, 0.9, np.random.default_rng(0))) == 50


def test_without_gaiaxpy_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where GaiaXPy is not installed, the error says what to install."""
    monkeypatch.setattr(gaia.importlib.util, "find_spec", lambda name: None)
    gaia.instrument.cache_clear()
    with pytest.raises(
        AstromodalError, match="gaiaxpy must be installed, got nothing; pip install"
    ):
        gaia.instrument("bp")
