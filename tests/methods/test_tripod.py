from copy import deepcopy
from math import exp, log, pi

import pytest
import torch
from torch import nn

from benchmark.spec import RunSpec
from benchmark.training.harness import train
from benchmark.training.pack import Alone, Stacked
from methods.base import Player, hyperparameters_of
from methods.betavae import BetaVAE
from methods.networks import ARCHITECTURES
from methods.tripod import Tripod, beyond, interference, quantised, split, total_correlation
from methods.vae import bernoulli_loss

SHAPE = (1, 4, 4)
PIXELS = 16


def _normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_codes_take_the_nearest_value_of_a_fixed_grid():
    grid = [-1 + 2 * k / 11 for k in range(12)]
    codes = _normal(50, 3).tanh()
    expected = [[min(grid, key=lambda value: abs(value - code)) for code in row] for row in codes.tolist()]
    torch.testing.assert_close(quantised(codes, 12), torch.tensor(expected, dtype=torch.float64))
    assert quantised(torch.tensor([-1.0, 1.0]), 12).tolist() == [-1, 1]


def test_the_gradient_passes_through_the_grid():
    codes = _normal(5, 3).requires_grad_()
    quantised(codes, 12).square().sum().backward()
    torch.testing.assert_close(codes.grad, 2 * quantised(codes.detach(), 12))


def _density(point, others, widths):
    """The mean over the others of a product of normal densities, one latent after the other."""
    total = 0.0
    for other in others:
        product = 1.0
        for a, b, width in zip(point, other, widths, strict=True):
            product *= exp(-0.5 * ((a - b) / width) ** 2) / (width * (2 * pi) ** 0.5)
        total += product
    return total / len(others)


def _naive_total_correlation(rows, silverman):
    count, latents = len(rows), len(rows[0])
    columns = list(zip(*rows, strict=True))
    means = [sum(column) / count for column in columns]
    deviations = [
        (sum((v - m) ** 2 for v in column) / (count - 1)) ** 0.5 for column, m in zip(columns, means, strict=True)
    ]
    joint = [s * (4 / (latents + 2) / count) ** (1 / (latents + 4)) for s in deviations]
    alone = [s * ((4 / 3 / count) ** 0.2 if silverman else 1) for s in deviations]
    total = 0.0
    for row in rows:
        marginals = (
            log(_density([v], [[o] for o in column], [w])) for v, column, w in zip(row, columns, alone, strict=True)
        )
        total += log(_density(row, rows, joint)) - sum(marginals)
    return total / count


@pytest.mark.parametrize("silverman", [True, False])
@pytest.mark.parametrize("latents", [1, 2, 4])
def test_total_correlation_is_that_of_kernel_estimates(latents, silverman):
    """The authors' marginals lack Silverman's factor, which makes them wider than the rule has them."""
    codes = _normal(9, latents) @ _normal(latents, latents, seed=1)
    expected = _naive_total_correlation(codes.tolist(), silverman)
    torch.testing.assert_close(total_correlation(codes, silverman).item(), expected)


def test_total_correlation_knows_no_scale_and_tells_dependence():
    codes = _normal(200, 3)
    tied = torch.stack([codes[:, 0], codes[:, 0] + 0.3 * codes[:, 1], codes[:, 2]], 1)
    assert total_correlation(tied) > total_correlation(codes) + 0.3
    torch.testing.assert_close(total_correlation(tied * torch.tensor([1.0, 50, 0.02])), total_correlation(tied))


def test_a_latent_that_never_moves_has_finite_gradients():
    codes = torch.cat([_normal(6, 2), torch.full((6, 1), 0.5, dtype=torch.float64)], 1).requires_grad_()
    (gradient,) = torch.autograd.grad(total_correlation(codes), codes)
    assert gradient.isfinite().all()
    assert gradient.abs().sum() > 0


def _quadratic(hessians):
    """Activations z' H z / 2 of symmetric matrices (A, D, D): second differences of them are exact."""
    return lambda codes: torch.einsum("bi,aij,bj->ba", codes, hessians, codes) / 2


def _interference(hessians, codes, directions, deviations=None, sizes=None):
    deviations = torch.ones(codes.shape[1], dtype=codes.dtype) if deviations is None else deviations
    activations_of = _quadratic(hessians)
    return interference(activations_of, codes, activations_of(codes), directions, deviations, sizes or [len(hessians)])


def test_interference_is_the_share_of_mixed_second_derivatives():
    hessians = _normal(3, 4, 4)
    hessians = hessians + hessians.mT
    codes = _normal(4000, 4)
    found = _interference(hessians, codes, _normal(4000, 2, 4, seed=1))
    every = {(i, j): sum(h[i][j] ** 2 for h in hessians.tolist()) for i in range(4) for j in range(4)}
    mixed = sum(value for (i, j), value in every.items() if i != j)
    assert found.item() == pytest.approx(mixed / sum(every.values()), rel=0.1)


def test_interference_by_hand_of_its_own_directions():
    hessians = _normal(3, 3, 3)
    hessians = hessians + hessians.mT
    codes, directions = _normal(5, 3), _normal(5, 2, 3, seed=1)
    deviations = torch.tensor([0.5, 1, 2], dtype=torch.float64)
    expected = 0.0
    for layer in (hessians[:1], hessians[1:]):
        sums = []
        for drawn in (directions.sign(), directions):
            curved = [[(deviations * v) @ h @ (deviations * v) for v in of_image] for h in layer for of_image in drawn]
            sums.append(sum((first - second) ** 2 / 2 for first, second in curved))  # the variances of two
        expected += sums[0] / sums[1]
    torch.testing.assert_close(_interference(hessians, codes, directions, deviations, (1, 2)), expected)


def test_interference_knows_no_scale_of_a_latent():
    """A decoder that undoes a change of a latent's scale interferes as before."""
    hessians = _normal(3, 4, 4)
    hessians = hessians + hessians.mT
    codes, directions = _normal(50, 4), _normal(50, 2, 4, seed=1)
    found = []
    for scale in (torch.ones(4, dtype=torch.float64), torch.tensor([1, 0.1, 1, 0.02], dtype=torch.float64)):
        scaled = codes * scale
        undone = hessians / (scale[:, None] * scale)
        found.append(_interference(undone, scaled, directions, scaled.std(0, correction=0)))
    torch.testing.assert_close(*found)


def test_latents_that_add_up_do_not_interfere_at_any_scale():
    given = _normal(50, 2), _normal(50, 2, 2, seed=1)
    alone, scaled = (_interference(h, *given) for h in (_diagonal(1.0), _diagonal(100.0)))
    assert alone < 1e-8
    assert scaled < 1e-8
    product = torch.tensor([[[0.0, 1], [1, 0]]], dtype=torch.float64)
    one, other = (_interference(s * product, *given) for s in (1, 100))
    torch.testing.assert_close(one, other)
    assert one > 0.1


def _diagonal(scale):
    return scale * torch.diag(torch.tensor([1.0, 2.0], dtype=torch.float64))[None]


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_a_split_decoder_is_the_decoder(architecture):
    torch.manual_seed(0)
    decoder = ARCHITECTURES[architecture].decoder(4, (3, 16, 16)).double()
    codes = _normal(2, 4)
    expected = decoder(codes)
    trunk, head = split(decoder.float(), 4)
    trunk, head = trunk.double(), head.double()
    activations = trunk(codes)
    torch.testing.assert_close(head(activations), expected)
    assert activations.shape[1] > torch.Size(head.shape).numel()


def test_activations_are_those_of_every_layer():
    layers = (
        nn.Linear(2, 3),
        nn.ReLU(inplace=True),
        nn.Linear(3, 4),
        nn.Tanh(),
        nn.Linear(4, 16),
        nn.Unflatten(1, SHAPE),
    )
    decoder = nn.Sequential(*layers).double()
    codes = _normal(5, 2)
    first = (codes @ layers[0].weight.T + layers[0].bias).clamp(min=0)
    second = (first @ layers[2].weight.T + layers[2].bias).tanh()
    trunk, _ = split(decoder.float(), 2)
    torch.testing.assert_close(trunk.double()(codes).float(), torch.cat([first, second], 1).float())


def test_the_loss_is_the_sum_of_its_parts(small_networks):
    torch.manual_seed(0)
    method = Tripod(SHAPE, factor_sizes=(3, 2))
    networks = {name: network.double() for name, network in method.build().items()}
    networks["encoder"][-1].weight.data *= 4  # of codes all over the grid
    images, noise = torch.rand(6, *SHAPE, dtype=torch.float64), {"directions": _normal(6, 2, 4)}
    h = hyperparameters_of(Tripod, {"independence": 0.5, "interference": 0.25})
    terms = method.loss(networks, images, noise, h, torch.tensor(0))
    codes = method.encode(networks, images)
    assert codes.shape == (6, 4)
    reconstruction = bernoulli_loss(networks["head"](networks["trunk"](codes)), images)
    torch.testing.assert_close(terms["reconstruction"], reconstruction)
    correlation = _naive_total_correlation(codes.tolist(), True)
    deviations = networks["encoder"](images).tanh().std(0, correction=0) + 1e-6
    activations = networks["trunk"](codes)
    assert sum(method.sizes) == activations.shape[1]
    mixed = interference(networks["trunk"], codes, activations, noise["directions"], deviations, method.sizes)
    outputs = networks["encoder"](images)
    excess = sum(max(abs(output) - 2, 0) ** 2 for output in outputs.flatten().tolist()) / len(images)
    torch.testing.assert_close(terms["loss"], reconstruction + PIXELS * (0.5 * correlation + 0.25 * mixed) + excess)


def test_a_latent_at_a_bound_is_led_back():
    """Where the hyperbolic tangent is flat, and its own gradient vanishes."""
    outputs = torch.tensor([[30.0, -30.0, 1.9, -1.9]], requires_grad=True)
    (gradient,) = torch.autograd.grad(beyond(outputs), outputs)
    assert gradient.tolist() == [[56.0, -56.0, 0.0, 0.0]]
    assert torch.autograd.grad(outputs.tanh().sum(), outputs)[0][0, :2].abs().max() < 1e-6


def test_both_penalties_reach_encoder_and_decoder(small_networks):
    torch.manual_seed(0)
    method = Tripod(SHAPE, factor_sizes=(3, 2))
    networks = {name: network.double() for name, network in method.build().items()}
    images, noise = torch.rand(6, *SHAPE, dtype=torch.float64), {"directions": _normal(6, 2, 4)}
    terms = method.loss(networks, images, noise, hyperparameters_of(Tripod, {}), torch.tensor(0))
    encoder, trunk = list(networks["encoder"].parameters()), list(networks["trunk"].parameters())
    for term, reached in (("total_correlation", encoder), ("interference", encoder + trunk)):
        gradients = torch.autograd.grad(terms[term], reached, retain_graph=True)
        assert all(gradient.isfinite().all() for gradient in gradients)
        assert sum(gradient.abs().sum() for gradient in gradients) > 0


@pytest.mark.parametrize("stacked", [False, True])
def test_second_differences_are_not_lost_in_half_precision(stacked):
    """In bf16, and with hyperbolic tangents, their gradient would be next to none of the true one."""
    trunk = torch.nn.ModuleDict({"trunk": split(nn.Sequential(nn.Linear(3, 32), nn.Tanh(), nn.Linear(32, 16)), 3)[0]})
    codes, directions = _normal(64, 3).tanh().float(), _normal(64, 2, 3, seed=1).float()
    losses = []

    def loss(networks, batch, noise, hyperparameters, step):
        called = networks["trunk"]
        return {"loss": interference(called, codes, called(codes), directions, codes.std(0), [32])}

    player = Player(("trunk",), loss)
    for precision in ("fp32", "bf16"):
        given = ([deepcopy(trunk)], [BetaVAE.Hyperparameters()]) if stacked else (deepcopy(trunk), None)
        engine = (Stacked if stacked else Alone)(*given, precision)
        losses.append(engine.losses(player, torch.zeros(1, 1), {}, torch.tensor(0))["loss"])
    torch.testing.assert_close(*losses)


def test_a_decoder_learns_not_to_let_latents_interfere():
    torch.manual_seed(0)
    trunk = split(nn.Sequential(nn.Linear(3, 32), nn.Tanh(), nn.Linear(32, 16)), 3)[0]
    optimiser = torch.optim.Adam(trunk.parameters(), lr=1e-2)
    shares = []
    for _ in range(150):
        codes, directions = 2 * torch.rand(64, 3) - 1, torch.randn(64, 2, 3)
        shares.append(interference(trunk, codes, trunk(codes), directions, codes.std(0), [32]))
        optimiser.zero_grad()
        shares[-1].backward()
        optimiser.step()
    assert sum(shares[-10:]) < sum(shares[:10]) / 2


def test_learns_with_twelve_values(bars, small_networks):
    """All latents in use: none ends at a bound of the hyperbolic tangent."""
    training = train(RunSpec("tripod", {}, "dsprites_mini", steps=250), bars, "fp32")
    assert training.history[-1]["reconstruction"] < training.history[0]["reconstruction"] / 3
    with torch.no_grad():
        codes = training.method.encode(training.networks, bars.images(torch.arange(64)))
    assert codes.shape == (64, 6)
    assert all(2 < len(latent.unique()) <= 12 for latent in codes.T)
    assert codes.std(0).min() > 0.5
