import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import laplace, norm

from benchmark.spec import RunSpec
from benchmark.training.harness import train
from methods.base import Pairs, Transitions, hyperparameters_of
from methods.slowvae import SlowVAE, kl_from_laplace
from methods.vae import bernoulli_loss

SHAPE = (1, 4, 4)


@pytest.mark.parametrize(("mean", "deviation", "rate"), [(0.0, 1.0, 6.0), (0.4, 0.2, 6.0), (-3.0, 0.5, 1.0)])
def test_kl_from_laplace_is_the_integral(mean, deviation, rate):
    own, prior = norm(mean, deviation), laplace(0, 1 / rate)
    ends = mean - 12 * deviation, mean + 12 * deviation
    expected, _ = quad(lambda z: own.pdf(z) * (own.logpdf(z) - prior.logpdf(z)), *ends, points=[mean, 0], limit=500)
    told = kl_from_laplace(torch.tensor(mean).double(), 2 * torch.tensor(deviation).double().log(), rate)
    assert told.item() == pytest.approx(expected, rel=1e-6)


def _terms(images, small_networks, swap=False, **settings):
    torch.manual_seed(0)
    method = SlowVAE(SHAPE, 3)
    networks = {name: network.double() for name, network in method.build().items()}
    noise = {"posterior": torch.randn(len(images), 3, dtype=torch.float64)}
    if swap:
        images, noise = (torch.cat(part.chunk(2)[::-1]) for part in (images, noise["posterior"]))
        noise = {"posterior": noise}
    return method.loss(networks, images, noise, hyperparameters_of(SlowVAE, settings), 0), networks, noise


def _images(pairs=4):
    return (torch.rand(2 * pairs, *SHAPE, generator=torch.Generator().manual_seed(1)) > 0.5).double()


def test_the_loss_pair_by_pair(small_networks):
    """Half of a pair's: two reconstructions, the mean of two KLs and of two directions of time."""
    images = _images()
    terms, networks, noise = _terms(images, small_networks, gamma=3, rate=2, beta=1.5)
    mean, log_variance = networks["encoder"](images).chunk(2, 1)
    logits = networks["decoder"](mean + noise["posterior"] * (log_variance / 2).exp())
    pairs = []
    for at in range(4):
        both = [at, at + 4]
        reconstruction = sum(bernoulli_loss(logits[i : i + 1], images[i : i + 1]) for i in both)
        kl = sum(0.5 * (mean[i] ** 2 + log_variance[i].exp() - 1 - log_variance[i]).sum() for i in both) / 2
        slowness = [kl_from_laplace(mean[i] - mean[j], log_variance[i], 2.0).sum() for i, j in (both, both[::-1])]
        pairs.append(reconstruction + 1.5 * kl + 3 * sum(slowness) / 2)
    torch.testing.assert_close(terms["loss"], sum(pairs) / 4 / 2)


def test_time_has_no_direction(small_networks):
    forward, backward = (_terms(_images(), small_networks, swap)[0] for swap in (False, True))
    torch.testing.assert_close(forward["loss"], backward["loss"])


def test_an_image_that_stands_still_has_a_narrow_posterior():
    """The posterior's best deviation by the Laplace prior alone, whose entropy counts whole: sqrt(pi / 2) / rate."""
    deviations = torch.linspace(0.01, 1, 1000).double()
    best = deviations[kl_from_laplace(torch.zeros(1000).double(), 2 * deviations.log(), 6.0).argmin()]
    assert best.item() == pytest.approx(np.sqrt(np.pi / 2) / 6, abs=2e-3)


def test_what_it_asks_for():
    assert SlowVAE(SHAPE).batches() == Transitions(1.0)
    assert SlowVAE(SHAPE, structure={"transitions": "uniform"}).batches() == Pairs(0)
    assert SlowVAE(SHAPE, 7).noise_shapes(8) == {"posterior": (16, 7)}


def test_learns_latents_that_seldom_move(bars, small_networks):
    """What a factor moves is in fewer latents than a VAE's; with the paper's gamma nothing of so few pixels is left."""
    share = {}
    for name, settings in (("vae", {}), ("slowvae", {"gamma": 1.0})):
        training = train(RunSpec(name, settings, "dsprites_mini", steps=400), bars, "fp32")
        assert training.history[-1]["loss"] < training.history[0]["loss"] / 4
        moved = bars.moved_by_each(training)
        share[name] = (moved.amax(1) / moved.sum(1)).mean().item()
    assert share["slowvae"] > share["vae"] + 0.07
