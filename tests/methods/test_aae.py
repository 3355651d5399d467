import numpy as np
import pytest
import torch
from torch import nn

from benchmark.spec import RunSpec
from benchmark.training.harness import train
from methods import aae
from methods.aae import AAE
from methods.base import hyperparameters_of
from methods.vae import bernoulli_loss

SHAPE = (1, 4, 4)


@pytest.fixture
def small_discriminator(monkeypatch):
    def small(inputs):
        return nn.Sequential(nn.Linear(inputs, 64), nn.LeakyReLU(0.2), nn.Linear(64, 1))

    monkeypatch.setattr(aae, "discriminator", small)


def _setup():
    torch.manual_seed(0)
    method = AAE(SHAPE, 3)
    networks = {name: network.double() for name, network in method.build().items()}
    noise = {name: torch.randn(shape, dtype=torch.float64) for name, shape in method.noise_shapes(6).items()}
    images = torch.rand(6, *SHAPE, dtype=torch.float64)
    mean, log_variance = networks["encoder"](images).chunk(2, 1)
    return method, networks, images, noise, mean + noise["posterior"] * (log_variance / 2).exp()


def test_loss_is_reconstruction_and_the_chance_to_be_taken_for_the_prior(small_networks, small_discriminator):
    method, networks, images, noise, sample = _setup()
    terms = method.loss(networks, images, noise, hyperparameters_of(AAE, {"weight": 3}), torch.tensor(0))
    taken = networks["discriminator"](sample).sigmoid()
    expected = bernoulli_loss(networks["decoder"](sample), images) - 3 * taken.log().mean()
    torch.testing.assert_close(terms["loss"], expected)


def test_the_discriminator_tells_the_prior_from_the_codes_and_moves_nothing_else(small_networks, small_discriminator):
    method, networks, images, noise, sample = _setup()
    loss = method.discriminator_loss(networks, images, noise, None, torch.tensor(0))["loss"]
    of_prior, of_codes = (networks["discriminator"](codes).sigmoid() for codes in (noise["prior"], sample))
    torch.testing.assert_close(loss, -(of_prior.log() + (1 - of_codes).log()).mean() / 2)
    encoder = list(networks["encoder"].parameters())
    assert set(torch.autograd.grad(loss, encoder, allow_unused=True, retain_graph=True)) == {None}
    assert all(g.abs().sum() > 0 for g in torch.autograd.grad(loss, list(networks["discriminator"].parameters())))


def test_learns_codes_of_the_priors_size(small, small_networks, small_discriminator):
    training = train(RunSpec("aae", {}, "dsprites_mini", steps=120), small, "fp32")
    assert training.history[-1]["reconstruction"] < training.history[0]["reconstruction"] / 2
    with torch.no_grad():
        codes = training.method.encode(training.networks, small.images(torch.arange(len(small))))
    assert 0.3 < codes.std().item() < 2
    assert np.mean([row["discriminator_loss"] for row in training.history[-20:]]) < 0.8
