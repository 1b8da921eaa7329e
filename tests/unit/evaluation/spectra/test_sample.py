"""The strongest lines of measured spectra, and what decoded ones keep of them."""

import numpy as np
import pytest

from astromodal.config import load_config
from astromodal.config.schema import SpectrumSettings
from astromodal.data.cube import Cube
from astromodal.data.spectra import read_spectra
from astromodal.evaluation.spectra.sample import Fluxes, LineNumbers, continuum, strongest_lines
from astromodal.simulate.field import simulate_field
from astromodal.surveys.registry import grid_group
from astromodal.tokenizers.spectra.codebook import sample_features, train_codebook
from astromodal.tokenizers.spectra.tokenizer import SpectrumTokenizer

WAVE = 4000 + 0.8 * np.arange(1000)


def _line(flux, place=4400.0, sigma=2.0):
    return flux * np.exp(-0.5 * ((WAVE - place) / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))


def _fluxes(measured, decoded, ivar=None):
    ivar = np.full(WAVE.shape, 100.0) if ivar is None else ivar
    return Fluxes(WAVE, measured[None], ivar[None], decoded[None])


def test_flux_and_width_of_a_line_by_hand():
    """A line of flux 60 above a continuum of 2 has an equivalent width of 30 Å; half is decoded."""
    lines = strongest_lines(_fluxes(2 + _line(60.0), 2 + _line(30.0)), 1)
    assert lines.wave == pytest.approx([4400], abs=2)
    assert lines.flux == pytest.approx([60], rel=1e-3)
    assert lines.width == pytest.approx([30], rel=1e-3)
    assert lines.decoded == pytest.approx([30], rel=1e-3)
    assert lines.error == pytest.approx([0.8 * 0.1 * 5])  # 25 pixels of 0.8 Å and error 0.1


def test_an_absorption_line_is_negative():
    """Flux and equivalent width of what is missing; the same spectrum has no emission line."""
    fluxes = _fluxes(5 - _line(20.0), 5 - _line(20.0))
    assert strongest_lines(fluxes, -1).width == pytest.approx([-4], rel=1e-3)
    assert len(strongest_lines(fluxes, 1).wave) == 0


def test_a_bad_pixel_hides_a_line():
    """A window with a pixel that was not measured does not count; a weaker line elsewhere does."""
    ivar = np.full(WAVE.shape, 100.0)
    ivar[np.abs(WAVE - 4400) < 10] = 0
    two = 2 + _line(60.0) + _line(20.0, 4600.0)
    assert strongest_lines(_fluxes(two, two, ivar), 1).wave == pytest.approx([4600], abs=2)


def test_a_line_in_the_noise_is_none():
    """Below a S/N of ten nothing is measured."""
    spectrum = 2 + _line(60.0)
    assert len(strongest_lines(_fluxes(spectrum, spectrum, np.full(WAVE.shape, 1e-3)), 1).wave) == 0


def test_the_continuum_passes_below_lines():
    """It follows a slope over bad pixels, and no line lifts it."""
    slope = 1 + (WAVE - 4000) / 400
    flux = np.stack([slope + _line(100.0)] * 2)
    good = np.ones(flux.shape, bool)
    good[1, 300:420] = False
    flux[~good] = 1e6
    np.testing.assert_allclose(continuum(flux, good), [slope, slope], atol=0.12)


def test_a_spectrum_without_good_pixels_has_no_continuum():
    """It is zero, and no line is found."""
    nothing = _fluxes(np.full(WAVE.shape, np.nan), np.ones(WAVE.shape), np.zeros(WAVE.shape))
    assert not continuum(nothing.flux, nothing.good).any()
    assert len(strongest_lines(nothing, 1).wave) == 0


def test_numbers_are_ratios():
    """Two lines of which half and all is decoded: the median ratio, and how many are close."""
    both = [2 + _line(60.0), 2 + _line(60.0)]
    fluxes = Fluxes(
        WAVE, np.stack(both), np.full((2, 1000), 100.0), np.stack([2 + _line(30.0), both[1]])
    )
    numbers = LineNumbers.of(strongest_lines(fluxes, 1), 0)
    assert numbers.flux.value == pytest.approx(0.75, rel=1e-2)
    assert numbers.width.value == pytest.approx(0.75, rel=1e-2)
    assert (numbers.close.value, numbers.flux.n) == (0.5, 2)


def test_lines_of_a_real_galaxy_keep_their_flux(real_cubes, tmp_path):
    """Its strongest line in each arm to 5 %, by default codebooks of a simulated field.

    In arms r and z, Hα and [O III] are brighter than any line that the codebooks were fitted on.
    """
    settings = SpectrumSettings(groups=("desi_b", "desi_r", "desi_z"))
    sky = {"n_sources": 300, "cutout_fraction": 0.0, "xp_fraction": 0.0, "desi_fraction": 0.6}
    config = load_config({"simulate": sky | {"fields": {"S-1": {}}}})
    simulate_field(config.simulate, "S-1", tmp_path / "cube.parquet")
    field = Cube(tmp_path / "cube.parquet", "S-1")
    samples = sample_features(field, settings, np.ones(field.n_rows, bool), 0)
    books = [train_codebook(samples[group], group, settings) for group in settings.groups]
    tokenizer = SpectrumTokenizer.assemble(books, settings, 1024)
    cube = Cube(real_cubes / "datacube_STRIPE82-REAL.parquet", "STRIPE82-REAL")
    for group in settings.groups:
        (batch,) = read_spectra(cube, group)
        spectra = batch.take(batch.live())
        decoded, _ = tokenizer.decode(group, *tokenizer.encode(group, spectra.flux, spectra.ivar))
        coder, wave = tokenizer.spectrum(group), grid_group(group).grid(settings).points()
        fluxes = Fluxes(wave, *coder.measured(spectra), coder.at_pixels(decoded))
        lines = strongest_lines(fluxes, 1)
        strongest = lines.width.argmax()
        assert lines.width[strongest] > 100
        assert lines.decoded[strongest] / lines.flux[strongest] == pytest.approx(1, abs=0.05)
