"""R², its losses and their causes, by hand."""

import numpy as np
import pytest

from astromodal.evaluation.images.measures import (
    measure_all_bands,
    measure_band,
    measure_limits,
    measure_missing,
)

BANDS = ("R", "Z")
THREE = ("G", "R", "Z")


def _lost(image_sample, latents, codes):
    ones = np.ones((20, 2))
    return image_sample(codes={"residual": codes * ones}, latents={"residual": latents * ones})


def test_band_by_hand(image_sample):
    """Codes leave 10 of 100, latents 4, noise 4; of a flux of 1000 codes keep 900: 0.114 mag."""
    codes = {"residual": np.full((20, 2), 10.0), "flux": np.full((20, 2), 900.0)}
    band = measure_band(image_sample(codes=codes), 0, 0)
    assert (band.n, band.n_detected, band.ceiling) == (20, 20, pytest.approx(0.96))
    assert band.codes.r2.value == pytest.approx(0.9)
    assert band.latents.r2_object.value == pytest.approx(0.96)
    assert band.codes.dmag.value == pytest.approx(0.1144, abs=1e-4)


def test_band_without_light_is_unknown(image_sample):
    """A band that varies in no cutout has no number."""
    band = measure_band(image_sample(total=np.zeros((20, 2))), 0, 0)
    assert (band.n, band.n_detected) == (0, 0)
    assert np.isnan([band.ceiling, band.codes.r2.value, band.latents.dmag.value]).all()


def test_bands_count_in_units_of_their_noise(image_sample):
    """A band of ten times the noise has a hundredth of the weight in R² over all bands."""
    residual, noise = np.full((20, 2), 4.0), np.ones((20, 2))
    residual[:, 1], noise[:, 1] = 50.0, 10.0
    sample = image_sample(codes={"residual": residual}, noise=noise)
    assert measure_all_bands(sample, 0).codes.r2.value == pytest.approx(1 - 4.5 / 101)


def test_shares_by_hand(image_sample):
    """Of 100: 4 pixels of noise 1, latents leave 10 and codes 30, so 0.04, 0.06 and 0.20."""
    limits = measure_limits(_lost(image_sample, 10, 30), 0)
    for by_band in (limits.pooled, limits.typical):
        for name in (*BANDS, "all"):
            losses = by_band[name]
            assert losses.noise.value == pytest.approx(0.04)
            assert losses.autoencoder.value == pytest.approx(0.06)
            assert losses.codebook.value == pytest.approx(0.20)
            assert losses.limit == "codebook"


def test_shares_sum_to_what_codes_leave(image_sample):
    """Noise, autoencoder and codebook are all that is missing from R² = 1."""
    rng = np.random.default_rng(0)
    latents, codes = rng.uniform(0, 50, (2, 20, 2))
    losses = measure_limits(_lost(image_sample, latents, codes), 0).pooled["R"]
    whole = losses.noise.value + losses.autoencoder.value + losses.codebook.value
    assert whole == pytest.approx(codes[:, 0].sum() / 2000)


def test_equal_losses_are_undecided(image_sample):
    """Where both losses are equal neither is the limit."""
    rng = np.random.default_rng(0)
    latents = 24 + rng.normal(0, 5, (20, 2))
    noisy = _lost(image_sample, latents, 2 * latents - 4 + rng.normal(0, 0.5, (20, 2)))
    assert measure_limits(noisy, 0).pooled["R"].limit == "undecided"


def test_undetected_cutouts_are_not_typical(image_sample):
    """A cutout without detected flux does not count in the mean over cutouts."""
    flux = np.full((20, 2), 1000.0)
    flux[:5] = 1.0
    limits = measure_limits(image_sample(measured={"flux": flux}), 0)
    assert limits.typical["R"].n == 15
    assert limits.pooled["R"].n == 20


def test_nothing_detected_is_undecided(image_sample):
    """Without a detected cutout the losses are NaN and the limit is undecided."""
    losses = measure_limits(image_sample(measured={"flux": np.zeros((20, 2))}), 0).typical["all"]
    assert losses.limit == "undecided"
    assert np.isnan(losses.codebook.value)


def test_losses_by_hand(hidden_bands):
    """One more of ten is lost in the other bands: 0.1; the hidden one falls from 0.9 to 0.5."""
    numbers = measure_missing(hidden_bands, THREE, np.ones(3), 0)
    assert numbers.n_objects == 2
    for k in (1, 2):
        assert numbers.by_number[k].loss.value == pytest.approx(0.1)
        assert numbers.by_number[k].loss_object.value == pytest.approx(0.1)
    band = numbers.by_band["R"]
    assert band.seen.value == pytest.approx(0.9)
    assert band.guessed.value == pytest.approx(0.5)


def test_weights_count(hidden_bands):
    """With weights 3, 1 and 0 and R missing only G counts: its own loss is 0.4."""
    hidden_bands.residual[:, 1, 0] = 5.0  # G without R
    numbers = measure_missing(hidden_bands, THREE, np.array([3.0, 1.0, 0.0]), 0)
    assert numbers.by_band["R"].loss.value == pytest.approx(0.4)


def test_cutout_that_hides_nothing_does_not_count(hidden_bands):
    """A cutout without a second band does not count as one that keeps everything."""
    hidden_bands.hidden[1] = False
    hidden_bands.residual[1] = np.nan
    numbers = measure_missing(hidden_bands, THREE, np.ones(3), 0)
    assert numbers.by_number[1].n == 1
    assert numbers.by_number[1].loss.value == pytest.approx(0.1)
