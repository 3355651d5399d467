from math import log

import numpy as np
import pytest
import torch

from benchmark.spec import RunSpec
from benchmark.training.harness import train
from methods.base import hyperparameters_of
from methods.jointvae import JointVAE
from methods.vae import bernoulli_loss

SHAPE = (1, 4, 4)
STRUCTURE = {"continuous": 2, "categories": 3}


def _setup(steps=30, batch=6):
    torch.manual_seed(0)
    method = JointVAE(SHAPE, structure=STRUCTURE, steps=steps)
    networks = {name: network.double() for name, network in method.build().items()}
    noise = {name: torch.randn(shape, dtype=torch.float64) for name, shape in method.noise_shapes(batch).items()}
    return method, networks, torch.rand(batch, *SHAPE, dtype=torch.float64), noise


@pytest.mark.parametrize("step", [0, 4, 10, 29])
def test_loss_by_its_parts(small_networks, step):
    method, networks, images, noise = _setup()
    h = hyperparameters_of(JointVAE, {"gamma": 7, "c_max": 12, **STRUCTURE})
    terms = method.loss(networks, images, noise, h, torch.tensor(step))
    told = networks["encoder"](images).detach().numpy()
    mean, log_variance, logits = told[:, :2], told[:, 2:4], told[:, 4:]
    kl = 0.5 * (mean**2 + np.exp(log_variance) - 1 - log_variance).sum(1).mean()
    chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    category_kl = (chances * np.log(3 * chances)).sum(1).mean()
    codes = mean + noise["posterior"].numpy() * np.exp(log_variance / 2)
    uniform = torch.distributions.Normal(0, 1).cdf(noise["category"]).numpy()
    raised = np.exp((logits - np.log(-np.log(uniform))) / 0.67)
    inputs = torch.tensor(np.concatenate([codes, raised / raised.sum(1, keepdims=True)], 1))
    reconstruction = bernoulli_loss(networks["decoder"](inputs), images).item()
    risen = min(step / 10, 1)
    expected = reconstruction + 7 * abs(kl - 12 * risen) + 7 * abs(category_kl - log(3) * risen)
    assert terms["loss"].item() == pytest.approx(expected, rel=1e-5)  # the schedule is of float32
    assert terms["kl"].item() == pytest.approx(kl + category_kl)
    assert terms["kl_per_latent"].shape == (3,)
    assert terms["kl_per_latent"].sum().item() == pytest.approx(kl + category_kl)


def test_a_category_that_is_always_sure_has_the_capacity_of_the_end(small_networks):
    """Beyond log 3 nats the distance would never vanish, and its gradient would only make the category sharper."""
    method, networks, images, noise = _setup()
    sure = torch.zeros(6, 7, dtype=torch.float64)
    sure[range(6), [4, 5, 6] * 2] = 100
    networks["encoder"] = lambda images: sure
    h = hyperparameters_of(JointVAE, {"gamma": 7, "c_max": 0, **STRUCTURE})
    terms = method.loss(networks, images, noise, h, torch.tensor(29))
    assert terms["loss"].item() == pytest.approx(terms["reconstruction"].item())


def test_codes_are_means_and_probabilities(small_networks):
    method, networks, images, _ = _setup()
    codes, told = method.encode(networks, images), networks["encoder"](images)
    assert codes.shape == (6, 5)
    torch.testing.assert_close(codes[:, :2], told[:, :2])
    torch.testing.assert_close(codes[:, 2:].sum(1), torch.ones(6, dtype=torch.float64))


def test_learns_with_both_kinds_of_latents_used(small, small_networks):
    spec = RunSpec("jointvae", {"gamma": 30, "c_max": 8}, "dsprites_mini", steps=200)
    history = train(spec, small, "fp32").history
    assert history[-1]["continuous_kl"] == pytest.approx(8, rel=0.2)
    assert history[-1]["category_kl"] == pytest.approx(log(3), rel=0.2)
    assert history[-1]["reconstruction"] < history[0]["reconstruction"] / 1.5
