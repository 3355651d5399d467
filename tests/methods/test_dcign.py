import pytest
import torch
from torch.distributions import Normal, kl_divergence

from benchmark.spec import RunSpec
from benchmark.training.harness import train
from methods.base import Groups, hyperparameters_of
from methods.dcign import DCIGN
from methods.vae import bernoulli_loss

SHAPE = (1, 4, 4)
BATCH = 6


def _setup(invariance=0.01):
    """A method of three factors; the loss's terms and the encoder's outputs where the factor 1 varies."""
    torch.manual_seed(0)
    method = DCIGN(SHAPE, factor_sizes=(3, 2, 4))
    networks = {name: network.double() for name, network in method.build().items()}
    outputs = torch.randn(BATCH, 6, dtype=torch.float64, requires_grad=True)
    networks["encoder"] = lambda images: outputs
    images = torch.rand(BATCH, *SHAPE, dtype=torch.float64)
    noise = {"posterior": torch.randn(BATCH, 3, dtype=torch.float64), "factor": torch.tensor(1)}
    terms = method.loss(networks, images, noise, hyperparameters_of(DCIGN, {"invariance": invariance}), 0)
    return method, networks, images, noise, outputs, terms


def _sample(outputs, noise):
    mean, log_variance = outputs.detach().chunk(2, 1)
    return mean + noise["posterior"] * (log_variance / 2).exp()


def _kl(outputs):
    mean, log_variance = outputs.chunk(2, 1)
    return kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0)).sum() / BATCH


def _clamped(sample):
    return torch.stack([sample[:, 0].mean().expand(BATCH), sample[:, 1], sample[:, 2].mean().expand(BATCH)], 1)


def test_there_is_a_latent_for_each_factor():
    method = DCIGN(SHAPE, latents=10, factor_sizes=(3, 2, 4))
    assert method.latents == 3
    assert method.noise_shapes(8) == {"posterior": (8, 3)}
    assert method.batches() == Groups()


def test_the_loss_by_hand(small_networks):
    _, networks, images, noise, outputs, terms = _setup(invariance=0.5)
    sample = _sample(outputs, noise)
    clamped = _clamped(sample)
    reconstruction = bernoulli_loss(networks["decoder"](clamped), images)
    invariance = (sample - clamped).square().sum() / BATCH / 2
    torch.testing.assert_close(terms["reconstruction"], reconstruction)
    torch.testing.assert_close(terms["loss"], reconstruction + _kl(outputs) + 0.5 * invariance)


@pytest.mark.parametrize("invariance", [0.01, 0.7])
def test_a_clamped_latents_gradient_is_its_difference_from_the_mean(small_networks, invariance):
    """Beside the KL's, and none of the reconstruction; the active latent's is the reconstruction's."""
    _, networks, images, noise, outputs, terms = _setup(invariance)
    whole = torch.autograd.grad(terms["loss"], outputs)[0]
    beside_kl = (whole - torch.autograd.grad(_kl(outputs), outputs)[0])[:, :3]  # the means' part: d sample / d mean = 1
    sample = _sample(outputs, noise)
    decoded = _clamped(sample).requires_grad_()
    of_reconstruction = torch.autograd.grad(bernoulli_loss(networks["decoder"](decoded), images), decoded)[0]
    differences = invariance * (sample - sample.mean(0)) / BATCH
    assert of_reconstruction.abs().min() > 0
    torch.testing.assert_close(beside_kl[:, [0, 2]], differences[:, [0, 2]])
    torch.testing.assert_close(beside_kl[:, 1], of_reconstruction[:, 1])


def test_its_kl_has_the_weight_one():
    assert DCIGN(SHAPE, factor_sizes=(3, 2, 4)).report({}, hyperparameters_of(DCIGN, {}))["beta"] == 1


def test_learns_each_factor_in_its_own_latent(small_networks, bars):
    training = train(RunSpec("dcign", {}, "dsprites_mini", steps=600), bars, "fp32")
    moved = bars.moved_by_each(training)
    assert (moved / moved.sum(0)).diag().min() > 0.6
    assert training.history[-1]["loss"] < 0.8 * training.history[0]["loss"]
