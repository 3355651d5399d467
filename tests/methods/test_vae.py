import numpy as np
import pytest
import torch
from torch.distributions import Bernoulli, Normal, kl_divergence

import methods
from methods.base import hyperparameters_of
from methods.betavae import BetaVAE
from methods.networks import ARCHITECTURES
from methods.vae import VAE, Latents, bernoulli_loss

SHAPE = (1, 64, 64)


def _latents(batch=7, latents=5, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    mean, log_variance = torch.randn(2, batch, latents, generator=generator, dtype=dtype)
    return Latents(mean, log_variance, mean)


def test_kl_is_that_of_torch_distributions():
    latents = _latents()
    expected = kl_divergence(Normal(latents.mean, (latents.log_variance / 2).exp()), Normal(0.0, 1.0))
    torch.testing.assert_close(latents.kl_per_latent, expected.mean(0))
    torch.testing.assert_close(latents.kl, expected.sum(1).mean())


def test_kl_of_the_prior_is_zero():
    zeros = torch.zeros(3, 4)
    assert Latents(zeros, zeros, zeros).kl.item() == 0


def test_bernoulli_loss_is_that_of_torch_distributions():
    generator = torch.Generator().manual_seed(0)
    logits = 5 * torch.randn(6, *SHAPE, generator=generator, dtype=torch.float64)
    images = (torch.rand(6, *SHAPE, generator=generator) > 0.5).double()
    expected = -Bernoulli(logits=logits).log_prob(images).sum((1, 2, 3)).mean()
    torch.testing.assert_close(bernoulli_loss(logits, images), expected)


def test_bernoulli_losses_gradients_are_those_of_torch():
    generator = torch.Generator().manual_seed(0)
    logits, images = (torch.randn(3, 1, 4, 5, generator=generator, dtype=torch.float64) for _ in range(2))
    given = [logits.requires_grad_(), images.sigmoid().detach().requires_grad_()]
    own = bernoulli_loss(*given)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(*given, reduction="sum") / 3
    for ours, theirs in zip(*(torch.autograd.grad(7 * each, given) for each in (own, expected)), strict=True):
        torch.testing.assert_close(ours, theirs)
    assert torch.autograd.gradgradcheck(bernoulli_loss, given)


def test_bernoulli_loss_of_extreme_logits_is_finite():
    logits = torch.full((2, *SHAPE), 1e4)
    assert bernoulli_loss(logits, torch.ones_like(logits)).item() == 0
    assert bernoulli_loss(logits, torch.zeros_like(logits)).item() == pytest.approx(4096e4)


@pytest.mark.parametrize("beta", [0.0, 1.0, 4.0])
def test_beta_vae_loss_by_hand_in_float64(beta):
    """The loss from the networks' raw outputs, in numpy and float64."""
    torch.manual_seed(0)
    method = BetaVAE(SHAPE, 10, "locatello2019")
    networks = {name: network.double() for name, network in method.build().items()}
    images = (torch.rand(4, *SHAPE, dtype=torch.float64) > 0.8).double()
    noise = torch.randn(4, 10, dtype=torch.float64)
    terms = method.loss(networks, images, {"posterior": noise}, hyperparameters_of(BetaVAE, {"beta": beta}), 0)

    outputs = networks["encoder"](images).detach().numpy()
    mean, log_variance = outputs[:, :10], outputs[:, 10:]
    sample = mean + noise.numpy() * np.exp(log_variance / 2)
    p = 1 / (1 + np.exp(-networks["decoder"](torch.from_numpy(sample)).detach().numpy()))
    x = images.numpy()
    reconstruction = -(x * np.log(p) + (1 - x) * np.log(1 - p)).sum() / 4
    kl = (0.5 * (mean**2 + np.exp(log_variance) - 1 - log_variance)).sum() / 4
    assert terms["reconstruction"].item() == pytest.approx(reconstruction, rel=1e-10)
    assert terms["kl"].item() == pytest.approx(kl, rel=1e-10)
    assert terms["loss"].item() == pytest.approx(reconstruction + beta * kl, rel=1e-10)


def test_losses_are_means_over_the_batch():
    torch.manual_seed(0)
    method = VAE(SHAPE, 10, "higgins2017")
    networks = {name: network.double() for name, network in method.build().items()}
    images, noise = torch.rand(3, *SHAPE, dtype=torch.float64), torch.randn(3, 10, dtype=torch.float64)
    once = method.loss(networks, images, {"posterior": noise}, None, 0)
    twice = method.loss(networks, images.repeat(2, 1, 1, 1), {"posterior": noise.repeat(2, 1)}, None, 0)
    for name in once:
        torch.testing.assert_close(once[name], twice[name])


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
@pytest.mark.parametrize("channels", [1, 3])
def test_shapes(architecture, channels):
    method = VAE((channels, 64, 64), 10, architecture)
    networks = method.build()
    codes = method.encode(networks, torch.rand(5, channels, 64, 64))
    images = method.decode(networks, codes)
    assert codes.shape == (5, 10)
    assert images.shape == (5, channels, 64, 64)
    assert 0 <= images.min() <= images.max() <= 1


def test_networks_are_the_papers():
    sizes = {
        name: sum(p.numel() for p in network.parameters())
        for architecture in ("locatello2019", "higgins2017")
        for name, network in _named(architecture)
    }
    # Locatello et al. 2019, Table 1, and Higgins et al. 2017, Table 1, by hand.
    conv = [1 * 32 * 16 + 32, 32 * 32 * 16 + 32, 32 * 64 * 4 + 64, 64 * 64 * 4 + 64]
    assert sizes["locatello2019 encoder"] == sum(conv) + 1024 * 256 + 256 + 256 * 20 + 20
    transposed = [64 * 64 * 16 + 64, 64 * 32 * 16 + 32, 32 * 32 * 16 + 32, 32 * 1 * 16 + 1]
    assert sizes["locatello2019 decoder"] == 10 * 256 + 256 + 256 * 1024 + 1024 + sum(transposed)
    assert sizes["higgins2017 encoder"] == 4096 * 1200 + 1200 + 1200 * 1200 + 1200 + 1200 * 20 + 20
    assert sizes["higgins2017 decoder"] == 10 * 1200 + 1200 + 2 * (1200 * 1200 + 1200) + 1200 * 4096 + 4096


def _named(architecture):
    return [(f"{architecture} {name}", network) for name, network in VAE(SHAPE, 10, architecture).build().items()]


def test_initial_weights_are_glorot_uniform():
    torch.manual_seed(0)
    layer = VAE(SHAPE, 10, "higgins2017").build()["encoder"][3]
    bound = (6 / (1200 + 1200)) ** 0.5
    assert layer.weight.abs().max() <= bound
    assert layer.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.01)
    assert not layer.bias.any()


def test_beta_is_reported_with_its_normalised_value():
    method = BetaVAE(SHAPE, 10, "locatello2019")
    assert method.report({}, hyperparameters_of(BetaVAE, {})) == {"beta": 4.0, "normalised_beta": 4 * 10 / 4096}
    assert VAE(SHAPE, 10, "locatello2019").report({}, hyperparameters_of(VAE, {}))["beta"] == 1


def test_a_name_clash_says_where_the_other_one_stands():
    with pytest.raises(ValueError, match=r"registered already, by methods\.vae\.VAE"):
        methods.register("vae")(BetaVAE)
    assert methods.REGISTRY["vae"] is VAE
    assert VAE.name == "vae"
