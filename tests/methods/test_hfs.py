import pytest
import torch

from benchmark.spec import RunSpec
from benchmark.training.harness import train
from methods.base import hyperparameters_of
from methods.betavae import BetaVAE
from methods.hfs import HFS, support_distance

SHAPE = (1, 4, 4)


def _brute_force(codes):
    """Every pair of latents, every combination of a first and a second coordinate, every code; differentiable."""
    images, latents = codes.shape
    total = 0
    for i in range(latents):
        for j in range(i + 1, latents):
            distances = [
                min((codes[a, i] - codes[c, i]) ** 2 + (codes[b, j] - codes[c, j]) ** 2 for c in range(images))
                for a in range(images)
                for b in range(images)
            ]
            total = total + max(distances)
    return total


@pytest.mark.parametrize(("images", "latents"), [(2, 2), (5, 3), (9, 4)])
def test_distance_and_gradient_are_those_of_brute_force(images, latents):
    generator = torch.Generator().manual_seed(images)
    codes = torch.randn(images, latents, generator=generator, dtype=torch.float64, requires_grad=True)
    distance, expected = support_distance(codes), _brute_force(codes)
    torch.testing.assert_close(distance, expected)
    gradients = [torch.autograd.grad(each, codes)[0] for each in (distance, expected)]
    assert gradients[1].abs().sum() > 0
    torch.testing.assert_close(*gradients)


def test_a_grid_has_a_factorised_support_though_its_latents_correlate():
    corners = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]
    codes = torch.tensor(corners + 9 * corners[:1] + 9 * corners[3:])
    assert torch.corrcoef(codes.T)[0, 1] > 0.5
    assert support_distance(codes) == 0


def test_the_diagonals_farthest_combinations_are_the_empty_corners():
    codes = torch.arange(5.0)[:, None].repeat(1, 2)
    assert support_distance(codes) == 8  # (0, 4) is two from (2, 2) along both axes


def test_a_latent_that_is_not_used_costs_nothing():
    codes = torch.randn(8, 1, generator=torch.Generator().manual_seed(0))
    assert support_distance(torch.cat([codes, torch.full((8, 2), 0.3)], 1)) == 0


def test_loss_is_that_of_the_beta_vae_and_the_distance_of_the_means(small_networks):
    torch.manual_seed(0)
    method = HFS(SHAPE, 3)
    networks = {name: network.double() for name, network in method.build().items()}
    images, noise = torch.rand(5, *SHAPE, dtype=torch.float64), torch.randn(5, 3, dtype=torch.float64)
    terms = method.loss(networks, images, {"posterior": noise}, hyperparameters_of(HFS, {"gamma": 7, "beta": 2}), 0)
    beta = BetaVAE(SHAPE, 3).loss(networks, images, {"posterior": noise}, hyperparameters_of(BetaVAE, {"beta": 2}), 0)
    distance = _brute_force(method.encode(networks, images))
    torch.testing.assert_close(terms["loss"], beta["loss"] + 7 * distance)
    torch.testing.assert_close(terms["support"], distance)


def test_learns_a_support_that_is_nearer_to_factorised(small, small_networks):
    """Against the latents' variance too, which a smaller scale of all of them would not change."""
    relative = []
    for gamma in (0, 10):
        training = train(RunSpec("hfs", {"gamma": gamma}, "dsprites_mini", "study_quick", steps=40), small, "fp32")
        assert training.history[-1]["loss"] < training.history[0]["loss"] / 2
        with torch.no_grad():
            codes = training.method.encode(training.networks, small.images(torch.arange(0, len(small), 6)))
        relative.append((support_distance(codes) / codes.var(0).sum()).item())
    assert relative[1] < relative[0] / 2
