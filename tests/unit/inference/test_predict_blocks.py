"""Spectra and images are predicted as averages over samples."""

from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest

from astromodal.config.schema import SCALAR_COLUMNS
from astromodal.data.columns import PIXELS, scalar_unit
from astromodal.errors import ConfigError, DataError
from astromodal.surveys.registry import GROUPS, grid_group


def test_a_spectrum_is_the_mean_of_its_samples(model, encoded):
    """With many samples, mean and spread agree with those of decoded samples."""
    n = 1600
    first = model.predict(encoded, "desi_r", given=["mag_pstotal_r"], n_samples=n)["desi_r"]
    sampled = model.generate(encoded, "desi_r", given=["mag_pstotal_r"], n_samples=n, seed=1)
    flux = sampled.flux["desi_r"]
    error = flux.std(axis=1) / np.sqrt(n)
    assert first.flux.shape == first.std.shape == (12, 8)
    pull = (first.flux - flux.mean(axis=1)) / (error + 1e-9)
    assert np.abs(pull).mean() < 1.5
    np.testing.assert_allclose(first.std, flux.std(axis=1), rtol=0.35)
    np.testing.assert_array_equal(first.wave, model.tokenizers.spectrum.spectrum("desi_r").wave)


def test_codes_without_a_training_sample_are_not_sampled(model, encoded):
    """All others are, even of a model of random weights."""
    seen = model.tokenizers.spectrum.seen["desi_r"]
    assert 0 < seen.sum() < len(seen)
    sampled = model.generate(encoded, "desi_r", given=[], n_samples=200)
    codes = np.unique(sampled.codes["desi_r"][..., 1:])
    np.testing.assert_array_equal(codes, np.flatnonzero(seen))


def test_an_image_is_decoded(model, encoded):
    """Pixels of all bands, with a spread; nothing is NaN."""
    found = model.predict(encoded, "image", given=["mag_pstotal_r", "desi_r"], n_samples=3)["image"]
    assert found.pixels.shape == found.std.shape == (12, 3, 32, 32)
    assert np.isfinite(found.pixels).all()
    assert (found.std > 0).any()
    assert found.bands == ("U", "R", "Z")


def test_the_same_seed_gives_the_same(model, encoded):
    """The result does not depend on the token budget, but on the seed."""
    from astromodal.inference import AstroModel

    small = AstroModel(model.bundle, model.settings.model_copy(update={"token_budget": 1}))
    found = [
        m.predict(encoded, "desi_r", n_samples=2, seed=seed)["desi_r"].flux
        for m, seed in ((model, 0), (small, 0), (model, 1))
    ]
    np.testing.assert_allclose(found[0], found[1], rtol=1e-4)
    assert (found[0] != found[2]).any()


def test_what_an_object_has_of_the_target_is_not_used(model, encoded):
    """Objects with and without a spectrum are predicted alike where nothing is given."""
    found = model.predict(encoded, "image", given=[], n_samples=1)["image"]
    assert (found.n_given == 0).all()
    found = model.predict(encoded, "specz_z", given=["desi_r"])["specz_z"]
    assert found.n_given.tolist() == [9 if i % 3 == 0 else 0 for i in range(12)]
    lone = found.probabilities[found.n_given == 0]
    np.testing.assert_allclose(lone, np.broadcast_to(lone[0], lone.shape), rtol=1e-5)


def test_generated_blocks_are_decoded(model, encoded):
    """Values, spectra and cutouts of every sample, in the tokenizers' own units."""
    made = model.generate(encoded, ["scalar", "image", "desi_r"], given=[], n_samples=2)
    assert made.scalars["specz_z"].shape == (12, 2)
    assert np.isnan(made.scalars["vista_japermag6"]).all()
    assert made.flux["desi_r"].shape == made.ivar["desi_r"].shape == (12, 2, 8)
    assert made.pixels.shape == (12, 2, 3, 32, 32)
    codes = made.codes["scalar"].reshape(24, -1)
    expected = model.tokenizers.scalar.decode(codes)[:, 2].reshape(12, 2)
    np.testing.assert_array_equal(made.scalars["specz_z"], expected)


def test_later_blocks_follow_from_earlier_ones(model, encoded):
    """Blocks sampled together are one sequence: earlier ones change later ones."""
    both = model.generate(encoded, ["scalar", "desi_r"], given=[], seed=2)
    alone = model.generate(encoded, ["desi_r"], given=[], seed=2)
    assert (both.codes["desi_r"] != alone.codes["desi_r"]).any()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m, e: m.predict(e, "gaiaxp_bp"), DataError, "target gaiaxp_bp must be measured"),
        (lambda m, e: m.predict(e, "vista_japermag6"), DataError, "must be measured in a training"),
        (lambda m, e: m.predict(e, "specz_z", "gaiaxp_bp"), DataError, "what is given must be"),
        (lambda m, e: m.predict(e, "specz"), ConfigError, "target must be a scalar column"),
        (lambda m, e: m.generate(e, "specz_z"), ConfigError, "blocks must be whole blocks"),
        (lambda m, e: m.generate(e, "image", "image"), ConfigError, "given must be without any"),
        (
            lambda m, e: m.generate(e, "image", temperature=-1.0),
            ConfigError,
            "temperature must be at least 0, got -1.0",
        ),
    ],
)
def test_what_cannot_be_done_is_said(model, encoded, call, error, message):
    """Each impossible call gives one clear error."""
    with pytest.raises(error, match=message):
        call(model, encoded)


def test_all_columns_are_those_with_a_bin(model, encoded):
    """A column that no training field measured is left out if all are requested."""
    found = model.predict(encoded, "scalar", given=["image"])
    assert list(found) == [name for name in model.columns if name != "vista_japermag6"]


def test_astropy_reads_every_unit():
    """Units of scalars, wavelengths, fluxes and pixels."""
    units = {scalar_unit(name) for name in SCALAR_COLUMNS} | {PIXELS}
    units |= {quantity.unit for group in GROUPS for quantity in (group.axis, group.values)}
    assert all(u.Unit(unit).to_string() is not None for unit in units)
    assert scalar_unit("gaia_teff_gspphot") == "K"
    assert scalar_unit("specz_z") == ""
    assert u.Unit(grid_group("desi_b").values.unit).is_equivalent("W / m3")
