"""Spectra and images are predicted in one run of the model, and sampled code by code."""

from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest
import torch

from astromodal.config.schema import SCALAR_COLUMNS
from astromodal.core.vocab import BOS, MISS, MISSING_CODE, SEP
from astromodal.data.columns import PIXELS, scalar_unit
from astromodal.errors import ConfigError, DataError
from astromodal.inference.prompt import hidden_blocks
from astromodal.surveys.registry import GROUPS, grid_group
from astromodal.tokenizers.images.brightness import flux_slots


def test_a_spectrum_is_predicted_by_one_run_over_hidden_codes(model, encoded):
    """Its mean and spread are those of the whole model's logits where every code is MISS."""
    bundle, coder = model.bundle, model.tokenizers.spectrum
    block, tokenizer = bundle.layout["desi_r"], coder.spectrum("desi_r")
    found = model.predict(encoded, "desi_r", given=[])["desi_r"]
    tokens = torch.tensor([[BOS, SEP] + [MISS] * block.length])
    types = torch.tensor([[0] + [block.type] * (1 + block.length)])
    with torch.no_grad():
        logits = bundle.trained.model(tokens, types)[0]
    moments = []
    for slot in range(block.length):
        ids = next(r for r in block.ranges if slot < r.first + r.n_slots)
        first, _, used = bundle.legal(ids, slot)
        own = logits[1 + slot, first : first + used]
        if slot:
            own = own.masked_fill(~torch.from_numpy(coder.seen["desi_r"]), -torch.inf)
        values = tokenizer.unit_values(slot - 1) if slot else None
        values = coder.decode_scale("desi_r", np.arange(used)) if values is None else values
        p = own.softmax(0).double().numpy()
        moments.append((p @ values, p @ values**2))
    scale = moments[0]
    codes = (np.array([moment[i] for moment in moments[1:]])[None] for i in (0, 1))
    mean, square = (of * scale[i] for i, of in enumerate(tokenizer.moments(*codes)))
    np.testing.assert_allclose(found.flux, np.broadcast_to(mean, (12, 8)), rtol=1e-4)
    wanted = np.broadcast_to(np.sqrt(square - mean**2), (12, 8))
    np.testing.assert_allclose(found.std, wanted, rtol=1e-3)
    np.testing.assert_array_equal(found.wave, tokenizer.wave)


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
    """The result does not depend on the token budget, but its spread on the seed."""
    from astromodal.inference import AstroModel

    small = AstroModel(model.bundle, model.settings.model_copy(update={"token_budget": 1}))
    found = [
        m.predict(encoded, "image", n_samples=2, seed=seed)["image"]
        for m, seed in ((model, 0), (small, 0), (model, 1))
    ]
    np.testing.assert_allclose(found[0].pixels, found[1].pixels, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(found[0].pixels, found[2].pixels, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(found[0].std, found[1].std, rtol=1e-2, atol=1e-2)
    assert (found[0].std != found[2].std).any()


def test_what_an_object_has_of_the_target_is_not_used(model, encoded):
    """Objects with and without a spectrum are predicted alike where nothing is given."""
    found = model.predict(encoded, "image", given=[], n_samples=1)["image"]
    assert (found.n_given == 0).all()
    found = model.predict(encoded, "specz_z", given=["desi_r"])["specz_z"]
    assert found.n_given.tolist() == [17 if i % 3 == 0 else 0 for i in range(12)]
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


def test_one_sample_of_an_image_is_at_the_medians(model, encoded):
    """Its brightness and place are those of the median codes, its latents the expected ones."""
    bundle, tokenizer = model.bundle, model.tokenizers.image
    block, head = bundle.layout["image"], bundle.layout.spec.n_brightness
    found = model.predict(encoded, "image", given=[], n_samples=1)["image"]
    (hidden,) = hidden_blocks(bundle, model.open(encoded), model.request("image", []), block, 10**6)
    codes = np.full((12, head), MISSING_CODE, dtype=np.uint16)
    latents = np.empty((12, block.length - head, tokenizer.centroids.shape[1]))
    for slots, p in hidden.probabilities():
        if slots.start < head:
            codes[:, slots] = (np.cumsum(p, axis=2) <= 0.5).sum(axis=2)
        else:
            latents[:, slots.start - head : slots.stop - head] = p @ tokenizer.centroids
    grid = latents.reshape(12, tokenizer.grid, tokenizer.grid, -1).transpose(0, 3, 1, 2)
    wanted = tokenizer.decode_latents(grid, codes)
    np.testing.assert_allclose(found.pixels[hidden.place], wanted, rtol=1e-3, atol=1e-3)


def test_samples_of_an_image_differ_in_flux_alone(model, encoded, monkeypatch):
    """All fluxes rise from one sample to the next; place and shapes of bands stay as they are."""
    seen, tokenizer = [], model.tokenizers.image
    decode = type(tokenizer).decode_latents

    def watched(self, latents, brightness=None):
        seen.append(brightness)
        return decode(self, latents, brightness)

    monkeypatch.setattr(type(tokenizer), "decode_latents", watched)
    model.predict(encoded, "image", given=[], n_samples=5)
    brightness, fluxes = seen[0].astype(int), flux_slots(len(tokenizer.bands))
    assert (np.diff(brightness[:, fluxes], axis=0) >= 0).all()
    assert (np.diff(brightness[:, fluxes], axis=0) > 0).any()
    others = np.delete(brightness, np.r_[fluxes], axis=1)
    assert (others == others[0]).all()
