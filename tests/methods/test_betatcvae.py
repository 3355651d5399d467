from itertools import permutations
from math import log, prod

import numpy as np
import pytest
import torch
from torch.distributions import Normal

from methods.base import hyperparameters_of
from methods.betatcvae import BetaTCVAE
from methods.vae import VAE, sampled

SHAPE = (1, 4, 4)
STEP = torch.tensor(0)


def _method(images=11, latents=2, sampling="stratified"):
    return BetaTCVAE(SHAPE, latents, factor_sizes=(images,), structure={"sampling": sampling})


def _settings(**values):
    return hyperparameters_of(BetaTCVAE, values)


def _posteriors(batch, latents=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    mean, log_variance, noise = torch.randn(3, batch, latents, generator=generator, dtype=torch.float64)
    return sampled(mean, log_variance - 1, noise)


def _parts(method, latents):
    """Information, total correlation and dimension-wise KL, by what raising each weight by one adds."""
    plain = method.regulariser({}, latents, _settings(alpha=1, beta=1, gamma=1), STEP)["loss"]
    raised = [
        method.regulariser({}, latents, _settings(**{"alpha": 1, "beta": 1, "gamma": 1, name: 2}), STEP)["loss"]
        for name in ("alpha", "beta", "gamma")
    ]
    return [(each - plain).item() for each in raised]


def test_stratified_weights_of_three_images_by_hand():
    own, one, further = 1 / 10, (10 - 2) / (10 * 2), 1 / 2
    expected = torch.tensor([[own, one, further], [further, own, one], [one, further, own]])
    torch.testing.assert_close(_method(10).log_weights(3).exp(), expected)


@pytest.mark.parametrize(("images", "batch"), [(737_280, 64), (384, 64), (64, 64), (5, 2)])
def test_stratified_rows_sum_to_one_with_the_own_image_on_the_diagonal(images, batch):
    weights = _method(images).log_weights(batch).double().exp()
    torch.testing.assert_close(weights.sum(1), torch.ones(batch, dtype=torch.float64), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(weights.diagonal().float(), torch.full((batch,), 1 / images))


def test_weighted_weights_are_the_papers():
    torch.testing.assert_close(_method(100, sampling="weighted").log_weights(4).exp(), torch.full((4, 4), 1 / 400))


def test_stratified_estimate_of_the_aggregate_is_unbiased():
    """Averaged over every way to draw the rest of the batch, it is q(z) of all images."""
    images, batch = 5, 3
    generator = torch.Generator().manual_seed(0)
    densities = torch.rand(images, generator=generator, dtype=torch.float64)  # of one sample under each posterior
    weights = _method(images).log_weights(batch).double().exp()
    for row in range(batch):
        estimates = []
        for others in permutations(range(1, images), batch - 1):
            drawn = list(others)
            drawn.insert(row, 0)  # the sample is that of image 0
            estimates.append((weights[row] * densities[drawn]).sum())
        torch.testing.assert_close(torch.stack(estimates).mean(), densities.mean(), rtol=1e-6, atol=0)


@pytest.mark.parametrize("batch", [2, 5, 12])
def test_a_batch_as_large_as_the_data_stands_for_itself(batch):
    """Every image weighs alike, and the weights sum to 1."""
    torch.testing.assert_close(_method(1).log_weights(batch).exp(), torch.full((batch, batch), 1 / batch))
    torch.testing.assert_close(_method(batch - 1).log_weights(batch).exp(), torch.full((batch, batch), 1 / batch))


@pytest.mark.parametrize("sampling", ["stratified", "weighted"])
def test_parts_by_brute_force(sampling):
    """Densities of torch.distributions, plain sums of products, one sample and one image after the other."""
    images, batch = 11, 4
    latents = _posteriors(batch)
    scale = (latents.log_variance / 2).exp()
    information = correlation = dimensionwise = 0.0
    for s in range(batch):
        density = [
            [Normal(latents.mean[m, j], scale[m, j]).log_prob(latents.sample[s, j]).exp().item() for j in range(2)]
            for m in range(batch)
        ]
        rest = [1 / images, (images - 3) / (images * 3), 1 / 3, 1 / 3]  # own, one other, further ones
        w = [1 / (images * batch) if sampling == "weighted" else rest[(m - s) % batch] for m in range(batch)]
        joint = sum(w[m] * prod(density[m]) for m in range(batch))
        marginals = prod(sum(w[m] * density[m][j] for m in range(batch)) for j in range(2))
        prior = prod(Normal(0.0, 1.0).log_prob(z).exp().item() for z in latents.sample[s])
        information += log(prod(density[s]) / joint) / batch
        correlation += log(joint / marginals) / batch
        dimensionwise += log(marginals / prior) / batch
    method = _method(images, sampling=sampling)
    assert _parts(method, latents) == pytest.approx([information, correlation, dimensionwise], rel=1e-6)
    logged = method.regulariser({}, latents, _settings(), STEP)["total_correlation"]
    assert logged.item() == pytest.approx(correlation, rel=1e-6)


@pytest.mark.parametrize("sampling", ["stratified", "weighted"])
def test_parts_sum_to_the_kl_of_the_samples(sampling):
    latents = _posteriors(64, latents=5)
    posterior = Normal(latents.mean, (latents.log_variance / 2).exp()).log_prob(latents.sample)
    expected = (posterior - Normal(0.0, 1.0).log_prob(latents.sample)).sum(1).mean().item()
    assert sum(_parts(_method(384, 5, sampling), latents)) == pytest.approx(expected, rel=1e-9)


def test_ten_independent_latents():
    """True total correlation 0: stratified sampling is off by some nats, weighted sampling by a hundred."""
    torch.manual_seed(0)
    deviation, estimates = 0.2, {"weighted": [], "stratified": []}
    for _ in range(20):
        mean, noise = torch.randn(2, 64, 10, dtype=torch.float64)
        log_variance = torch.full_like(mean, 2 * log(deviation))
        latents = sampled((1 - deviation**2) ** 0.5 * mean, log_variance, noise)
        for sampling, told in estimates.items():
            terms = _method(737_280, 10, sampling).regulariser({}, latents, _settings(), STEP)
            told.append(terms["total_correlation"].item())
    assert np.mean(estimates["weighted"]) == pytest.approx(133, abs=1)
    assert np.mean(estimates["stratified"]) == pytest.approx(3.6, abs=0.7)


def test_total_correlation_of_correlated_latents():
    """Two latents of correlation 0.75, all of it between posteriors: -1/2 log(1 - 0.75^2) nats."""
    torch.manual_seed(0)
    mean = 0.75**0.5 * torch.randn(1500, 1).expand(-1, 2)
    latents = sampled(mean, torch.full((1500, 2), log(0.25)), torch.randn(1500, 2))
    terms = _method(737_280).regulariser({}, latents, _settings(), STEP)
    assert terms["total_correlation"].item() == pytest.approx(-0.5 * log(1 - 0.75**2), abs=0.05)


def test_all_weights_at_one_are_the_vae(small_networks):
    torch.manual_seed(0)
    method = _method(384, 3)
    networks, images, noise = method.build(), torch.rand(5, *SHAPE), {"posterior": torch.randn(5, 3)}
    terms = method.loss(networks, images, noise, _settings(alpha=1, beta=1, gamma=1), STEP)
    correlation = terms.pop("total_correlation")
    torch.testing.assert_close(terms, VAE(SHAPE, 3).loss(networks, images, noise, None, STEP))
    raised = method.loss(networks, images, noise, _settings(beta=7), STEP)
    torch.testing.assert_close(raised["loss"], terms["loss"] + 6 * correlation)


def test_alpha_and_gamma_are_one_unless_given():
    assert (_settings().alpha, _settings().gamma) == (1, 1)


@pytest.mark.parametrize("sampling", ["stratified", "weighted"])
def test_extreme_posteriors_give_finite_losses_and_gradients(sampling):
    """Densities that are 0 or infinite in float32, were they ever formed."""
    mean = torch.tensor([[1e3, -1e3], [0.0, 1e-20], [-1e3, 50.0]], requires_grad=True)
    log_variance = torch.tensor([[-20.0, 20.0], [-20.0, -20.0], [20.0, 0.0]], requires_grad=True)
    latents = sampled(mean, log_variance, torch.full((3, 2), 20.0))
    loss = _method(737_280, sampling=sampling).regulariser({}, latents, _settings(alpha=2, gamma=3), STEP)["loss"]
    assert loss.isfinite()
    assert all(gradient.isfinite().all() for gradient in torch.autograd.grad(loss, (mean, log_variance)))
