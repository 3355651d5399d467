"""Runs trained together are the runs alone: equal draws, and losses that differ by rounding only."""

import pytest
import torch
from torch import nn

from benchmark.spec import RunSpec
from benchmark.training import harness
from benchmark.training.draws import CHUNK
from benchmark.training.harness import DivergenceError, build, train, train_pack
from benchmark.training.layers import use_products
from benchmark.training.pack import Stacked
from methods.betavae import BetaVAE

STEPS = 5
RUNS = {
    "betavae": [("beta", beta, seed) for beta, seed in ((1, 0), (4, 0), (4, 1), (16, 2), (0.5, 3))],
    "factorvae": [("gamma", gamma, seed) for gamma, seed in ((10, 0), (35, 0), (35, 1))],
}


def _specs(method, steps=STEPS):
    return [RunSpec(method, {name: value}, "dsprites_mini", "small", s, steps) for name, value, s in RUNS[method]]


def _weights(training):
    return torch.cat([weights.flatten() for weights in training.networks.state_dict().values()])


@pytest.fixture(scope="module", params=RUNS)
def alone(request, mini):
    return request.param, [train(spec, mini, "fp64") for spec in _specs(request.param)]


def _assert_equal(pack, alone, tolerance):
    for ours, theirs in zip(pack, alone, strict=False):
        assert len(ours.history) == STEPS
        for row, expected in zip(ours.history, theirs.history, strict=True):
            assert row == pytest.approx(expected, rel=tolerance, abs=1e-13)
        torch.testing.assert_close(_weights(ours), _weights(theirs), rtol=tolerance, atol=1e-11)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_a_run_in_a_pack_is_that_run_alone(alone, size, mini, monkeypatch):
    method, trained = alone
    monkeypatch.setattr(
        harness, "Alone", lambda networks, hyperparameters, precision: Stacked([networks], [hyperparameters], precision)
    )
    _assert_equal(train_pack(_specs(method)[:size], mini, "fp64"), trained, 1e-9)


def test_unfolded_convolutions_are_convolutions(alone, mini):
    method, trained = alone
    _assert_equal(train_pack(_specs(method)[:2], mini, "fp64", products="unfolded"), trained, 1e-9)


def test_layers_are_put_back_as_they_were():
    network = nn.Sequential(nn.Conv2d(2, 3, 3, stride=2, padding=1), nn.ConvTranspose2d(3, 2, 4, stride=2, padding=1))
    images = torch.randn(2, 2, 9, 9)
    expected = network(images)
    use_products(network, "unfolded")
    assert all("forward" in vars(layer) for layer in network)
    torch.testing.assert_close(network(images), expected)
    use_products(network, None)
    assert not any("forward" in vars(layer) for layer in network)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("channels", "extra"), [(1, 0), (3, 0), (1, 1), (3, 1)])
def test_transposed_convolutions_alone_are_the_librarys(channels, extra, dtype):
    """Strides and paddings that differ along the axes, also where some pixels are reached by no output."""
    layer = nn.ConvTranspose2d(5, channels, (4, 3), (2, 3), (1, 0), (extra, 2 * extra)).to(dtype)
    images = torch.randn(2, 5, 6, 4, dtype=dtype, requires_grad=True)
    given = [images, *layer.parameters()]
    outputs = [layer(images)]
    use_products(layer, "alone")
    outputs.append(layer(images))
    torch.testing.assert_close(outputs[1], outputs[0])
    weights = torch.randn_like(outputs[0])
    of_library, own = (torch.autograd.grad(each, given, weights, create_graph=True) for each in outputs)
    # The bias's is a sum of hundreds, of which float32 has rounded off 1.5e-5.
    close = {"rtol": 1.3e-6, "atol": 5e-5} if dtype == torch.float32 else {}
    torch.testing.assert_close(own, of_library, **close)
    second = [torch.autograd.grad(sum((each**2).sum() for each in first), given[:2]) for first in (of_library, own)]
    torch.testing.assert_close(second[1], second[0])


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_reduced_precision_agrees_roughly(precision, mini):
    specs = _specs("betavae")[:2]
    for ours, spec in zip(train_pack(specs, mini, precision), specs, strict=True):
        theirs = train(spec, mini, precision)
        assert ours.history[-1]["loss"] == pytest.approx(theirs.history[-1]["loss"], rel=0.05)
        assert ours.precision == precision
        assert ours.pack == 2


class _Diverging(BetaVAE):
    """Runs with a beta above 10 give nan from step 3 on."""

    def regulariser(self, networks, latents, hyperparameters, step):
        broken = (torch.as_tensor(hyperparameters.beta) > 10) & (step >= 2)
        return super().regulariser(networks, latents, hyperparameters, step) + torch.where(broken, torch.nan, 0.0)


def test_a_run_that_diverges_does_not_disturb_its_neighbours(mini, monkeypatch):
    specs = _specs("betavae")[1:4]
    healthy = [train(spec, mini, "fp64") for spec in specs[:2]]
    monkeypatch.setattr(RunSpec, "method_class", _Diverging)
    outcomes = train_pack(specs, mini, "fp64")
    assert isinstance(outcomes[2], DivergenceError)
    assert "step 3" in str(outcomes[2])
    _assert_equal(outcomes[:2], healthy, 1e-9)


def test_a_pack_of_diverged_runs_ends_early(mini, monkeypatch):
    monkeypatch.setattr(RunSpec, "method_class", _Diverging)
    seen = []
    spec = RunSpec("betavae", {"beta": 16}, "dsprites_mini", "small", steps=200)
    outcomes = train_pack([spec], mini, "fp32", lambda step, losses: seen.append(step))
    assert isinstance(outcomes[0], DivergenceError)
    assert seen == [20]


def test_draws_go_on_from_chunk_to_chunk(mini):
    """A longer training starts as a shorter one does, whatever the chunk they are drawn in."""
    short, long = (train(RunSpec("vae", dataset="dsprites_mini", preset="small", steps=n), mini) for n in (66, 70))
    assert CHUNK == 64
    assert long.history[65] == short.history[65]
    batches = [row["reconstruction"] for row in long.history]
    assert len(set(batches)) == len(batches)


def test_a_discriminator_does_not_reach_the_encoder(mini):
    spec = _specs("factorvae")[0]
    method, networks = build(spec, mini)
    noise = {name: torch.randn(shape) for name, shape in method.noise_shapes(4).items()}
    terms = method.discriminator_loss(dict(networks), mini.images(range(8)), noise, None, torch.tensor(0))
    terms["loss"].backward()
    assert all(weights.grad is None for weights in networks["encoder"].parameters())
    assert all(weights.grad is not None for weights in networks["discriminator"].parameters())
