from math import exp

import numpy as np
import pytest
import torch

from benchmark.spec import RunSpec
from benchmark.training.harness import train
from methods.base import hyperparameters_of
from methods.vae import bernoulli_loss
from methods.wae_mmd import WAEMMD, mmd

SHAPE = (1, 4, 4)


def _normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _naive(codes, prior, kernel):
    """Pair by pair; a code is not compared with itself."""
    count, latents = len(codes), len(codes[0])

    def alike(x, y):
        apart = sum((a - b) ** 2 for a, b in zip(x, y, strict=True))
        if kernel == "gaussian":
            return exp(-apart / latents)
        return sum(2 * latents * s / (2 * latents * s + apart) for s in (0.1, 0.2, 0.5, 1, 2, 5, 10))

    within = sum(
        alike(rows[i], rows[j]) for rows in (codes, prior) for i in range(count) for j in range(count) if i != j
    )
    across = sum(alike(x, y) for x in codes for y in prior)
    return within / (count * (count - 1)) - 2 * across / count**2


@pytest.mark.parametrize("kernel", ["imq", "gaussian"])
def test_discrepancy_pair_by_pair(kernel):
    codes, prior = 1 + 2 * _normal(7, 3), _normal(7, 3, seed=1)
    expected = _naive(codes.tolist(), prior.tolist(), kernel)
    assert mmd(codes, prior, kernel).item() == pytest.approx(expected)


@pytest.mark.parametrize("kernel", ["imq", "gaussian"])
def test_it_is_without_bias_and_tells_distributions_apart(kernel):
    """With a code compared with itself, small batches of the prior would seem to be far from it."""
    of_prior = [mmd(_normal(8, 4, seed=i), _normal(8, 4, seed=1000 + i), kernel).item() for i in range(400)]
    assert abs(np.mean(of_prior)) < 4 * np.std(of_prior) / 20
    assert min(of_prior) < 0
    wide = [mmd(2 * _normal(8, 4, seed=i), _normal(8, 4, seed=1000 + i), kernel).item() for i in range(400)]
    assert np.mean(wide) > 5 * np.std(of_prior) / 20


@pytest.mark.parametrize(("kl", "kernel"), [(0.0, "imq"), (0.5, "gaussian")])
def test_loss_by_its_parts(small_networks, kl, kernel):
    torch.manual_seed(0)
    method = WAEMMD(SHAPE, 3, structure={"kernel": kernel})
    networks = {name: network.double() for name, network in method.build().items()}
    images, noise = (
        torch.rand(6, *SHAPE, dtype=torch.float64),
        {"posterior": _normal(6, 3), "prior": _normal(6, 3, seed=1)},
    )
    h = hyperparameters_of(WAEMMD, {"weight": 20, "kl": kl, "kernel": kernel})
    terms = method.loss(networks, images, noise, h, torch.tensor(0))
    mean, log_variance = networks["encoder"](images).chunk(2, 1)
    sample = mean + noise["posterior"] * (log_variance / 2).exp()
    divergence = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(1).mean()
    expected = bernoulli_loss(networks["decoder"](sample), images) + kl * divergence
    expected = expected + 20 * _naive(sample.tolist(), noise["prior"].tolist(), kernel)
    torch.testing.assert_close(terms["loss"], expected)


def test_learns_codes_that_are_as_the_prior(small, small_networks):
    """Without a weight the codes' spread is nothing's business."""
    spreads = {}
    for weight in (0, 1000):
        training = train(RunSpec("wae_mmd", {"weight": weight}, "dsprites_mini", steps=120), small, "fp32")
        assert training.history[-1]["reconstruction"] < training.history[0]["reconstruction"] / 2
        spreads[weight] = np.mean([row["mmd"] for row in training.history[-20:]])
    assert spreads[1000] < spreads[0] / 3
