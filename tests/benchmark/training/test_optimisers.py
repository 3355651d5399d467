"""Every optimiser of torch goes on from a checkpoint to the bit and packs as alone, or is refused in a sentence."""

import inspect
from dataclasses import replace

import pytest
import torch
from torch import nn

import methods
from benchmark import presets
from benchmark.errors import UsageError
from benchmark.spec import RunSpec
from benchmark.training.checkpoint import Checkpoint
from benchmark.training.harness import Training, train_pack
from benchmark.training.optimisers import ELEMENTWISE, REFUSED, Descent, find_optimiser
from methods.base import Optimiser
from methods.vae import VAE

OPTIMISERS = sorted(
    name
    for name, kind in vars(torch.optim).items()
    if inspect.isclass(kind) and issubclass(kind, torch.optim.Optimizer) and kind is not torch.optim.Optimizer
)
# With the options that add to an optimiser's state, or change how it is computed.
VARIANTS = [
    *((name, {}) for name in OPTIMISERS if name not in REFUSED),
    ("ASGD", {"t0": 1}),
    ("Adagrad", {"initial_accumulator_value": 0.1, "lr_decay": 0.5}),
    ("Adam", {"amsgrad": True, "weight_decay": 0.1}),
    ("NAdam", {"decoupled_weight_decay": True, "weight_decay": 0.1}),
    ("RMSprop", {"momentum": 0.9, "centered": True}),
    ("SGD", {"momentum": 0.9, "nesterov": True}),
    ("SGD", {"momentum": 0.9, "dampening": 0.5, "maximize": True}),
]


class Scaled(nn.Module):
    """A parameter without axes beside the matrices, for those optimisers that take it."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.5))

    def forward(self, values):
        return values * self.scale


class TinyVAE(VAE):
    """Two matrices, with a vector and a scalar unless they are all that there is to be."""

    name = "tiny"
    matrices = False

    def build(self):
        more = [] if self.matrices else [Scaled()]
        encoder = nn.Sequential(nn.AvgPool2d(16), nn.Flatten(), nn.Linear(16, 20, bias=not self.matrices), *more)
        decoder = nn.Sequential(nn.Linear(10, 4096, bias=False), nn.Unflatten(1, (1, 64, 64)))
        return {"encoder": encoder, "decoder": decoder}


@pytest.fixture
def prepare(monkeypatch):
    """Makes runs of a tiny method under an optimiser."""
    monkeypatch.setitem(methods.REGISTRY, "tiny", TinyVAE)

    def specs(name, options, runs=1, lr=1e-3):
        monkeypatch.setattr(TinyVAE, "matrices", name == "Muon")
        protocol = replace(presets.PRESETS["quick"], batch=4, optimiser=Optimiser(name, lr, options))
        monkeypatch.setitem(presets.PRESETS, "tiny", protocol)
        return [RunSpec("tiny", dataset="dsprites_mini", preset="tiny", seed=seed, steps=4) for seed in range(runs)]

    return specs


def _stored(specs, mini, precision, at):
    """The runs trained to their end, and their checkpoints after so many steps."""
    stored = []

    def save(step, checkpoints):
        if step == at:
            stored.extend(Checkpoint.from_bytes(one.to_bytes()) for one in checkpoints())

    return train_pack(specs, mini, precision, save=save), stored


def _weights(training):
    assert isinstance(training, Training)
    return torch.cat([value.flatten() for value in training.networks.state_dict().values()])


@pytest.mark.parametrize(("name", "options"), VARIANTS)
@pytest.mark.parametrize("runs", [1, 2])
def test_goes_on_from_a_checkpoint_to_the_bit(name, options, runs, prepare, mini):
    specs = prepare(name, options, runs)
    for at in (1, 3):
        unbroken, stored = _stored(specs, mini, "fp32", at)
        for ours, theirs in zip(train_pack(specs, mini, "fp32", resume=stored), unbroken, strict=True):
            assert torch.equal(_weights(ours), _weights(theirs))
            assert ours.history == theirs.history


@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_two_in_a_pack_are_two_alone(name, options, prepare, mini):
    specs = prepare(name, options, 2)
    together, stored = _stored(specs, mini, "fp64", 2)
    for ours, checkpoint, spec in zip(together, stored, specs, strict=True):
        (theirs,) = train_pack([spec], mini, "fp64")
        torch.testing.assert_close(_weights(ours), _weights(theirs), rtol=1e-9, atol=1e-11)
        (resumed,) = train_pack([spec], mini, "fp64", resume=[checkpoint])
        torch.testing.assert_close(_weights(resumed), _weights(theirs), rtol=1e-9, atol=1e-11)


def test_what_couples_elements_is_told_apart():
    """The list is complete: a step of each run of a stack is that run's own for the listed, and for no other."""
    for name in {*OPTIMISERS} - {*REFUSED}:
        torch.manual_seed(0)
        stack = torch.randn(2, 3, 4)
        gradient = torch.randn(2, 3, 4)
        alone = stack[0].clone()
        kind = getattr(torch.optim, name)
        if name == "Muon":
            continue  # takes no stack at all
        for parameter, own in ((stack, gradient), (alone, gradient[0])):
            parameter.grad = own
            kind([parameter], lr=0.1).step()
        assert torch.allclose(stack[0], alone, atol=1e-7) == (name in ELEMENTWISE), name


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_refused_before_training(name, prepare, mini):
    with pytest.raises(UsageError, match=rf"^the optimiser {name} cannot be used: .*\.$"):
        train_pack(prepare(name, {}), mini)


def test_muon_is_refused_where_a_parameter_is_no_matrix(prepare, mini, monkeypatch):
    specs = prepare("Muon", {})
    monkeypatch.setattr(TinyVAE, "matrices", False)
    with pytest.raises(UsageError, match=r"^the optimiser Muon cannot be used: .*2D"):
        train_pack(specs, mini)


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        (Optimiser("adagrad", 1e-2), "unknown optimiser 'adagrad'; did you mean 'Adagrad'?"),
        (Optimiser("AdamV", 1e-2), "unknown optimiser 'AdamV'; did you mean 'Adam"),
        (Optimiser("Optimizer", 1e-2), "unknown optimiser 'Optimizer'; choose from ASGD, Adadelta"),
        (Optimiser("Adam", 1e-2, {"beta": (0.5, 0.9)}), "unknown option of Adam 'beta'; did you mean 'betas'?"),
        (Optimiser("SGD", 1e-2, {"fused": True}), "unknown option of SGD 'fused'; choose from dampening, maximize"),
        (Optimiser("SGD", 1e-2, {"lr": 1}), "unknown option of SGD 'lr'; "),
    ],
)
def test_what_is_misspelt_is_told_with_the_nearest(chosen, message):
    with pytest.raises(UsageError) as error:
        find_optimiser(chosen)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(("lr", "options"), [(-1, {}), ("fast", {}), (1e-3, {"betas": (2, 0.9)}), (1e-3, {"eps": "x"})])
def test_values_that_torch_refuses_are_told(lr, options, prepare, mini):
    with pytest.raises(UsageError, match=r"^the optimiser Adam cannot be used: .*\.$"):
        train_pack(prepare("Adam", options, lr=lr), mini)


def test_a_counter_on_the_processor_is_not_replayed():
    """A recorded step repeats its numbers: one whose size a counter decides is recorded only where the GPU counts."""

    def replayable(name, **options):
        return Descent(Optimiser(name, 1e-2, options), [torch.zeros(2, 2)], stacked=False).replayable

    assert all(replayable(name) for name in ELEMENTWISE | {"Muon"})
    assert replayable("Adagrad", lr_decay=0.1)  # one kernel, which reads the counter where it is
    assert not replayable("Adafactor")
