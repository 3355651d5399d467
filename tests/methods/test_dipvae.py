import numpy as np
import pytest
import torch
from torch.distributions import MultivariateNormal

from benchmark.spec import RunSpec
from benchmark.training.harness import train
from methods.base import hyperparameters_of
from methods.dipvae_i import DIPVAEI
from methods.dipvae_ii import DIPVAEII
from methods.vae import VAE, sampled

SHAPE = (1, 4, 4)
BOTH = pytest.mark.parametrize("method", [DIPVAEI, DIPVAEII])


def _posteriors(batch=6, latents=3):
    generator = torch.Generator().manual_seed(0)
    mean, log_variance, noise = torch.randn(3, batch, latents, generator=generator, dtype=torch.float64)
    return mean + torch.arange(latents), log_variance, noise


def _by_hand(method, mean, log_variance, od, d):
    """KL and penalty, entry by entry in plain Python."""
    batch, latents = len(mean), len(mean[0])
    kl = sum((0.5 * (m * m + np.exp(v) - 1 - v)).sum() for m, v in zip(mean, log_variance, strict=True)) / batch
    penalty = 0.0
    for i in range(latents):
        for j in range(latents):
            products = sum(mean[b, i] * mean[b, j] for b in range(batch)) / batch
            covariance = products - mean[:, i].sum() * mean[:, j].sum() / batch**2
            if i == j and method is DIPVAEII:
                covariance += sum(np.exp(log_variance[b, i]) for b in range(batch)) / batch
            penalty += d * (covariance - 1) ** 2 if i == j else od * covariance**2
    return kl + penalty


@BOTH
@pytest.mark.parametrize(("od", "ratio"), [(0.0, 1.0), (1.0, 0.0), (5.0, 1.0), (2.0, 10.0)])
def test_regulariser_by_hand(method, od, ratio):
    mean, log_variance, noise = _posteriors()
    h = hyperparameters_of(method, {"lambda_od": od, "ratio": ratio})
    regulariser = method(SHAPE, 3).regulariser({}, sampled(mean, log_variance, noise), h, torch.tensor(0))
    expected = _by_hand(method, mean.numpy(), log_variance.numpy(), od, od * ratio)
    assert regulariser.item() == pytest.approx(expected, rel=1e-10)


def test_defaults_are_those_of_the_study():
    assert hyperparameters_of(DIPVAEI, {}).ratio == 10  # lambda_d = 10 lambda_od
    assert hyperparameters_of(DIPVAEII, {}).ratio == 1


def test_covariance_of_ii_is_that_of_samples_of_the_aggregate():
    """Many samples of each posterior: their covariance, which no formula was needed for."""
    mean, log_variance, noise = _posteriors()
    torch.manual_seed(0)
    samples = MultivariateNormal(mean, torch.diag_embed(log_variance.exp())).sample((50_000,)).flatten(0, 1)
    covariance = DIPVAEII(SHAPE, 3).covariance(sampled(mean, log_variance, noise))
    torch.testing.assert_close(covariance, torch.cov(samples.T), atol=0.03, rtol=0)
    difference = covariance - DIPVAEI(SHAPE, 3).covariance(sampled(mean, log_variance, noise))
    assert (difference.diagonal() > 0.5).all()


def test_mean_posterior_covariance_with_as_many_images_as_latents():
    """A batch of D images: the diagonal of the matrix of variances would have the right shape too."""
    variances = torch.tensor([[1.0, 2.0], [3.0, 6.0]])
    latents = sampled(torch.zeros(2, 2), variances.log(), torch.zeros(2, 2))
    torch.testing.assert_close(DIPVAEII(SHAPE, 2).covariance(latents), torch.tensor([[2.0, 0.0], [0.0, 4.0]]))


def test_only_ii_presses_on_posterior_variances():
    mean, log_variance, noise = _posteriors()
    for method, presses in ((DIPVAEI, False), (DIPVAEII, True)):
        log_variance = log_variance.detach().requires_grad_()
        covariance = method(SHAPE, 3).covariance(sampled(mean.requires_grad_(), log_variance, noise))
        (gradient,) = torch.autograd.grad(covariance.square().sum(), log_variance, allow_unused=True)
        assert (gradient is not None) == presses
        assert gradient is None or (gradient != 0).all()


@BOTH
def test_no_penalty_where_the_covariance_is_the_identity(method):
    corners = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    scale, log_variance = (1.0, 0.0) if method is DIPVAEI else (0.5**0.5, float(np.log(0.5)))
    latents = sampled(scale * corners, torch.full((4, 2), log_variance), torch.zeros(4, 2))
    regulariser = method(SHAPE, 2).regulariser({}, latents, hyperparameters_of(method, {}), torch.tensor(0))
    torch.testing.assert_close(regulariser, latents.kl)


@BOTH
def test_loss_is_the_vaes_where_the_weight_is_zero(method, small_networks):
    torch.manual_seed(0)
    networks, images, noise = method(SHAPE, 3).build(), torch.rand(5, *SHAPE), {"posterior": torch.randn(5, 3)}
    h = hyperparameters_of(method, {"lambda_od": 0})
    own = method(SHAPE, 3).loss(networks, images, noise, h, torch.tensor(0))
    torch.testing.assert_close(own, VAE(SHAPE, 3).loss(networks, images, noise, None, torch.tensor(0)))


@BOTH
def test_extreme_posteriors_give_finite_losses_and_gradients(method):
    mean = torch.tensor([[1e3, -1e3], [0.0, 1e-20]], requires_grad=True)
    log_variance = torch.tensor([[20.0, -60.0], [-60.0, 20.0]], requires_grad=True)
    latents = sampled(mean, log_variance, torch.ones(2, 2))
    loss = method(SHAPE, 2).regulariser({}, latents, hyperparameters_of(method, {}), torch.tensor(0))
    gradients = torch.autograd.grad(loss, (mean, log_variance))
    assert loss.isfinite()
    assert all(gradient.isfinite().all() for gradient in gradients)


def _distance_from_identity(training, data, posterior_variances):
    """Frobenius norm of the covariance over all images minus the identity."""
    with torch.no_grad():
        mean, log_variance = training.networks["encoder"](data.pixels).chunk(2, dim=1)
    covariance = torch.cov(mean.T)
    if posterior_variances:
        covariance = covariance + torch.diag(log_variance.exp().mean(0))
    return torch.linalg.matrix_norm(covariance - torch.eye(10)).item()


def test_it_learns_and_decorrelates(small, small_networks):
    steps = 400

    def trained(name, **settings):
        return train(RunSpec(name, settings, "dsprites_mini", steps=steps), small, "fp32")

    vae = trained("vae")
    for name, of_samples in (("dipvae_i", False), ("dipvae_ii", True)):
        training = trained(name)
        assert training.history[-1]["loss"] < training.history[0]["loss"] / 2
        assert training.history[-1]["reconstruction"] < training.history[0]["reconstruction"] / 2
        distances = [_distance_from_identity(each, small, of_samples) for each in (training, vae)]
        assert distances[0] < 0.6 * distances[1]
