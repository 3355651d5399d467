"""The built-in networks take images of any channels and of at least 16 pixels a side."""

import pytest
import torch

from methods.infogan import InfoGAN
from methods.networks import ARCHITECTURES, conv_decoder, conv_encoder
from methods.qlae import QLAE
from methods.vae import VAE

SIZES = [(16, 16), (17, 31), (28, 28), (32, 32), (48, 48), (32, 96), (64, 64), (128, 128)]


@pytest.mark.parametrize("method", [VAE, QLAE, InfoGAN])
@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
@pytest.mark.parametrize("size", [(16, 16), (17, 31), (32, 32)])
def test_methods_train_and_decode_at_every_size(method, architecture, size):
    shape = (3, *size)
    subject = method(shape, 4, architecture)
    networks = subject.build()
    images = torch.rand(2, *shape)
    noise = {name: torch.randn(drawn) for name, drawn in subject.noise_shapes(2).items()}
    for player in subject.players().values():
        loss = player.loss(networks, images, noise, subject.Hyperparameters(), torch.tensor(0))["loss"]
        values = [value for name in player.networks for value in networks[name].parameters()]
        assert all(gradient.isfinite().all() for gradient in torch.autograd.grad(loss, values))
    assert subject.decode(networks, subject.encode(networks, images)).shape == (2, *shape)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", SIZES)
def test_convolutions_take_and_give_every_size(channels, size):
    shape = (channels, *size)
    images = torch.rand(2, *shape)
    assert conv_encoder(shape, 6)(images).shape == (2, 6)
    assert conv_decoder(5, shape)(torch.randn(2, 5)).shape == images.shape


@pytest.mark.parametrize("size", SIZES)
def test_every_pixel_is_seen_and_made(size):
    """With weights above 0, under which no unit is off."""
    shape = (1, *size)
    encoder, decoder = conv_encoder(shape, 6), conv_decoder(5, shape)
    for layer in [*encoder, *decoder]:
        if hasattr(layer, "weight"):
            torch.nn.init.constant_(layer.weight, 0.01)
    images = torch.ones(1, *shape, requires_grad=True)
    encoder(images).sum().backward()
    assert (images.grad > 0).all()
    assert (decoder(torch.ones(1, 5)) > 0).all()


def test_networks_for_64_pixels_are_the_papers_alone():
    """No layer is added to them: what is stored of them keeps its names."""
    names = {name for network in VAE((1, 64, 64)).build().values() for name, _ in network.named_children()}
    assert names == {str(number) for number in range(12)}
    types = {type(layer).__name__ for network in VAE((1, 64, 64)).build().values() for layer in network}
    assert not types & {"Cut", "ZeroPad2d"}


@pytest.mark.parametrize("size", [(15, 64), (64, 8), (1, 1)])
def test_smaller_images_are_refused_in_words_of_pixels(size):
    for make in (lambda: conv_encoder((1, *size), 4), lambda: conv_decoder(4, (1, *size))):
        with pytest.raises(ValueError, match=f"^images of {size[0]} x {size[1]} pixels are too small: .* 16 x 16"):
            make()
