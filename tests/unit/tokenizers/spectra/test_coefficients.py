"""Codes of spectra that are coefficients."""

import numpy as np
import pytest

from astromodal.config.schema import SpectrumSettings
from astromodal.core.vocab import MISSING_CODE
from astromodal.data.cube import Cube
from astromodal.data.spectra import read_spectra
from astromodal.errors import DataError
from astromodal.tokenizers.spectra.codebook import GroupSamples, sample_features, train_codebook
from astromodal.tokenizers.spectra.coefficients import (
    REACH,
    CoefficientTokenizer,
    relative_features,
    root_mean_square,
)
from astromodal.tokenizers.spectra.tokenizer import SpectrumTokenizer
from helpers.spectra import xp_columns_of, xp_spectrum

GROUP = "gaiaxp_bp"
SETTINGS = SpectrumSettings(groups=(GROUP,), xp_samples=20)
N = 55


def coefficients(n: int, seed: int = 0, precision: float = 1e3):
    """Coefficients of n smooth spectra and their ivar, float32 (n, 55); S/N up to `precision`."""
    generator = np.random.default_rng(seed)
    falling = np.exp(-np.arange(N) / 4)
    level = 10 ** generator.uniform(1, 4, (n, 1))
    shape = falling * (1 + 0.5 * generator.normal(size=(n, N)))
    error = level * 10 ** generator.uniform(0, 2, (n, 1)) / precision * (1 + 0.02 * np.arange(N))
    flux = level * shape + error * generator.normal(size=(n, N))
    return flux.astype(np.float32), (error**-2).astype(np.float32)


def samples(flux: np.ndarray, ivar: np.ndarray) -> GroupSamples:
    scale = root_mean_square(flux, ivar)
    features = relative_features(flux, ivar, scale).astype(np.float32)
    return GroupSamples(features, scale, len(flux), len(flux))


@pytest.fixture(scope="module")
def tokenizer():
    book = train_codebook(samples(*coefficients(300)), GROUP, SETTINGS)
    return SpectrumTokenizer.assemble([book], SETTINGS, 1024)


def decoded(tokenizer: SpectrumTokenizer, flux, ivar):
    codes, scale_codes = tokenizer.encode(GROUP, flux, ivar)
    kind = tokenizer.spectrum(GROUP)
    assert isinstance(kind, CoefficientTokenizer)
    return kind.coefficients(codes, tokenizer.decode_scale(GROUP, scale_codes))


def test_coefficients_come_back_within_their_noise(tokenizer):
    """Unseen spectra: each has a reduced χ² below 1 although the best have S/N of 1,000."""
    flux, ivar = coefficients(200, seed=1)
    found, _ = decoded(tokenizer, flux, ivar)
    assert (((found - flux) ** 2 * ivar).mean(axis=1) < 1).all()


def test_what_no_training_spectrum_has_comes_back(tokenizer):
    """A coefficient a hundred spreads off, as of a strong line, keeps a relative error of 1 %."""
    flux, ivar = coefficients(1, seed=2)
    flux[0, 40] = 0.3 * flux[0, 0]
    found, _ = decoded(tokenizer, flux, ivar)
    assert found[0, 40] == pytest.approx(flux[0, 40], rel=0.01)


def test_errors_come_back(tokenizer):
    """The mean error of a spectrum is right to 2 %."""
    flux, ivar = coefficients(50, seed=3)
    _, errors = decoded(tokenizer, flux, ivar)
    ratio = np.log(errors * np.sqrt(ivar)).mean(axis=1)
    np.testing.assert_allclose(ratio, 0, atol=0.02)


def test_the_typical_errors_of_coefficients_are_learned(write_cube):
    """Of sixteen spectra or more: the error of each coefficient relative to the mean one."""
    errors = 1 + 0.1 * np.arange(N)
    spectra = [
        xp_spectrum(seed) | {"coefficient_errors": errors * (1 + seed)} for seed in range(20)
    ]
    cube = Cube(write_cube({"id": list(map(str, range(20))), **xp_columns_of(spectra)}), "F1")
    sampled = sample_features(cube, SETTINGS, np.ones(20, bool), 0)[GROUP]
    assert sampled.features.shape == (20, N + 1)
    book = train_codebook(sampled, GROUP, SETTINGS)
    kind = SpectrumTokenizer.assemble([book], SETTINGS, 1024)[GROUP]
    np.testing.assert_allclose(kind.noise, errors / np.exp(np.log(errors).mean()), rtol=1e-6)


def test_brightness_does_not_change_the_codes_of_a_shape(tokenizer):
    """The same spectrum ten times as bright differs in its scale alone, where scales are exact."""
    flux, ivar = coefficients(1, seed=4)
    both = np.concatenate([flux, 8 * flux]), np.concatenate([ivar, ivar / 64])
    scale = root_mean_square(*both)
    features = relative_features(*both, scale)
    np.testing.assert_allclose(features[0], features[1], rtol=1e-5)
    assert scale[1] == pytest.approx(8 * scale[0])


def test_scale_and_features_by_hand():
    """Coefficients of 3 and -1 with errors of 1 and 2: sqrt((9 + 1 + 1 + 4) / 2)."""
    flux, ivar = np.array([[3.0, -1.0]]), np.array([[1.0, 0.25]])
    scale = root_mean_square(flux, ivar)
    assert scale == pytest.approx([np.sqrt(7.5)])
    features = relative_features(flux, ivar, np.array([2.0]))
    np.testing.assert_allclose(features, [[1.5, -0.5, np.log(np.sqrt(2) / 2)]])


def test_a_dead_spectrum_has_no_codes(tokenizer):
    """All its codes are missing, and so is its scale; it decodes to nothing."""
    flux, ivar = coefficients(2)
    ivar[0] = 0
    codes, scale_codes = tokenizer.encode(GROUP, flux, ivar)
    assert (codes[0] == MISSING_CODE).all()
    assert scale_codes[0] == MISSING_CODE
    assert codes.shape == (2, N + 1)
    assert (codes[1] != MISSING_CODE).all()
    for values in tokenizer.decode(GROUP, codes, scale_codes):
        assert np.isnan(values[0]).all()
        assert np.isfinite(values[1]).all()


def test_decoded_fluxes_are_those_of_the_coefficients(tokenizer, write_cube):
    """Decoding and observing use the same basis functions: fluxes agree within the noise."""
    spectrum = xp_spectrum()
    cube = Cube(write_cube({"id": ["a"], **xp_columns_of([spectrum])}), "F1")
    (batch,) = read_spectra(cube, GROUP)
    flux, ivar = tokenizer.spectrum(GROUP).observed(batch)
    found, _ = tokenizer.decode(GROUP, *tokenizer.encode(GROUP, batch.flux, batch.ivar))
    assert found.shape == flux.shape == (1, 20)
    assert ((found - flux) ** 2 * ivar).mean() < 1


def test_a_value_beyond_the_reach_takes_the_last_code(tokenizer):
    """It neither wraps nor overflows."""
    kind = tokenizer[GROUP]
    features = np.repeat(kind.mean[None], 2, axis=0)
    features[0, 7], features[1, 7] = [kind.mean[7] + s * 10 * REACH * kind.std[7] for s in (1, -1)]
    assert kind.nearest(features)[:, 7].tolist() == [2047, 0]


def test_unit_values_are_what_codes_decode_to(tokenizer):
    """In units of the scale; the code of the noise adds no flux."""
    kind = tokenizer.spectrum(GROUP)
    codes, _ = tokenizer.encode(GROUP, *coefficients(1, seed=5))
    values, _ = kind.coefficients(codes, np.ones(1))
    found = [kind.unit_values(slot)[codes[0, slot], 0] for slot in range(N + 1)]
    np.testing.assert_allclose(found[:-1], values[0], rtol=1e-5)
    assert found[-1] == 0


def test_moments_of_certain_codes_are_the_decoded_flux(tokenizer):
    """Without any spread the mean is the decoded flux, and the mean square its square."""
    kind = tokenizer.spectrum(GROUP)
    codes, _ = tokenizer.encode(GROUP, *coefficients(1, seed=6))
    values = np.array([[kind.unit_values(slot)[codes[0, slot]] for slot in range(N + 1)]])
    mean, square = kind.moments(values, values**2)
    np.testing.assert_allclose(mean, kind.decode(codes, np.ones(1))[0], rtol=1e-4)
    np.testing.assert_allclose(square, mean**2)


def test_without_training_spectra_there_are_no_codes():
    """A tokenizer can be made; what it encodes is missing."""
    book = train_codebook(GroupSamples.merge([]), GROUP, SETTINGS)
    empty = SpectrumTokenizer.assemble([book], SETTINGS, 1024)
    codes, _ = empty.encode(GROUP, *coefficients(2))
    assert codes.shape == (2, N + 1)
    assert (codes == MISSING_CODE).all()


def test_another_number_of_coefficients_is_refused(tokenizer):
    """Those of another instrument, say."""
    with pytest.raises(
        DataError, match=r"gaiaxp_bp coefficients and ivar must be of shape \(m, 55\)"
    ):
        tokenizer.encode(GROUP, np.ones((1, 20)), np.ones((1, 20)))
