from math import log

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import MultivariateNormal, Normal

from methods import factorvae
from methods.base import Independent, hyperparameters_of
from methods.factorvae import FactorVAE
from methods.networks import discriminator
from methods.vae import VAE, sampled

SHAPE = (1, 4, 4)
STEP = torch.tensor(0)


def _settings(**values):
    return hyperparameters_of(FactorVAE, values)


def _small_discriminator(inputs):
    layers = nn.Linear(inputs, 128), nn.LeakyReLU(0.2), nn.Linear(128, 128), nn.LeakyReLU(0.2)
    return nn.Sequential(*layers, nn.Linear(128, 1))


@pytest.fixture
def small_discriminator(monkeypatch):
    monkeypatch.setattr(factorvae, "discriminator", _small_discriminator)


def _noise(method, batch=8, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(shape, generator=generator, dtype=dtype) for name, shape in method.noise_shapes(batch).items()
    }


class _Recorder:
    """A discriminator that keeps what it is shown and answers 0."""

    def __call__(self, codes):
        self.codes = codes
        return torch.zeros(len(codes), 1)


def _shown(noise, batch=8, latents=3, mean=None):
    """The codes of the first batch and of the permuted second one that the discriminator is shown."""
    if mean is None:  # each code tells its image and its latent
        mean = (10 * torch.arange(2 * batch)[:, None] + torch.arange(latents)).double()
    recorder = _Recorder()
    outputs = torch.cat([mean, torch.full_like(mean, -100.0)], 1)  # hardly any variance
    networks = {"encoder": lambda images: outputs[: len(images)], "discriminator": recorder}
    FactorVAE(SHAPE, latents).discriminator_loss(networks, torch.zeros(2 * batch, *SHAPE), noise, _settings(), STEP)
    return mean, *recorder.codes.chunk(2)


def test_two_independent_batches():
    """The joint's codes are of the first batch, the product's of the second, of which the model sees nothing."""
    method = FactorVAE(SHAPE, 3)
    assert method.batches() == Independent(2)
    mean, joint, product = _shown(_noise(method))
    torch.testing.assert_close(joint, mean[:8])
    assert set(product.flatten().round().tolist()) == set(mean[8:].flatten().tolist())


def test_model_sees_the_first_batch_alone(small_networks, small_discriminator):
    torch.manual_seed(0)
    method = FactorVAE(SHAPE, 3)
    networks, noise, images = method.build(), _noise(method, dtype=torch.float32), torch.rand(16, *SHAPE)
    other = torch.cat([images[:8], torch.rand(8, *SHAPE)])
    one, two = (method.loss(networks, batch, noise, _settings(), STEP) for batch in (images, other))
    torch.testing.assert_close(one, two, rtol=0, atol=0)
    swapped = method.loss(networks, images.roll(8, 0), noise, _settings(), STEP)
    assert swapped["reconstruction"] != one["reconstruction"]


def test_each_latent_is_permuted_across_the_batch_in_its_own_way():
    mean, _, product = _shown(_noise(FactorVAE(SHAPE, 3)))
    product = product.round().numpy()
    orders = []
    for latent in range(3):
        column = product[:, latent]
        assert sorted(column) == mean[8:, latent].tolist()  # never a value of another latent
        orders.append(((column - latent) / 10).tolist())
    assert orders[0] != orders[1] != orders[2] != orders[0]


def test_permutations_are_uniform_and_independent():
    """Each place has each image as often, whatever the image that the other latent has there."""
    counts = np.zeros((3, 3, 3))  # place, image of the first latent, image of the second
    method = FactorVAE(SHAPE, 2)
    for seed in range(900):
        _, _, product = _shown(_noise(method, 3, seed), 3, 2)
        images = ((product.round().numpy() - np.arange(2)) / 10 - 3).astype(int)
        for place, (first, second) in enumerate(images):
            counts[place, first, second] += 1
    expected, deviation = 900 / 9, (900 * 1 / 9 * 8 / 9) ** 0.5
    assert np.abs(counts - expected).max() < 4 * deviation


def test_second_batch_has_noise_of_its_own():
    noise = _noise(FactorVAE(SHAPE, 3))
    assert set(noise) == {"posterior", "second_posterior", "permutation"}
    outputs = torch.zeros(16, 6, dtype=torch.float64)  # standard normal posteriors
    recorder = _Recorder()
    networks = {"encoder": lambda images: outputs, "discriminator": recorder}
    FactorVAE(SHAPE, 3).discriminator_loss(networks, torch.zeros(16, *SHAPE), noise, _settings(), STEP)
    joint, product = recorder.codes.chunk(2)
    torch.testing.assert_close(joint, noise["posterior"])
    torch.testing.assert_close(product.sort(0).values, noise["second_posterior"].sort(0).values)


def test_discriminators_loss_does_not_reach_the_encoder(small_networks, small_discriminator):
    torch.manual_seed(0)
    method = FactorVAE(SHAPE, 3)
    networks, noise = method.build(), _noise(method, dtype=torch.float32)
    loss = method.discriminator_loss(networks, torch.rand(16, *SHAPE), noise, _settings(), STEP)["loss"]
    others = [*networks["encoder"].parameters(), *networks["decoder"].parameters()]
    own = list(networks["discriminator"].parameters())
    assert set(torch.autograd.grad(loss, others, allow_unused=True, retain_graph=True)) == {None}
    assert all(gradient.abs().sum() > 0 for gradient in torch.autograd.grad(loss, own))
    players = method.players()
    assert players["discriminator"].networks == ("discriminator",)
    assert players["model"].networks == ("encoder", "decoder")


def test_the_encoder_is_pressed_through_the_discriminator(small_discriminator):
    method, generator = FactorVAE(SHAPE, 3), torch.Generator().manual_seed(0)
    mean, log_variance, noise = torch.randn(3, 5, 3, generator=generator)
    mean.requires_grad_()
    networks = {"discriminator": _small_discriminator(3)}
    latents = sampled(mean, log_variance, noise)
    one, other = (method.regulariser(networks, latents, _settings(gamma=gamma), STEP) for gamma in (0, 10))
    assert one == latents.kl
    (gradient,) = torch.autograd.grad(other - one, mean)
    assert (gradient.abs().sum(1) > 0).all()


def _gaussian_logit(correlation):
    """The discriminator that is best for two latents of that correlation: log q(z) - sum_j log q(z_j)."""
    covariance = torch.tensor([[1.0, correlation], [correlation, 1.0]], dtype=torch.float64)
    joint = MultivariateNormal(torch.zeros(2, dtype=torch.float64), covariance)
    return lambda codes: (joint.log_prob(codes) - Normal(0.0, 1.0).log_prob(codes).sum(1))[:, None]


@pytest.mark.parametrize("gamma", [0.0, 1.0, 35.0])
def test_regulariser_adds_gamma_times_the_total_correlation(gamma):
    """With the best discriminator its mean logit is the true total correlation, with its sign."""
    torch.manual_seed(0)
    covariance = torch.tensor([[1.0, 0.8], [0.8, 1.0]], dtype=torch.float64)
    codes = MultivariateNormal(torch.zeros(2, dtype=torch.float64), covariance).sample((100_000,))
    latents = sampled(codes, torch.full_like(codes, -200.0), torch.zeros_like(codes))
    networks = {"discriminator": _gaussian_logit(0.8)}
    regulariser = FactorVAE(SHAPE, 2).regulariser(networks, latents, _settings(gamma=gamma), STEP)
    expected = -0.5 * log(1 - 0.8**2)
    assert (regulariser - latents.kl).item() == pytest.approx(gamma * expected, rel=0.02, abs=1e-9)


def test_loss_without_pressure_is_the_vaes(small_networks, small_discriminator):
    torch.manual_seed(0)
    method = FactorVAE(SHAPE, 3)
    networks, noise, images = method.build(), _noise(method, dtype=torch.float32), torch.rand(16, *SHAPE)
    own = method.loss(networks, images, noise, _settings(gamma=0), STEP)
    torch.testing.assert_close(own, VAE(SHAPE, 3).loss(networks, images[:8], noise, None, STEP))


def test_discriminator_loss_is_the_cross_entropy():
    """Labels 1 for the joint and 0 for the product, averaged over all samples."""
    method = FactorVAE(SHAPE, 2)
    noise = _noise(method, 500)
    mean = torch.randn(1000, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).expand(-1, 2)
    outputs = torch.cat([0.9 * mean, torch.full_like(mean, log(0.19))], 1)
    logit = _gaussian_logit(0.81)
    recorder = _Recorder()
    images = torch.zeros(1000, *SHAPE)
    networks = {"encoder": lambda images: outputs, "discriminator": recorder}
    method.discriminator_loss(networks, images, noise, _settings(), STEP)
    p = 1 / (1 + np.exp(-logit(recorder.codes)[:, 0].numpy()))
    labels = np.arange(1000) < 500
    expected = -np.mean(np.where(labels, np.log(p), np.log(1 - p)))
    loss = method.discriminator_loss(networks | {"discriminator": logit}, images, noise, _settings(), STEP)["loss"]
    assert loss.item() == pytest.approx(expected, rel=1e-10)
    assert loss.item() < 0.9 * log(2)  # which telling nothing costs: the labels are not the wrong way round


def test_extreme_logits_give_finite_losses_and_gradients():
    method = FactorVAE(SHAPE, 2)
    weight = torch.tensor(1e6, requires_grad=True)
    networks = {"encoder": lambda images: torch.zeros(16, 4), "discriminator": lambda codes: weight * codes[:, :1]}
    noise = _noise(method, dtype=torch.float32)
    loss = method.discriminator_loss(networks, torch.zeros(16, *SHAPE), noise, _settings(), STEP)["loss"]
    assert loss.isfinite()
    assert torch.autograd.grad(loss, weight)[0].isfinite()


def test_discriminator_is_the_papers():
    layers = list(discriminator(10))
    linear = [layer for layer in layers if isinstance(layer, nn.Linear)]
    assert [layer.out_features for layer in linear] == [1000] * 6 + [1]
    assert {layer.negative_slope for layer in layers if isinstance(layer, nn.LeakyReLU)} == {0.2}
    optimiser = FactorVAE(SHAPE, 10).players()["discriminator"].optimiser
    assert (optimiser.name, optimiser.lr, optimiser.options) == ("Adam", 1e-4, {"betas": (0.5, 0.9)})
