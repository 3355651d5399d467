from math import log

import numpy as np
import pytest
import torch
from scipy.stats import kstest
from torch.nn.functional import cross_entropy

from benchmark.spec import RunSpec
from benchmark.training.harness import train
from methods.base import hyperparameters_of
from methods.infogan import InfoGAN
from methods.infogan_cr import InfoGANCR, apart

SHAPE = (1, 4, 4)
STRUCTURE = {"continuous": 3, "categories": 2, "noise": 4}


def _normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _setup(batch=6, steps=20):
    torch.manual_seed(0)
    method = InfoGANCR(SHAPE, structure=STRUCTURE, steps=steps)
    method.references = 4
    networks = {name: network.double() for name, network in method.build().items()}
    noise = {name: _normal(*shape, seed=i) for i, (name, shape) in enumerate(method.noise_shapes(batch).items())}
    return method, networks, torch.rand(batch, *SHAPE, dtype=torch.float64), noise


@pytest.mark.parametrize("gap", [0.0, 0.7, 1.9])
def test_codes_apart_are_uniform_pairs_that_differ_enough(gap):
    one, other = (code.numpy() for code in apart(*(_normal(20_000, seed=i) for i in range(3)), gap))
    assert np.abs(one - other).min() >= gap - 1e-12
    assert max(np.abs(one).max(), np.abs(other).max()) <= 1
    generator = np.random.default_rng(0)
    drawn = generator.uniform(-1, 1, (2_000_000, 2))
    expected = drawn[np.abs(drawn[:, 0] - drawn[:, 1]) >= gap][:20_000]
    for own, theirs in ((one, expected[:, 0]), (other, expected[:, 1]), (one - other, expected[:, 0] - expected[:, 1])):
        assert kstest(own, theirs).pvalue > 1e-3


def test_the_gap_closes_over_half_the_training():
    method = InfoGANCR(SHAPE, structure=STRUCTURE, steps=20)
    gaps = [method.gap(torch.tensor(step)).item() for step in (0, 5, 10, 19)]
    assert gaps == pytest.approx([1.9, 0.95, 0, 0])


def test_pairs_share_one_code_and_the_noise(small_networks):
    method, networks, _, noise = _setup()
    made = []
    networks["generator"] = lambda inputs: made.append(inputs) or torch.zeros(len(inputs), *SHAPE, dtype=torch.float64)
    pairs, shared = method.pairs(networks, noise, torch.tensor(5))
    assert pairs.shape == (6, 2, 4, 4)
    assert shared.tolist() == [max(range(3), key=lambda j: row[j]) for row in noise["shared"].tolist()]
    one, other = made
    for first, second, code in zip(one.tolist(), other.tolist(), shared.tolist(), strict=True):
        for j in range(3):
            assert (first[j] == second[j]) if j == code else (abs(first[j] - second[j]) >= 0.95 - 1e-9)
    for inputs, drawn in ((one, "categories"), (other, "second_categories")):
        assert torch.equal(inputs[:, 3:5].argmax(1), noise[drawn].argmax(1))
        assert torch.equal(inputs[:, 5:], noise["noise"])
    assert not torch.equal(one[:, 3:5], other[:, 3:5])


def test_losses_are_infogans_and_the_classifiers(small_networks):
    method, networks, images, noise = _setup()
    settings = {"information": 0.3, "category_information": 2.0, **STRUCTURE}
    h = hyperparameters_of(InfoGANCR, {"contrast": 3, **settings})
    step = torch.tensor(5)
    terms = method.generator_loss(networks, images, noise, h, step)
    plain = InfoGAN(SHAPE, structure=STRUCTURE)
    theirs = plain.generator_loss(networks, images, noise, hyperparameters_of(InfoGAN, settings), step)
    pairs, shared = method.pairs(networks, noise, step)
    logits = networks["contrast"](pairs)
    unlike = -sum(row.log_softmax(0)[code] for row, code in zip(logits, shared, strict=True)) / 6
    torch.testing.assert_close(terms["loss"], theirs["loss"] + 3 * unlike)
    loss = method.contrast_loss(networks, images, noise, h, step)["loss"]
    torch.testing.assert_close(loss, cross_entropy(logits, shared))


def test_the_classifiers_loss_moves_it_alone_and_the_generators_passes_through_it(small_networks):
    method, networks, images, noise = _setup()
    h, step = hyperparameters_of(InfoGANCR, STRUCTURE), torch.tensor(0)
    loss = method.contrast_loss(networks, images, noise, h, step)["loss"]
    generator = list(networks["generator"].parameters())
    assert set(torch.autograd.grad(loss, generator, allow_unused=True, retain_graph=True)) == {None}
    assert all(g.abs().sum() > 0 for g in torch.autograd.grad(loss, list(networks["contrast"].parameters())))
    unlike = method.generator_loss(networks, images, noise, h, step)["contrast"]
    assert all(g.abs().sum() > 0 for g in torch.autograd.grad(unlike, generator, allow_unused=True) if g is not None)
    assert method.players()["contrast"].networks == ("contrast",)
    assert "contrast" not in method.players()["generator"].networks


def test_learns_to_tell_the_shared_code(small, small_networks, monkeypatch):
    monkeypatch.setattr(InfoGANCR, "references", 8)
    settings = {"continuous": 3, "categories": 2, "noise": 4}
    training = train(RunSpec("infogan_cr", settings, "dsprites_mini", steps=150), small, "fp32")
    told = [row["contrast_loss"] for row in training.history]
    assert np.mean(told[-20:]) < log(3) - 0.04
    assert training.history[-1]["continuous_surprise"] < training.history[0]["continuous_surprise"]
