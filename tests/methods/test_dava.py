from math import log

import numpy as np
import pytest
import torch
from torch.nn.functional import softplus

from benchmark.spec import RunSpec
from benchmark.training.harness import train
from methods.base import hyperparameters_of
from methods.dava import DAVA
from methods.judges import permuted
from methods.memory import Memory
from methods.vae import bernoulli_loss, sampled

SHAPE = (1, 4, 4)
STEP = torch.tensor(0)


def _setup(batch=6):
    torch.manual_seed(0)
    method = DAVA(SHAPE, 3, steps=30)
    networks = {name: network.double() for name, network in method.build().items()}
    networks["capacity"].values.data.fill_(4)
    noise = {name: torch.randn(shape, dtype=torch.float64) for name, shape in method.noise_shapes(batch).items()}
    return method, networks, torch.rand(batch, *SHAPE, dtype=torch.float64), noise


def _mixed(sample, noise):
    """Each latent's codes in the order of its own draws, one by one."""
    rows, latents = sample.shape
    expected = torch.empty_like(sample)
    for latent in range(latents):
        order = sorted(range(rows), key=lambda row: noise["permutation"][row, latent].item())
        for row, source in enumerate(order):
            expected[row, latent] = sample[source, latent]
    return expected


def test_loss_by_its_parts(small_networks):
    method, networks, images, noise = _setup()
    networks["discriminator"][-1].bias.data += 0.225  # of logits that are about -0.22
    terms = method.loss(networks, images, noise, hyperparameters_of(DAVA, {"gamma": 50, "weight": 3}), STEP)
    mean, log_variance = networks["encoder"](images).chunk(2, 1)
    sample = mean + noise["posterior"] * (log_variance / 2).exp()
    kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(1).mean()
    vae = bernoulli_loss(networks["decoder"](sample), images) + 50 * abs(kl - 4)
    whole, mixed = (
        networks["discriminator"](networks["decoder"](z).sigmoid()) for z in (sample, _mixed(sample, noise))
    )
    surprise = -(1 - whole.sigmoid()).log().mean()  # of who is told that they are mixed
    torch.testing.assert_close(terms["adversarial"], surprise)
    torch.testing.assert_close(terms["kl"], kl)
    assert terms["capacity"] == 4
    right = sum([logit > 0 for logit in whole.flatten().tolist()] + [logit <= 0 for logit in mixed.flatten().tolist()])
    assert right == 7  # of twelve
    loss = vae + 3 * 100 * (7 / 12 - 0.5) * surprise
    torch.testing.assert_close(terms["loss"], loss)
    for name, expected in (("encoder", loss), ("decoder", vae)):
        parameters = list(networks[name].parameters())
        found = torch.autograd.grad(terms["loss"], parameters, retain_graph=True)
        wanted = torch.autograd.grad(expected, parameters, retain_graph=True)
        torch.testing.assert_close(found, wanted)


def test_who_guesses_presses_nobody(small_networks):
    method, networks, images, noise = _setup()
    networks["discriminator"] = lambda shown: 0.1 * shown.flatten(1).sum(1, keepdim=True) - 5  # all mixed, it says
    encoder = list(networks["encoder"].parameters())
    found = [
        torch.autograd.grad(method.loss(networks, images, noise, settings, STEP)["loss"], encoder)
        for settings in (hyperparameters_of(DAVA, {"gamma": 50, "weight": weight}) for weight in (0, 3))
    ]
    torch.testing.assert_close(*found)


def test_the_discriminator_tells_images_of_codes_from_those_of_mixed_codes(small_networks):
    method, networks, images, noise = _setup()
    sample = sampled(*method.posteriors(networks, images), noise["posterior"]).sample
    whole, mixed = (networks["decoder"](codes).sigmoid() for codes in (sample, _mixed(sample, noise)))
    expected = (softplus(-networks["discriminator"](whole)) + softplus(networks["discriminator"](mixed))).mean() / 2
    loss = method.discriminator_loss(networks, images, noise, None, STEP)["loss"]
    torch.testing.assert_close(loss, expected)
    others = [value for name in ("encoder", "decoder") for value in networks[name].parameters()]
    assert set(torch.autograd.grad(loss, others, allow_unused=True, retain_graph=True)) == {None}
    assert all(g.abs().sum() > 0 for g in torch.autograd.grad(loss, list(networks["discriminator"].parameters())))


def test_latents_are_permuted_apart():
    codes = torch.arange(8.0)[:, None] + torch.tensor([0.0, 100, 200])
    mixed = permuted(codes, torch.randn(8, 3, generator=torch.Generator().manual_seed(0)))
    orders = [(mixed[:, j] - 100 * j).tolist() for j in range(3)]
    assert all(sorted(order) == list(range(8)) for order in orders)
    assert orders[0] != orders[1] != orders[2] != orders[0]


def _capacities(right, steps=5, start=4.0, c_max=10.0):
    """The capacity after each step where the discriminator is right about so many of eight images."""
    method, h = DAVA(SHAPE, 2, steps=50), hyperparameters_of(DAVA, {"c_max": c_max})
    memory, player = Memory().double(), method.players()["capacity"]
    memory.values.data.fill_(start)
    logits = torch.tensor([1.0] * 4 + [-1.0] * 4, dtype=torch.float64)[:, None]
    logits[: 8 - right] *= -1
    networks = {
        "encoder": lambda images: torch.zeros(len(images), 4, dtype=torch.float64),
        "decoder": lambda codes: torch.zeros(len(codes), *SHAPE, dtype=torch.float64),
        "discriminator": lambda images: logits,
        "capacity": memory,
    }
    noise = {name: torch.zeros(4, 2, dtype=torch.float64) for name in ("posterior", "permutation")}
    optimiser, found = torch.optim.SGD(memory.parameters(), lr=player.optimiser.lr), []
    for _ in range(steps):
        terms = player.loss(networks, torch.zeros(4, *SHAPE), noise, h, STEP)
        assert terms["accuracy"] == right / 8
        optimiser.zero_grad()
        terms["loss"].backward()
        optimiser.step()
        found.append(memory.values.item())
    return found


@pytest.mark.parametrize(("right", "speed"), [(4, 1), (5, 0.5), (6, 0), (7, -0.5), (8, -1), (2, 1)])
def test_the_capacity_rises_while_the_discriminator_guesses_and_falls_while_it_knows(right, speed):
    """At full speed it goes from 0 to its bound, 10 nats, in a fifth of the 50 steps."""
    np.testing.assert_allclose(_capacities(right, 3), [4 + speed, 4 + 2 * speed, 4 + 3 * speed])


def test_the_capacity_keeps_to_its_bounds():
    assert _capacities(4, 12)[-1] == 10
    assert _capacities(8, 12)[-1] == 0


def test_learns_and_its_kl_follows_the_capacity(small, small_networks):
    training = train(RunSpec("dava", {"gamma": 50}, "dsprites_mini", steps=150), small, "fp32")
    last = training.history[-1]
    assert last["capacity"] > 5
    assert last["kl"] == pytest.approx(last["capacity"], rel=0.15)
    assert last["reconstruction"] < training.history[0]["reconstruction"] / 2
    assert 0 < last["discriminator_loss"] < 1.2 * log(2)
    assert training.method.report(training.networks, None)["capacity"] == pytest.approx(last["capacity"], rel=0.1)
