import pytest
import torch
from astromodal.models.autoencoder import ImageAutoencoder


@pytest.fixture
def model():
    torch.manual_seed(0)
    made = ImageAutoencoder(3, latent_dim=2, hidden=8, blocks=1)
    torch.nn.init.normal_(made.squeeze.weight)
    return made


def images(n, size=16, seed=1):
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(seed))


def everywhere(x):
    return torch.ones_like(x, dtype=torch.bool)


@pytest.mark.parametrize("size", [8, 16, 96])
def test_shapes(model, size):
    """A latent vector a 4 × 4 patch, and the cutout's own shape back."""
    x = images(2, size)
    z = model.encode(x, everywhere(x))
    assert z.shape == (2, 2, size // 4, size // 4)
    assert model.decode(z).shape == x.shape


def test_invalid_pixels_do_not_matter(model):
    """Whatever stands in an invalid pixel, even the largest number, changes no latent."""
    x = images(1)
    valid = everywhere(x)
    valid[:, 1] = False
    changed = x.clone()
    changed[:, 1] = 1e30
    torch.testing.assert_close(model.encode(x, valid), model.encode(changed, valid))


def test_missing_band_is_told_from_a_dark_one(model):
    """Zeros that were measured and a band that is missing give different latents."""
    x = images(1)
    x[:, 1] = 0
    valid = everywhere(x)
    valid[:, 1] = False
    assert not torch.equal(model.encode(x, valid), model.encode(x, everywhere(x)))


def test_bounded_latents_are_bounded(model):
    """However bright the pixels, raw latents lie within (-1, 1)."""
    x = 50 * images(2)
    assert model.bounded_latents(x, everywhere(x)).abs().max() <= 1


def test_decode_undoes_the_standardisation(model):
    """The statistics change latents, not what an image decodes to."""
    x = images(2)
    before = model.decode(model.encode(x, everywhere(x)))
    model.set_statistics(torch.tensor([0.3, -0.2]), torch.tensor([0.1, 2.0]))
    after = model.decode(model.encode(x, everywhere(x)))
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-4)


def test_forward_is_encode_then_decode(model):
    """Without noise, a forward pass is what encode and decode give."""
    x = images(2)
    separate = model.decode(model.encode(x, everywhere(x)))
    torch.testing.assert_close(model(x, everywhere(x)), separate)


def test_noise_reaches_the_pixels(model):
    """Noise on the latents changes what is decoded."""
    x = images(1)
    noise = torch.full((1, 2, 4, 4), 0.1)
    assert not torch.equal(model(x, everywhere(x), noise), model(x, everywhere(x)))


def test_residual_branches_start_closed():
    """A new encoder is the linear code of its shortcut, in the bounds of a tanh."""
    model = ImageAutoencoder(3, latent_dim=2, hidden=8, blocks=2)
    x = images(1)
    seen = torch.cat([torch.nn.functional.pixel_unshuffle(x, 4), torch.zeros(1, 3, 4, 4)], 1)
    expected = torch.tanh(model.shortcut(seen) + model.squeeze.bias[:, None, None])
    torch.testing.assert_close(model.bounded_latents(x, everywhere(x)), expected)


def test_every_parameter_is_trained(model):
    """The error of a forward pass reaches every parameter."""
    x = images(2)
    with torch.no_grad():  # opens the residual branches
        for block in [*model.encoder, *model.decoder]:
            torch.nn.init.normal_(block.second.weight)
    (model(x, everywhere(x)) ** 2).mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name
