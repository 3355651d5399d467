import numpy as np
import pytest
import torch

from benchmark.spec import RunSpec
from benchmark.training.harness import train
from methods.annealedvae import AnnealedVAE
from methods.base import hyperparameters_of
from methods.vae import VAE, sampled

SHAPE = (1, 4, 4)


def _settings(**values):
    return hyperparameters_of(AnnealedVAE, values)


@pytest.mark.parametrize("steps", [30, 300_000])
def test_capacity_is_linear_to_a_third_of_the_steps_and_constant_after(steps):
    method, h = AnnealedVAE(SHAPE, 3, steps=steps), _settings(c_max=24)
    thirds = {0: 0, 0.25: 6, 0.5: 12, 1: 24, 1.5: 24, 3: 24}
    for share, expected in thirds.items():
        step = torch.tensor(int(share * steps / 3))
        assert method.capacity(h, step).item() == pytest.approx(expected, abs=24 * 3 / steps)
    assert method.capacity(h, torch.tensor(steps // 3)).item() == pytest.approx(24)
    each = torch.stack([method.capacity(h, torch.tensor(step)) for step in range(0, steps // 3, steps // 30)])
    torch.testing.assert_close(each.diff(), torch.full((9,), 2.4), rtol=1e-4, atol=1e-4)


def test_the_study_reaches_c_max_after_100_000_steps():
    method, h = AnnealedVAE(SHAPE, 10, steps=300_000), _settings(c_max=25)
    assert method.capacity(h, torch.tensor(99_000)).item() == pytest.approx(24.75)
    assert method.capacity(h, torch.tensor(100_000)).item() == pytest.approx(25)


def test_capacity_is_a_function_of_the_step_alone(small_networks):
    """Calling the loss again and again changes nothing; the step does."""
    torch.manual_seed(0)
    method, h = AnnealedVAE(SHAPE, 3, steps=100), _settings()
    networks, images, noise = method.build(), torch.rand(5, *SHAPE), {"posterior": torch.randn(5, 3)}
    losses = [method.loss(networks, images, noise, h, torch.tensor(step))["loss"].item() for step in (10, 10, 10, 20)]
    assert losses[0] == losses[1] == losses[2] != losses[3]


@pytest.mark.parametrize("step", [0, 7, 20])
@pytest.mark.parametrize("gamma", [0.0, 3.0, 1000.0])
def test_regulariser_by_hand_in_float64(step, gamma):
    generator = torch.Generator().manual_seed(0)
    mean, log_variance = torch.randn(2, 6, 3, generator=generator, dtype=torch.float64)
    method, h = AnnealedVAE(SHAPE, 3, steps=30), _settings(c_max=8, gamma=gamma)
    m, v = mean.numpy(), log_variance.numpy()
    kl = 0.5 * (m**2 + np.exp(v) - 1 - v).sum() / 6
    capacity = 8 * min(step / 10, 1)
    regulariser = method.regulariser({}, sampled(mean, log_variance, mean), h, torch.tensor(step))
    assert regulariser.item() == pytest.approx(gamma * abs(kl - capacity), rel=1e-6)


def test_the_distance_is_that_of_the_mean_kl():
    """Images of KL 0 and 8 are together at a capacity of 4, though neither is."""
    latents = sampled(torch.tensor([[0.0], [4.0]]), torch.zeros(2, 1), torch.zeros(2, 1))
    method = AnnealedVAE(SHAPE, 1, steps=3)
    assert method.regulariser({}, latents, _settings(c_max=4), torch.tensor(3)).item() == pytest.approx(0, abs=1e-3)
    assert method.regulariser({}, latents, _settings(c_max=7), torch.tensor(3)).item() == pytest.approx(3000)
    assert method.regulariser({}, latents, _settings(c_max=1), torch.tensor(3)).item() == pytest.approx(3000)


def test_loss_is_reconstruction_and_regulariser(small_networks):
    torch.manual_seed(0)
    method, h, step = AnnealedVAE(SHAPE, 3, steps=9), _settings(c_max=50, gamma=10), torch.tensor(5)
    networks, images, noise = method.build(), torch.rand(5, *SHAPE), {"posterior": torch.randn(5, 3)}
    terms = method.loss(networks, images, noise, h, step)
    vae = VAE(SHAPE, 3).loss(networks, images, noise, None, step)
    torch.testing.assert_close(terms["loss"], vae["reconstruction"] + 10 * (50 - vae["kl"]))


def test_extreme_posteriors_give_finite_losses_and_gradients():
    mean = torch.tensor([[1e4, -1e4], [0.0, 1e-20]], requires_grad=True)
    log_variance = torch.tensor([[50.0, -80.0], [-80.0, 50.0]], requires_grad=True)
    latents = sampled(mean, log_variance, torch.ones(2, 2))
    loss = AnnealedVAE(SHAPE, 2).regulariser({}, latents, _settings(), torch.tensor(0))
    assert loss.isfinite()
    assert all(gradient.isfinite().all() for gradient in torch.autograd.grad(loss, (mean, log_variance)))


@pytest.mark.parametrize("c_max", [5, 10])
def test_kl_follows_the_capacity(halved, small_networks, c_max):
    steps = 450
    spec = RunSpec("annealedvae", {"c_max": c_max, "gamma": 100}, "dsprites_mini", steps=steps)
    history = train(spec, halved, "fp32").history
    at = {row["step"]: row["kl"] for row in history}
    assert np.mean([row["kl"] for row in history[-10:]]) == pytest.approx(c_max, rel=0.05)
    for share in (0.5, 0.75):  # of the third in which it grows
        middle = int(share * steps / 3) // 4 * 4
        assert np.mean([at[middle + 4 * k] for k in (-1, 0, 1, 2)]) == pytest.approx(share * c_max, rel=0.25)
    assert history[-1]["reconstruction"] < history[0]["reconstruction"] / 2
