"""Small spectra for tests: arrays, cube columns, fitted tokenizers."""

from __future__ import annotations

import json

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from astromodal.config.schema import SpectrumSettings
from astromodal.surveys.gaiaxp import N_COEFFICIENTS, N_CORRELATIONS
from astromodal.surveys.registry import grid_group
from astromodal.tokenizers.spectra.bins import NoiseProfile, object_scale, rebin
from astromodal.tokenizers.spectra.codebook import GroupSamples, train_codebook
from astromodal.tokenizers.spectra.grids import training_samples
from astromodal.tokenizers.spectra.tokenizer import SpectrumTokenizer

SETTINGS = SpectrumSettings(
    codebook_size=64, max_spec_tokens_per_group=136, xp_samples=20, iterations=3
)


def spectra(n: int, group: str = "desi_r", seed: int = 0, settings: SpectrumSettings = SETTINGS):
    """Continua with a line and noise, S/N a pixel from 0.3 to 30: flux and ivar, float32 (n, L)."""
    generator = np.random.default_rng(seed)
    wave = np.linspace(0, 1, grid_group(group).grid(settings).length)
    slope, place = generator.uniform(-0.5, 0.5, (n, 1)), generator.uniform(0, 1, (n, 1))
    line = generator.uniform(0, 5, (n, 1)) * np.exp(-0.5 * ((wave - place) / 0.02) ** 2)
    level = 10 ** generator.uniform(-1, 2, (n, 1))
    error = level * 10 ** generator.uniform(-1.5, 0.5, (n, 1)) * (1 + wave)
    flux = level * (1 + slope * wave + line) + error * generator.normal(size=(n, len(wave)))
    return flux.astype(np.float32), (error**-2).astype(np.float32)


@st.composite
def binned(draw):
    """One to four rebinned spectra of any flux, and of bad bins: flux and ivar, float64 (n, L)."""
    shape = draw(st.tuples(st.integers(1, 4), st.integers(1, 25)))
    flux = draw(arrays(np.float64, shape, elements=st.floats(-1e6, 1e6, width=32)))
    ivar = draw(arrays(np.float64, shape, elements=st.one_of(st.just(0.0), st.floats(1e-8, 1e8))))
    return np.where(ivar > 0, flux, np.nan), ivar


def desi_columns(flux: list, ivar: list, group: str = "desi_r") -> dict[str, list]:
    """Cube columns of one arm; None where a row has no spectrum."""
    arm = group[-1]
    wave = grid_group(group).grid(SETTINGS).points().astype(np.float32)
    return {
        f"desi_flux_{arm}": flux,
        f"desi_ivar_{arm}": ivar,
        f"desi_wave_{arm}": [None if f is None else wave for f in flux],
    }


def xp_spectrum(seed: int = 0) -> dict[str, np.ndarray]:
    """Coefficients, errors and (weak) correlations of one XP spectrum."""
    generator = np.random.default_rng(seed)
    falling = 1e3 * np.exp(-np.arange(N_COEFFICIENTS) / 5)
    return {
        "coefficients": generator.normal(1, 0.3, N_COEFFICIENTS) * falling,
        "coefficient_errors": generator.uniform(0.5, 2, N_COEFFICIENTS),
        "coefficient_correlations": generator.uniform(-0.01, 0.01, N_CORRELATIONS),
    }


def xp_columns_of(spectra: list[dict | None], group: str = "gaiaxp_bp") -> dict[str, list]:
    """Cube columns of texts; None where a row has no spectrum."""
    names = xp_spectrum()
    return {
        f"{group}_{name}": [None if s is None else json.dumps(list(s[name])) for s in spectra]
        for name in names
    }


def samples_of(flux: np.ndarray, ivar: np.ndarray, group: str = "desi_r") -> GroupSamples:
    """Samples of all the spectra given."""
    noise = NoiseProfile.measure(flux, ivar)
    length, factor = flux.shape[1], grid_group(group).bin_factor(SETTINGS)
    binned = rebin(flux, ivar, factor, noise.weights(length))
    scale = object_scale(*binned)
    features = training_samples(*binned, scale, noise.of_bins(length, factor)).astype(np.float32)
    live = np.isfinite(scale)
    return GroupSamples(features, scale[live], len(flux), int(live.sum()), noise)


def tokenizer_of(
    samples: dict[str, GroupSamples], settings: SpectrumSettings = SETTINGS, n_bins: int = 1024
) -> SpectrumTokenizer:
    """A tokenizer fitted on samples; groups without any get an empty codebook."""
    nothing = GroupSamples.merge([])
    codebooks = [train_codebook(samples.get(g, nothing), g, settings) for g in settings.groups]
    return SpectrumTokenizer.assemble(codebooks, settings, n_bins)
