import numpy as np
import pytest
import torch
from torch.distributions import Bernoulli, Normal, kl_divergence

from benchmark.spec import RunSpec
from benchmark.training.harness import train
from methods.adagvae import AdaGVAE, kl_between
from methods.adamlvae import AdaMLVAE
from methods.base import Pairs, hyperparameters_of
from methods.groupvae import GroupVAE
from methods.mlvae import MLVAE

SHAPE = (1, 4, 4)


def _outputs(pairs=6, latents=5):
    """Means and log variances of first images, then of second ones: the encoder's outputs (2 * pairs, 2 * latents)."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2 * pairs, 2 * latents, generator=generator, dtype=torch.float64)


def _posteriors(outputs):
    """A distribution of each image's latents, for the pairs' first and second images."""
    mean, log_variance = outputs.chunk(2, 1)
    return [Normal(m, (v / 2).exp()) for m, v in zip(mean.chunk(2), log_variance.chunk(2), strict=True)]


def _infer(method, outputs):
    noise = {"posterior": torch.randn(len(outputs), method.latents, dtype=torch.float64)}
    return method.infer({"encoder": lambda batch: batch}, outputs, noise), noise


def test_kl_between_posteriors_is_that_of_torch_distributions():
    outputs = _outputs()
    means, log_variances = (part.chunk(2) for part in outputs.chunk(2, 1))
    first, second = _posteriors(outputs)
    torch.testing.assert_close(kl_between(means, log_variances), kl_divergence(first, second))


def test_latents_below_half_way_between_least_and_greatest_are_shared():
    """Pair by pair and latent by latent, in numpy."""
    outputs = _outputs()
    method = AdaGVAE(SHAPE, 5)
    latents, noise = _infer(method, outputs)
    distances = kl_divergence(*_posteriors(outputs)).numpy()
    mean, log_variance = (part.numpy() for part in outputs.chunk(2, 1))
    shared = 0
    for pair in range(6):
        threshold = (min(distances[pair]) + max(distances[pair])) / 2
        for j in range(5):
            own = [(mean[i, j], np.exp(log_variance[i, j])) for i in (pair, pair + 6)]
            if distances[pair, j] < threshold:
                own = [tuple(np.mean(own, axis=0))] * 2
                shared += 1
            for i, (m, v) in zip((pair, pair + 6), own, strict=True):
                assert latents.mean[i, j].item() == pytest.approx(m)
                assert latents.log_variance[i, j].exp().item() == pytest.approx(v)
                sample = m + noise["posterior"][i, j].item() * v**0.5
                assert latents.sample[i, j].item() == pytest.approx(sample)
    assert 6 < shared < 24  # both branches were seen


@pytest.mark.parametrize("cls", [AdaGVAE, AdaMLVAE])
def test_two_images_that_are_alike_keep_their_posterior_where_that_is_an_average(cls):
    """The farthest latent is never shared, the nearest always is."""
    outputs = _outputs()
    latents, _ = _infer(cls(SHAPE, 5), outputs)
    first, second = latents.mean.chunk(2)
    distances = kl_divergence(*_posteriors(outputs))
    pairs = torch.arange(6)
    assert torch.equal(first[pairs, distances.argmin(1)], second[pairs, distances.argmin(1)])
    farthest = distances.argmax(1)
    assert torch.equal(first[pairs, farthest], outputs[:6, :5][pairs, farthest])
    assert torch.equal(second[pairs, farthest], outputs[6:, :5][pairs, farthest])


def test_product_of_experts_is_the_normalised_product_of_densities():
    """Moments of the densities' product on a grid."""
    outputs = _outputs()
    mean, log_variance = AdaMLVAE(SHAPE, 5).average(*(part.chunk(2) for part in outputs.chunk(2, 1)))
    grid = torch.linspace(-30, 30, 60_001, dtype=torch.float64)[:, None, None]
    first, second = _posteriors(outputs)
    density = (first.log_prob(grid) + second.log_prob(grid)).exp()
    density = density / density.sum(0)
    expected = (density * grid).sum(0)
    torch.testing.assert_close(mean, expected)
    torch.testing.assert_close(log_variance.exp(), (density * (grid - expected) ** 2).sum(0))


@pytest.mark.parametrize("cls", [AdaGVAE, AdaMLVAE])
def test_averages_of_extreme_variances_are_finite(cls):
    means = torch.tensor([[0.0]]), torch.tensor([[1.0]])
    for extreme in (200.0, -200.0):
        log_variances = (torch.full((1, 1), extreme), torch.full((1, 1), extreme))
        mean, log_variance = cls(SHAPE, 1).average(means, log_variances)
        assert mean.item() == pytest.approx(0.5, rel=1e-5)
        assert log_variance.item() == pytest.approx(extreme, abs=0.7)


@pytest.mark.parametrize("beta", [1.0, 4.0])
def test_loss_is_the_mean_over_both_images(small_networks, beta):
    torch.manual_seed(0)
    method = AdaGVAE(SHAPE, 5)
    networks = {name: network.double() for name, network in method.build().items()}
    images = (torch.rand(6, *SHAPE) > 0.5).double()
    noise = {"posterior": torch.randn(6, 5, dtype=torch.float64)}
    terms = method.loss(networks, images, noise, hyperparameters_of(AdaGVAE, {"beta": beta}), 0)
    latents = method.infer(networks, images, noise)
    posterior = Normal(latents.mean, (latents.log_variance / 2).exp())
    bounds = [
        Bernoulli(logits=networks["decoder"](latents.sample[i : i + 1])).log_prob(images[i : i + 1]).sum()
        - beta * kl_divergence(Normal(posterior.loc[i], posterior.scale[i]), Normal(0.0, 1.0)).sum()
        for i in range(6)
    ]
    torch.testing.assert_close(terms["loss"], -sum(bounds) / 6)


@pytest.mark.parametrize(("told", "guessed"), [(GroupVAE, AdaGVAE), (MLVAE, AdaMLVAE)])
def test_told_what_changed_a_pair_averages_all_other_latents(told, guessed):
    """Latent by latent: those of factors drawn anew are each image's own, those beyond the factors shared."""
    outputs = _outputs()
    changed = torch.tensor([[True, False, False], [False, True, True]] * 3)
    noise = {"posterior": torch.randn(12, 5, dtype=torch.float64), "changed": changed}
    latents = told(SHAPE, 5).infer({"encoder": lambda batch: batch}, outputs, noise)
    mean, log_variance = outputs.chunk(2, 1)
    averages = guessed(SHAPE, 5).average(mean.chunk(2), log_variance.chunk(2))
    for pair in range(6):
        for j in range(5):
            for image in (pair, pair + 6):
                own = j < 3 and changed[pair, j]
                expected = (mean[image, j], log_variance[image, j]) if own else [each[pair, j] for each in averages]
                assert (latents.mean[image, j], latents.log_variance[image, j]) == tuple(expected)


def test_pairs_are_asked_for():
    assert AdaGVAE(SHAPE).batches() == Pairs(0)
    for cls in (AdaMLVAE, GroupVAE, MLVAE):
        assert cls(SHAPE, structure={"differing": 2}).batches() == Pairs(2)
    assert AdaGVAE(SHAPE, 7).noise_shapes(8) == {"posterior": (16, 7)}


@pytest.mark.parametrize("name", ["groupvae", "mlvae"])
def test_told_what_changed_learns_each_factor_in_its_own_latent(bars, small_networks, name):
    """Of three in ten latents, in their order."""
    training = train(RunSpec(name, {"differing": 1}, "dsprites_mini", steps=300), bars, "fp32")
    moved = bars.moved_by_each(training)
    assert moved.argmax(1).tolist() == [0, 1, 2]
    assert moved.argmax(0)[:3].tolist() == [0, 1, 2]


def _disagreement(training, small):
    """Posteriors' distance in the nine latents in which pairs that differ in one factor are nearest, over the tenth."""
    everything = torch.arange(len(small))
    factors = small.factors(everything)
    with torch.no_grad():
        means, log_variances = training.networks["encoder"](small.images(everything)).chunk(2, 1)
    distances = []
    for k, size in enumerate(small.factor_sizes):
        moved = factors.clone()
        moved[:, k] = (factors[:, k] + 1) % size
        other = small.indices(moved)
        distances.append(kl_between((means, means[other]), (log_variances, log_variances[other])).sort(1).values)
    nearest = torch.cat(distances).mean(0)
    return (nearest[:-1].sum() / nearest[-1]).item()


@pytest.mark.parametrize("name", ["adagvae", "adamlvae"])
def test_learns_posteriors_that_agree_in_the_shared_latents(small, small_networks, name):
    """Nearer to each other, against the latent that differs, than a plain VAE's."""
    plain = train(RunSpec("vae", {}, "dsprites_mini", steps=400), small, "fp32")
    training = train(RunSpec(name, {"differing": 1}, "dsprites_mini", steps=400), small, "fp32")
    assert training.history[-1]["loss"] < training.history[0]["loss"] / 4
    assert _disagreement(training, small) < 0.75 * _disagreement(plain, small)
