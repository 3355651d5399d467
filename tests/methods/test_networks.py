"""The built-in networks take images of any channels and of at least 16 pixels a side."""

from dataclasses import replace

import pytest
import torch

from benchmark.checks import Squares
from benchmark.presets import PRESETS
from benchmark.spec import RunSpec
from benchmark.training.harness import train_pack
from methods.infogan import InfoGAN
from methods.networks import (
    ARCHITECTURES,
    Broadcast,
    InstanceNorm,
    Residual,
    broadcast_decoder,
    conv_decoder,
    conv_encoder,
    residual_decoder,
    residual_encoder,
)
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


@pytest.mark.parametrize("size", [(16, 16), (17, 31)])
def test_residual_networks_and_the_broadcast_take_and_give_every_size(size):
    images = torch.rand(2, 3, *size)
    assert residual_encoder((3, *size), 6)(images).shape == (2, 6)
    for make in (residual_decoder, broadcast_decoder):
        assert make(5, (3, *size))(torch.randn(2, 5)).shape == images.shape


def test_a_code_is_laid_over_the_image_beside_the_places():
    laid = Broadcast(3, 5)(torch.tensor([[7.0, 8.0], [9.0, 6.0]]))
    assert laid.shape == (2, 4, 3, 5)
    for image, code in zip(laid.tolist(), [[7, 8], [9, 6]], strict=True):
        for row in range(3):
            for column in range(5):
                told = [channel[row][column] for channel in image]
                assert told == [*code, row - 1, column / 2 - 1]


def test_a_broadcast_decoder_has_the_papers_layers():
    """Four convolutions that are not filled up, over a code that is laid over eight pixels more."""
    layers = list(broadcast_decoder(10, (1, 64, 64)))
    assert layers[0].coordinates.shape == (2, 72, 72)
    convolutions = [layer for layer in layers if isinstance(layer, torch.nn.Conv2d)]
    assert [layer.kernel_size for layer in convolutions] == [(3, 3)] * 4 + [(1, 1)]
    assert {layer.padding for layer in convolutions} == {(0, 0)}
    assert [layer.in_channels for layer in convolutions] == [12, 64, 64, 64, 64]


def test_a_residual_block_by_hand():
    torch.manual_seed(0)
    block, images = Residual(3, 5).double(), torch.randn(2, 3, 6, 4, dtype=torch.float64)
    for norm in (block.added[0], block.added[3]):
        torch.nn.init.normal_(norm.scale)
        torch.nn.init.normal_(norm.shift)

    def normalised(values, norm):
        expected = torch.nn.functional.instance_norm(values, eps=1e-5)
        return (expected * norm.scale + norm.shift).clamp(min=0)

    hidden = block.added[2](normalised(images, block.added[0]))
    added = block.added[5](normalised(hidden, block.added[3]))
    torch.testing.assert_close(block(images), block.beside(images) + added)
    assert isinstance(Residual(3, 3).beside, torch.nn.Identity)


def test_instance_normalisation_is_of_each_image_and_channel():
    values = 5 + 3 * torch.randn(2, 3, 8, 8)
    variance, mean = torch.var_mean(InstanceNorm(3)(values), (2, 3), correction=0)
    torch.testing.assert_close(mean, torch.zeros(2, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(variance, torch.ones(2, 3), atol=1e-4, rtol=0)


@pytest.mark.parametrize("architecture", ["spatial_broadcast", "residual"])
def test_runs_of_an_architecture_train_together_as_alone(architecture, monkeypatch):
    protocol = replace(PRESETS["quick"], architecture=architecture, batch=2, steps=2)
    monkeypatch.setitem(PRESETS, "tried", protocol)
    data = Squares()
    data.images = lambda indices, whole=data.images: whole(indices)[:, :, ::4, ::4]
    data.image_shape = (1, 16, 16)
    specs = [RunSpec("vae", dataset="squares", preset="tried", seed=seed) for seed in range(2)]
    together = train_pack(specs, data, "fp64")
    for spec, ours in zip(specs, together, strict=True):
        (alone,) = train_pack([spec], data, "fp64")
        assert ours.history[-1]["loss"] == pytest.approx(alone.history[-1]["loss"], rel=1e-9)


@pytest.mark.parametrize("architecture", ["spatial_broadcast", "residual"])
def test_an_image_is_learned_by_heart(architecture):
    torch.manual_seed(0)
    method = VAE((1, 16, 16), 4, architecture)
    networks, images = method.build(), Squares().images([0, 8, 16, 31])[:, :, ::4, ::4]
    weights = [value for network in networks.values() for value in network.parameters()]
    optimiser, losses = torch.optim.Adam(weights, lr=2e-3), []
    for _ in range(30):
        losses.append(method.loss(networks, images, {"posterior": torch.zeros(4, 4)}, None, 0)["reconstruction"])
        optimiser.zero_grad()
        losses[-1].backward()
        optimiser.step()
    assert losses[-1] < losses[0] / 2


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
