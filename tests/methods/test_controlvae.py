from math import exp

import numpy as np
import pytest
import torch

from benchmark.spec import RunSpec
from benchmark.training.harness import train
from methods.base import hyperparameters_of
from methods.betavae import BetaVAE
from methods.controlvae import ControlVAE
from methods.dynamicvae import DynamicVAE
from methods.memory import Memory
from methods.vae import sampled

SHAPE = (1, 4, 4)
BOTH = [ControlVAE, DynamicVAE]


def _control(cls, kls, steps=100, **settings):
    """beta of the networks' loss at each step, where the KL is as told, by the players' losses and optimisers."""
    method, h = cls(SHAPE, 1, steps=steps), hyperparameters_of(cls, settings)
    memory, player = Memory(method.memories).double(), method.players()["controller"]
    optimiser = torch.optim.SGD(memory.parameters(), lr=player.optimiser.lr)
    betas = []
    for step, kl in enumerate(kls):
        step = torch.tensor(step)
        mean = torch.full((4, 1), (2 * kl) ** 0.5, dtype=torch.float64)
        outputs = torch.cat([mean, torch.zeros_like(mean)], 1)
        networks = {"encoder": lambda images, outputs=outputs: outputs, "controller": memory}
        latents = sampled(mean, torch.zeros_like(mean), torch.zeros_like(mean))
        terms = method.regulariser(networks, latents, h, step)
        betas.append(terms["beta"].item())
        assert terms["loss"].item() == pytest.approx(betas[-1] * kl)
        loss = player.loss(networks, torch.zeros(4, *SHAPE), {"posterior": torch.zeros_like(mean)}, h, step)["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return betas, method.report({"controller": memory.float()}, h)


def _point(target, step, steps=100):
    return 0.5 + (target - 0.5) * min(step / (steps / 2), 1)


def _sigmoid(value):
    return 1 / (1 + exp(-value))


WALK = [abs(10 + 8 * np.sin(i / 9) + (i % 5)) for i in range(150)] + [0.1] * 60 + [20.0] * 20


def test_controlvae_step_by_step():
    summed, expected = 0.0, []
    for step, kl in enumerate(WALK):
        error = _point(12, step) - kl
        summed = min(max(summed - 0.02 * error, -0.5), 99)
        expected.append(min(max(1 + 0.5 * _sigmoid(-error) + summed, 1), 100))
    found, told = _control(ControlVAE, WALK, target=12, proportional=0.5, integral=0.02)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert max(expected) > 1.5
    assert min(expected) == 1
    assert told["beta"] == pytest.approx(min(max(1 + summed, 1), 100), rel=1e-6)


def test_dynamicvae_step_by_step():
    beta, average, before, expected = 6.0, 0.5, 0.5, []
    for step, kl in enumerate(WALK):
        average = 0.8 * average + 0.2 * kl
        error = _point(12, step) - average
        at_once = _sigmoid(-error)
        beta = max(beta + 0.5 * (at_once - before) - 0.02 * error, 0)
        before = at_once
        expected.append(beta)
    found, told = _control(DynamicVAE, WALK, target=12, proportional=0.5, integral=0.02, start=6)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert told["beta"] == pytest.approx(beta, rel=1e-5)


@pytest.mark.parametrize("cls", BOTH)
def test_beta_comes_back_at_once_however_long_it_was_at_a_bound(cls):
    """Without a guard I winds up for as long as beta is at its bound, and unwinds for as long."""
    least, most = (1, 100) if cls is ControlVAE else (0, 1e4)
    settings = {"target": 5, "proportional": 0.01, "integral": 1.0}
    settings |= {"start": 5} if cls is DynamicVAE else {}
    low, _ = _control(cls, [5] * 60 + [1] * 500 + [8] * 10, **settings)
    assert low[559] == pytest.approx(least, abs=0.02)
    assert low[569] > least + 5
    high, _ = _control(cls, [5] * 60 + [1e3] * 500 + [1] * 80, **settings)
    assert high[559] == most
    assert high[-1] < most - 50


@pytest.mark.parametrize("cls", BOTH)
def test_beta_rises_where_the_kl_is_too_large_and_falls_where_it_is_too_small(cls):
    settings = {"start": 50} if cls is DynamicVAE else {}
    steady, above, below = (
        _control(cls, [10] * 100 + [kl] * 100, target=10, integral=0.01, **settings)[0][-1] for kl in (10, 12, 9)
    )
    assert below < steady < above


@pytest.mark.parametrize("cls", BOTH)
def test_the_set_point_rises_over_half_the_training(cls):
    method, h = cls(SHAPE, 1, steps=200), hyperparameters_of(cls, {"target": 10.5})
    points = [method.set_point(h, torch.tensor(step)).item() for step in (0, 50, 100, 199)]
    assert points == pytest.approx([0.5, 5.5, 10.5, 10.5])


@pytest.mark.parametrize("cls", BOTH)
def test_networks_get_the_gradients_of_a_beta_vae(cls, small_networks):
    torch.manual_seed(0)
    method, h = cls(SHAPE, 3, steps=10), hyperparameters_of(cls, {})
    networks = {name: network.double() for name, network in method.build().items()}
    images, noise = torch.rand(5, *SHAPE, dtype=torch.float64), {"posterior": torch.randn(5, 3, dtype=torch.float64)}
    weights = [*networks["encoder"].parameters(), *networks["decoder"].parameters()]
    own = method.loss(networks, images, noise, h, torch.tensor(3))
    beta = hyperparameters_of(BetaVAE, {"beta": own["beta"].item()})
    theirs = BetaVAE(SHAPE, 3).loss(networks, images, noise, beta, torch.tensor(3))
    for pair in zip(*(torch.autograd.grad(terms["loss"], weights) for terms in (own, theirs)), strict=True):
        torch.testing.assert_close(*pair)
    loss = method.controller_loss(networks, images, noise, h, torch.tensor(3))["loss"]
    assert set(torch.autograd.grad(loss, weights, allow_unused=True)) == {None}


@pytest.mark.parametrize(("cls", "target", "settings"), [(ControlVAE, 2, {}), (DynamicVAE, 5, {"start": 4})])
def test_kl_ends_at_the_set_point(small, small_networks, cls, target, settings):
    """A VAE's is 4 by then: one controller is to raise beta, the other to lower it below 1."""
    given = {"target": target, "integral": 0.05, "proportional": 1} | settings
    training = train(RunSpec(cls.name, given, "dsprites_mini", steps=250), small, "fp32")
    assert np.mean([row["kl"] for row in training.history[-50:]]) == pytest.approx(target, rel=0.1)
    assert training.history[-1]["reconstruction"] < training.history[0]["reconstruction"] / 1.5
