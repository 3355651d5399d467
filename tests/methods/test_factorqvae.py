from math import exp, log

import numpy as np
import pytest
import torch
from scipy.stats import gumbel_r, kstest, norm
from torch import nn

from benchmark.spec import RunSpec
from benchmark.training.harness import train
from methods import factorqvae
from methods.base import Independent, hyperparameters_of
from methods.factorqvae import FactorQVAE, GlobalCodebook, gumbel, gumbel_softmax, kl_to_uniform
from methods.vae import bernoulli_loss

SHAPE = (1, 4, 4)
STRUCTURE = {"values": 3}


def _normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _small_discriminator(inputs):
    return nn.Sequential(nn.Linear(inputs, 64), nn.LeakyReLU(0.2), nn.Linear(64, 1))


@pytest.fixture
def small_discriminator(monkeypatch):
    monkeypatch.setattr(factorqvae, "discriminator", _small_discriminator)


def _setup(steps=10, batch=6):
    torch.manual_seed(0)
    method = FactorQVAE(SHAPE, factor_sizes=(3, 2), structure=STRUCTURE, steps=steps)
    networks = {name: network.double() for name, network in method.build().items()}
    noise = {name: _normal(*shape, seed=i) for i, (name, shape) in enumerate(method.noise_shapes(batch).items())}
    return method, networks, torch.rand(2 * batch, *SHAPE, dtype=torch.float64), noise


def _weights(logits, noise, temperature):
    """Gumbel-softmax of one latent, number by number."""
    raised = [(a - log(-log(norm.cdf(n)))) / temperature for a, n in zip(logits, noise, strict=True)]
    terms = [exp(value - max(raised)) for value in raised]
    return [term / sum(terms) for term in terms]


def test_noise_is_gumbels():
    draws = gumbel(_normal(20_000)).numpy()
    assert kstest(draws, gumbel_r.cdf).pvalue > 0.01


def test_noise_is_finite_however_far_out_the_draw():
    far = torch.tensor([-12.0, -8, 0, 5, 5.6, 8, 12])
    draws = gumbel(far)
    assert draws.isfinite().all()
    assert (draws.diff() > 0).all()
    torch.testing.assert_close(draws[:3].double(), torch.tensor(-np.log(-norm.logcdf([-12, -8, 0]))), rtol=1e-5, atol=0)
    torch.testing.assert_close(draws[3:].double(), torch.tensor(-norm.logsf([5, 5.6, 8, 12])), rtol=1e-5, atol=0)


@pytest.mark.parametrize("temperature", [1.0, 0.1])
def test_weights_one_by_one(temperature):
    logits, noise = _normal(4, 5), _normal(4, 5, seed=1)
    expected = [_weights(a, n, temperature) for a, n in zip(logits.tolist(), noise.tolist(), strict=True)]
    torch.testing.assert_close(gumbel_softmax(logits, noise, temperature), torch.tensor(expected, dtype=torch.float64))


def test_the_likeliest_weight_is_drawn_by_the_probabilities():
    logits = torch.tensor([0.0, 1.0, -1.0], dtype=torch.float64).expand(30_000, 3)
    drawn = gumbel_softmax(logits, _normal(30_000, 3), 1.0).argmax(1).bincount() / 30_000
    torch.testing.assert_close(drawn.double(), logits[0].softmax(0), atol=0.01, rtol=0)


def test_kl_to_uniform_by_hand():
    logits = _normal(5, 2, 4)
    chances = logits.softmax(2).numpy()
    expected = (chances * np.log(chances * 4)).sum(2).mean(0)
    torch.testing.assert_close(kl_to_uniform(logits), torch.tensor(expected))
    assert kl_to_uniform(torch.zeros(1, 1, 7)).item() == pytest.approx(0, abs=1e-6)


def test_choices_are_by_squared_distance(small_networks):
    method, networks, images, _ = _setup()
    networks["codebook"].values.data = torch.tensor([-2.0, 0.5, 3.0], dtype=torch.float64)
    numbers = networks["encoder"](images)
    assert numbers.shape == (12, 4)
    expected = [[[-((z - e) ** 2) for e in (-2, 0.5, 3)] for z in row] for row in numbers.tolist()]
    torch.testing.assert_close(method.logits(networks, images), torch.tensor(expected, dtype=torch.float64))
    nearest = [[min((-2, 0.5, 3), key=lambda e: abs(z - e)) for z in row] for row in numbers.tolist()]
    assert method.encode(networks, images).tolist() == nearest


def test_one_codebook_serves_all_latents():
    codebook = GlobalCodebook(3)
    codebook.values.data = torch.tensor([-1.0, 0.0, 1.0])
    assert codebook(torch.eye(3)[None].repeat(2, 1, 1)).tolist() == [[-1, 0, 1]] * 2
    assert codebook(torch.tensor([[0.5, 0.5, 0], [0, 0.25, 0.75]])).tolist() == [-0.5, 0.75]


def test_the_first_numbers_are_standard_normal():
    torch.manual_seed(0)
    numbers = GlobalCodebook(100_000).values.detach()
    assert numbers.mean().item() == pytest.approx(0, abs=0.02)
    assert numbers.std().item() == pytest.approx(1, abs=0.02)
    assert (numbers.abs() > 1.96).float().mean().item() == pytest.approx(0.05, abs=0.01)


def test_loss_one_by_one(small_networks, small_discriminator):
    method, networks, images, noise = _setup()
    logits = method.logits(networks, images[:6])
    weights = torch.tensor(
        [
            [_weights(a, n, 1.0) for a, n in zip(*rows, strict=True)]
            for rows in zip(logits.tolist(), noise["choice"].tolist(), strict=True)
        ],
        dtype=torch.float64,
    )
    codes = torch.einsum("bdv,v->bd", weights, networks["codebook"].values)
    chances = logits.softmax(2)
    kl = (chances * (3 * chances).log()).sum((1, 2)).mean()
    expected = bernoulli_loss(networks["decoder"](codes), images[:6]) + 2 * kl
    expected = expected + 5 * networks["discriminator"](weights.reshape(6, 12)).mean()
    h = hyperparameters_of(FactorQVAE, {"gamma": 5, "beta": 2, "values": 3})
    terms = method.loss(networks, images, noise, h, torch.tensor(4))
    torch.testing.assert_close(terms["loss"], expected)
    torch.testing.assert_close(terms["kl"], kl)


class _Recorder:
    def __call__(self, shown):
        self.shown = shown
        return torch.tensor([2.0] * (len(shown) // 2) + [-1.0] * (len(shown) // 2))[:, None]


def test_the_discriminator_sees_the_first_batch_and_a_permuted_second(small_networks, small_discriminator):
    method, networks, images, noise = _setup()
    recorder = networks["discriminator"] = _Recorder()
    loss = method.discriminator_loss(networks, images, noise, None, torch.tensor(0))["loss"]
    assert loss.item() == pytest.approx((log(1 + exp(-2)) + log(1 + exp(-1))) / 2, rel=1e-5)
    assert method.batches() == Independent(2)
    joint, product = recorder.shown.unflatten(1, (4, 3)).chunk(2)
    drawn = [
        gumbel_softmax(method.logits(networks, part), noise[name], 1.0)
        for part, name in zip(images.chunk(2), ("choice", "second_choice"), strict=True)
    ]
    torch.testing.assert_close(joint, drawn[0])
    for latent in range(4):
        order = sorted(range(6), key=lambda row: noise["permutation"][row, latent].item())
        torch.testing.assert_close(product[:, latent], drawn[1][order, latent])
    assert not torch.equal(product, drawn[1])


def test_the_discriminators_loss_moves_it_alone(small_networks, small_discriminator):
    method, networks, images, noise = _setup()
    loss = method.discriminator_loss(networks, images, noise, None, torch.tensor(0))["loss"]
    others = [value for name in ("encoder", "codebook") for value in networks[name].parameters()]
    assert set(torch.autograd.grad(loss, others, allow_unused=True, retain_graph=True)) == {None}
    assert all(g.abs().sum() > 0 for g in torch.autograd.grad(loss, list(networks["discriminator"].parameters())))


def test_learns_codes_of_the_codebook(small, small_networks, small_discriminator):
    training = train(RunSpec("factorqvae", {"values": 8}, "dsprites_mini", steps=150), small, "fp32")
    assert training.history[-1]["reconstruction"] < training.history[0]["reconstruction"] / 1.5
    with torch.no_grad():
        codes = training.method.encode(training.networks, small.images(torch.arange(len(small))))
    assert codes.shape == (384, 10)
    assert len(codes.unique()) <= 8
    assert len(codes.unique(dim=0)) > 20
