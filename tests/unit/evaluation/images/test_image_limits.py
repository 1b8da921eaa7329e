"""The split of the unexplained variance, by hand."""

import numpy as np
import pytest

from astromodal.evaluation.images.limits import limit_numbers, limit_table, plot_limits, sentence

BANDS = ("R", "Z")


def _lost(image_sample, latents, codes):
    ones = np.ones((20, 2))
    return image_sample(residual_latents=latents * ones, residual_codes=codes * ones)


def test_shares_by_hand(image_sample):
    """Of 100: 4 pixels of noise 1, latents leave 10 and codes 30, so 0.04, 0.06 and 0.20."""
    limits = limit_numbers(_lost(image_sample, 10, 30), BANDS, 0)
    for kind in ("pooled", "typical"):
        for name in (*BANDS, "all"):
            found = limits[kind][name]
            assert found["noise"]["value"] == pytest.approx(0.04)
            assert found["autoencoder"]["value"] == pytest.approx(0.06)
            assert found["codebook"]["value"] == pytest.approx(0.20)
            assert found["limit"] == "codebook"


def test_shares_sum_to_what_codes_leave(image_sample):
    """Noise, autoencoder and codebook are all that is missing from R² = 1."""
    rng = np.random.default_rng(0)
    sample = image_sample(
        residual_latents=rng.uniform(0, 50, (20, 2)), residual_codes=rng.uniform(0, 50, (20, 2))
    )
    found = limit_numbers(sample, BANDS, 0)["pooled"]["R"]
    whole = sum(found[share]["value"] for share in ("noise", "autoencoder", "codebook"))
    assert whole == pytest.approx(sample.residual_codes[:, 0].sum() / 2000)


def test_equal_losses_are_undecided(image_sample):
    """Where both lose the same neither is the limit."""
    rng = np.random.default_rng(0)
    latents = 24 + rng.normal(0, 5, (20, 2))
    noisy = image_sample(
        residual_latents=latents, residual_codes=2 * latents - 4 + rng.normal(0, 0.5, (20, 2))
    )
    assert limit_numbers(noisy, BANDS, 0)["pooled"]["R"]["limit"] == "undecided"


def test_sentence_names_the_limit(image_sample):
    """The limit stands in words, overall and by band."""
    text = sentence(limit_numbers(_lost(image_sample, 40, 50), BANDS, 0), BANDS)
    assert text.count("the limit is the autoencoder (by band: autoencoder in R Z)") == 2


def test_undetected_cutouts_are_not_typical(image_sample):
    """A cutout without detected flux has no part in the mean over cutouts."""
    flux = np.full((20, 2), 1000.0)
    flux[:5] = 1.0
    limits = limit_numbers(image_sample(flux=flux), BANDS, 0)
    assert limits["typical"]["R"]["n"] == 15
    assert limits["pooled"]["R"]["n"] == 20


def test_nothing_detected_is_drawn(image_sample):
    """Without a detected cutout shares are NaN, the limit undecided, and the figure is drawn."""
    limits = limit_numbers(image_sample(flux=np.zeros((20, 2))), BANDS, 0)
    assert limits["typical"]["all"]["limit"] == "undecided"
    plot_limits(limits, BANDS).draw_without_rendering()
    assert len(limit_table(limits, BANDS)["rows"]) == 6
