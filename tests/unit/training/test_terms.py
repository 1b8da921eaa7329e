"""Terms of the loss, and the reconstruction losses as functions."""

from __future__ import annotations

import pytest
import torch

from astromodal import training
from astromodal.config.training import MeaningfulLossSettings
from astromodal.core.vocab import build_vocab_spec
from astromodal.errors import ConfigError
from astromodal.training.terms import (
    expected_centroids,
    image_reconstruction_loss,
    loss_terms,
    scalar_reconstruction_loss,
    spectrum_reconstruction_loss,
)
from helpers.loss_terms import Entropy, entropy

__all__ = ["entropy"]

SPEC = build_vocab_spec(v_image=4, v_scalar=6, v_spectra=3, spectrum_groups=("desi_b",), n_bins=2)
# ids: special 0-4, image 5-8, columns 9-10, 11-12, 13-14, desi_b 15-17


def sure_of(tokens):
    """Logits that put everything on the given tokens."""
    return torch.nn.functional.one_hot(tokens, SPEC.vocab_size).float() * 1000


def test_the_expectation_by_hand():
    """Softmax weights 3/4 and 1/4 on centroids 0 and 8 give 2."""
    logits = torch.tensor([[3.0, 1.0]]).log()
    assert expected_centroids(logits, torch.tensor([[0.0], [8.0]])).item() == pytest.approx(2.0)


def test_a_table_for_each_position():
    """Positions may have centroids of their own."""
    tables = torch.tensor([[[0.0], [2.0]], [[10.0], [30.0]]])
    assert expected_centroids(torch.zeros(2, 2), tables).flatten().tolist() == [1.0, 20.0]


def test_a_sure_and_right_prediction_has_no_loss():
    """All weight on the true code reconstructs its centroid."""
    target = torch.tensor([[5, 8, 3, 9]])
    codebook = torch.randn(4, 2)
    assert image_reconstruction_loss(sure_of(target), target, codebook).item() == 0.0


def test_the_loss_by_hand():
    """Sure of centroid (1, 1) where (3, 1) is true: (4 + 0) / 2; other targets do not count."""
    codebook = torch.tensor([[1.0, 1.0], [3.0, 1.0], [0.0, 0.0], [0.0, 0.0]])
    logits = sure_of(torch.tensor([[5, 5]]))
    loss = image_reconstruction_loss(logits, torch.tensor([[6, 4]]), codebook)
    assert loss.item() == pytest.approx(2.0)


def test_logits_of_other_ids_do_not_matter():
    """The softmax is over the modality's own ids alone."""
    target = torch.tensor([[5]])
    logits = torch.randn(1, 1, SPEC.vocab_size)
    codebook = torch.randn(4, 2)
    before = image_reconstruction_loss(logits, target, codebook)
    logits[..., 9:] += 100
    torch.testing.assert_close(image_reconstruction_loss(logits, target, codebook), before)


def test_reconstruction_is_returned_where_asked():
    """(B, T, L) expected centroids, NaN where the target is of another modality."""
    target = torch.tensor([[7, 9]])
    codebook = torch.randn(4, 2)
    found = image_reconstruction_loss(sure_of(target), target, codebook, return_reconstruction=True)
    assert found.shape == (1, 2, 2)
    torch.testing.assert_close(found[0, 0], codebook[2])
    assert found[0, 1].isnan().all()


def test_scalars_are_reconstructed_over_their_own_column():
    """Ids 9 and 12 are bin 0 of the first and bin 1 of the second column."""
    target = torch.tensor([[9, 12, 5]])
    centers = torch.tensor([[1.0, 2.0], [10.0, 20.0], [100.0, 200.0]])
    found = scalar_reconstruction_loss(
        torch.zeros(1, 3, SPEC.vocab_size), target, centers, True, vocab_spec=SPEC
    )
    assert found[0, :2, 0].tolist() == [1.5, 15.0]
    assert found[0, 2].isnan().all()


def test_scalars_of_the_default_vocabulary_need_no_spec():
    """Without a vocabulary, scalars begin after 5 special ids and 2048 image codes."""
    target = torch.tensor([[2053 + 1]])
    logits = torch.zeros(1, 1, 2055)
    assert scalar_reconstruction_loss(logits, target, torch.tensor([[0.0, 4.0]])).item() == 4.0


def test_spectra_are_reconstructed_with_their_groups_codebook():
    """Id 16 is code 1 of desi_b."""
    target = torch.tensor([[16]])
    codebooks = {"desi_b": torch.tensor([[0.0, 0.0], [1.0, 2.0], [5.0, 5.0]])}
    found = spectrum_reconstruction_loss(sure_of(target), target, codebooks, SPEC, True)
    assert found.tolist() == [[[1.0, 2.0]]]


def test_groups_of_more_features_have_wider_centroids():
    """Light curves have three: what a spectrum's centroid lacks is NaN, and the loss is finite."""
    spec = build_vocab_spec(4, 8, 4, ("desi_b", "ztf_r"))
    codebooks = {"desi_b": torch.rand(4, 2), "ztf_r": torch.rand(4, 3)}
    target = torch.tensor([[spec.spectrum_offset("desi_b"), spec.spectrum_offset("ztf_r") + 1]])
    logits = torch.zeros(1, 2, spec.vocab_size).scatter(2, target[..., None], 1e4)
    found = spectrum_reconstruction_loss(logits, target, codebooks, spec, True)
    torch.testing.assert_close(found[0, 0, :2], codebooks["desi_b"][0])
    torch.testing.assert_close(found[0, 1], codebooks["ztf_r"][1])
    assert torch.isnan(found[0, 0, 2])
    assert spectrum_reconstruction_loss(logits, target, codebooks, spec) == 0


def test_without_targets_the_loss_is_zero_and_differentiable():
    """A batch without images does not make a training loss NaN."""
    logits = torch.zeros(1, 1, SPEC.vocab_size, requires_grad=True)
    loss = image_reconstruction_loss(logits, torch.tensor([[4]]), torch.randn(4, 2))
    loss.backward()
    assert loss.item() == 0.0


def test_the_loss_has_gradients():
    """A wrong prediction is pulled towards the true centroid."""
    logits = torch.zeros(1, 1, SPEC.vocab_size, requires_grad=True)
    codebook = torch.tensor([[0.0], [1.0], [2.0], [3.0]])
    image_reconstruction_loss(logits, torch.tensor([[8]]), codebook).backward()
    assert logits.grad[0, 0, 8] < 0 < logits.grad[0, 0, 5]


def test_targets_of_another_shape_are_refused():
    """Logits and targets belong together position by position."""
    with pytest.raises(ConfigError, match=r"target_tokens must be of shape \(1, 2\).*got \(1, 3\)"):
        image_reconstruction_loss(torch.zeros(1, 2, 18), torch.zeros(1, 3), torch.zeros(4, 2))


def test_logits_too_narrow_for_the_centroids_are_refused():
    """Centroids beyond the vocabulary belong to another one."""
    with pytest.raises(ConfigError, match="logits must be of at least 13 ids.*got 9"):
        image_reconstruction_loss(torch.zeros(1, 1, 9), torch.zeros(1, 1), torch.zeros(8, 2))


def test_the_guides_names_are_exported():
    """``from astromodal.training import image_reconstruction_loss`` is public."""
    assert training.image_reconstruction_loss is image_reconstruction_loss
    assert training.scalar_reconstruction_loss is scalar_reconstruction_loss
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = training.nothing


def weights(**settings):
    """Weights by key of the terms of settings."""
    return {term.key: term.weight for term in loss_terms(MeaningfulLossSettings(**settings))}


def test_every_weight_of_the_settings_is_a_term():
    """Cross-entropy comes first, then the squared error of each modality."""
    assert weights(lambda_scalar=0.5) == {
        "cross_entropy": 1.0,
        "squared_error_image": 0.1,
        "squared_error_scalar": 0.5,
        "squared_error_spectrum": 0.1,
    }


def test_without_reconstruction_its_terms_weigh_nothing():
    """They stay in the list, so that histories have the same entries."""
    assert list(weights(enabled=False).values()) == [1.0, 0.0, 0.0, 0.0]


def test_a_registered_term_is_active_where_settings_name_it(entropy):
    """It is made with its weight, after the terms of the package."""
    terms = loss_terms(MeaningfulLossSettings(extra={"entropy": 0.25}))
    assert isinstance(terms[-1], Entropy)
    assert (terms[-1].key, terms[-1].weight) == ("entropy", 0.25)
    assert "entropy" not in weights()


def test_a_term_that_is_not_registered_is_refused(entropy):
    """The error names the setting and the nearest term."""
    match = r"training\.meaningful_loss\.extra must be a registered loss term .*nearest: 'entropy'"
    with pytest.raises(ConfigError, match=match):
        weights(extra={"entropie": 1.0})


@pytest.mark.parametrize("name", ["cross_entropy", "squared_error"])
def test_a_term_of_the_package_has_its_own_weight(name):
    """It would count twice."""
    match = r"training\.meaningful_loss\.extra must be of registered loss terms, .*; set lambda_"
    with pytest.raises(ConfigError, match=match):
        weights(extra={name: 1.0})


def test_a_registered_term_may_be_all_that_is_learned():
    """Without cross-entropy and reconstruction, another term must have a weight."""
    off = {"enabled": False, "lambda_cross_entropy": 0.0}
    with pytest.raises(ValueError, match="nothing would be learned"):
        MeaningfulLossSettings(**off, extra={"entropy": 0.0})
    assert MeaningfulLossSettings(**off, extra={"entropy": 1.0}).extra == {"entropy": 1.0}
