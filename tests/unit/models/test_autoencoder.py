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


def test_decode_undoes_the_standardisation(model):
    """The statistics change latents, not what an image decodes to."""
    x = images(2)
    before = model.decode(model.encode(x, everywhere(x)))
    model.set_statistics(torch.tensor([0.3, -0.2]), torch.tensor([0.1, 2.0]))
    after = model.decode(model.encode(x, everywhere(x)))
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-4)


def test_forward_is_encode_then_decode(model):
    """Without noise, a forward pass is what encode and decode give, beside the raw latents."""
    x = images(2)
    decoded, raw = model(x, everywhere(x))
    torch.testing.assert_close(decoded, model.decode(model.encode(x, everywhere(x))))
    torch.testing.assert_close(raw, model.raw_latents(x, everywhere(x)))


def test_noise_reaches_the_pixels(model):
    """Noise changes what is decoded, and not the latents that are penalised."""
    x = images(1)
    noise = torch.full((1, 2, 4, 4), 0.1)
    noisy, clean = model(x, everywhere(x), noise), model(x, everywhere(x))
    assert not torch.equal(noisy[0], clean[0])
    assert torch.equal(noisy[1], clean[1])


def test_residual_branches_start_closed():
    """A new encoder is the linear code of its shortcut."""
    model = ImageAutoencoder(3, latent_dim=2, hidden=8, blocks=2)
    x = images(1)
    seen = torch.cat([torch.nn.functional.pixel_unshuffle(x, 4), torch.zeros(1, 3, 4, 4)], 1)
    expected = model.shortcut(seen) + model.squeeze.bias[:, None, None]
    torch.testing.assert_close(model.raw_latents(x, everywhere(x)), expected)


def test_flops_by_hand():
    """Two for each weight at each place: 17 × 3 inputs, 8 channels, 2 latents, a 3 × 3 grid."""
    model = ImageAutoencoder(3, latent_dim=2, hidden=8, blocks=1)
    encoder = 51 * 8 + 2 * 9 * 8 * 8 + 8 * 2 + 51 * 2
    decoder = 25 * 2 * 8 + 2 * 9 * 8 * 8 + 8 * 48
    assert model.encoder_flops(12) == 2 * 9 * encoder
    assert model.flops(12) == 2 * 9 * (encoder + decoder)


def test_every_parameter_is_trained(model):
    """The error of a forward pass reaches every parameter."""
    x = images(2)
    with torch.no_grad():  # opens the residual branches
        for block in [*model.encoder, *model.decoder]:
            torch.nn.init.normal_(block.second.weight)
    (model(x, everywhere(x))[0] ** 2).mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name
