"""The beta-VAE paper's protocol trains every method, healthy ones as if it guarded against nothing."""

from dataclasses import replace

import pytest
import torch
from torch import nn

import methods
from benchmark import presets
from benchmark.spec import RunSpec
from benchmark.training.draws import Draws
from benchmark.training.harness import build, train
from methods import networks
from methods.betavae import BetaVAE
from methods.vae import VAE, bounded

pytestmark = pytest.mark.whole

TRAINED = [name for name, cls in sorted(methods.REGISTRY.items()) if cls((1, 64, 64)).players()]
LEAST, GREATEST = networks.HIGGINS_LOG_VARIANCES


@pytest.fixture(autouse=True)
def _smaller_batches(monkeypatch):
    monkeypatch.setitem(presets.PRESETS, "higgins", replace(presets.PRESETS["higgins2017"], batch=8))


def _spec(name, seed=0, steps=5):
    return RunSpec(name, dataset="dsprites_mini", preset="higgins", seed=seed, steps=steps)


@pytest.mark.parametrize(
    ("name", "seed"),
    [*((name, 0) for name in TRAINED), *((name, 1) for name in ("annealedvae", "betatcvae", "dipvae_ii"))],
)
def test_every_method_survives_the_first_steps(name, seed, mini):
    """Steps 2 and 3 are the worst: Adagrad's first ones move each weight by nearly the whole rate."""
    history = train(_spec(name, seed), mini, "fp32").history
    assert len(history) == 5
    assert max(abs(row["loss"]) for row in history) < 1e12  # a squared gradient is to fit into float32


class Leaping(nn.Module):
    """Outputs far outside any trained encoder's, of both signs, that follow a parameter."""

    def __init__(self, outputs):
        super().__init__()
        self.values = nn.Parameter(torch.linspace(-1, 1, outputs))

    def forward(self, images):
        return 200 * self.values * torch.linspace(0.5, 1, len(images))[:, None]


@pytest.mark.parametrize("name", [name for name in TRAINED if issubclass(methods.REGISTRY[name], VAE)])
def test_no_log_variance_makes_a_loss_infinite(name, mini):
    method, built = build(_spec(name), mini)
    built["encoder"] = Leaping(2 * method.latents)
    generators = [torch.Generator()]
    indices, noises = Draws(method, generators, generators, mini, 8, torch.float32).of_step(0)
    for player_name, player in method.players().items():
        noise = {key: drawn[0] for key, drawn in noises[player_name].items()}
        parameters = [value for network in player.networks for value in built[network].parameters()]
        terms = player.loss(dict(built), mini.images(indices[0]), noise, method.Hyperparameters(), torch.tensor(0))
        loss = terms["loss"]
        assert loss.isfinite()
        assert all(gradient.isfinite().all() for gradient in torch.autograd.grad(loss, parameters))


def test_bounds_cut_values_and_let_gradients_through():
    values = torch.tensor([-200.0, LEAST, -1.23456, 0.0, GREATEST, 200.0], requires_grad=True)
    cut = bounded(values, LEAST, GREATEST)
    assert cut.tolist() == [LEAST, LEAST, values[2].item(), 0, GREATEST, GREATEST]
    (gradient,) = torch.autograd.grad(cut.square().sum(), values)
    assert torch.equal(gradient, 2 * cut)


def test_a_run_within_the_bounds_does_not_know_them(mini, monkeypatch):
    protocol = presets.PRESETS["higgins"]
    gentle = replace(protocol, optimiser=replace(protocol.optimiser, lr=1e-3))  # so that none is reached
    monkeypatch.setitem(presets.PRESETS, "higgins", gentle)
    bound = train(_spec("betavae", steps=4), mini, "fp32")
    architecture = networks.ARCHITECTURES["higgins2017"]
    monkeypatch.setitem(networks.ARCHITECTURES, "higgins2017", replace(architecture, log_variances=None))
    free = train(_spec("betavae", steps=4), mini, "fp32")
    assert bound.history == free.history
    for name, value in free.networks.state_dict().items():
        assert torch.equal(bound.networks.state_dict()[name], value), name


def test_other_architectures_have_no_bounds():
    method = BetaVAE((1, 64, 64))
    outputs = torch.linspace(-200, 200, 40).view(2, 20)
    assert torch.equal(torch.cat(method.posteriors({"encoder": lambda images: outputs}, outputs), 1), outputs)
