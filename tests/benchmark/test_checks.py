"""Each check fails a method that is broken in its way, and fails nothing else of it."""

import re
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import nn

import methods
from benchmark import checks, presets
from benchmark.attempts import Result
from benchmark.checks import CHECKS, check_method
from methods.base import Method, NoHyperparameters, Optimiser, Player, hyperparameter
from methods.betavae import BetaVAE
from methods.vae import VAE


class Tiny(VAE):
    """A sound method with linear networks. Reference: none."""

    name = "tiny"

    def __init__(self, *given, **named):
        super().__init__(*given, **named)
        self.latents = 4

    def build(self):
        return {
            "encoder": nn.Sequential(nn.Flatten(), nn.Linear(4096, 8)),
            "decoder": nn.Sequential(nn.Linear(4, 4096), nn.Unflatten(1, (1, 64, 64))),
        }


class Undocumented(Tiny):
    pass


class NoReference(Tiny):
    """Does something."""


class Thawed(Tiny):
    """Its hyperparameters may change. Reference: none."""

    @dataclass
    class Hyperparameters:
        weight: float = hyperparameter(1.0, "a weight")

    def regulariser(self, networks, latents, hyperparameters, step):
        return hyperparameters.weight * latents.kl


class Meaningless(Thawed):
    """A hyperparameter says nothing. Reference: none."""

    @dataclass(frozen=True)
    class Hyperparameters:
        weight: float = 1.0


class ManyStarts(Tiny):
    """Weights from a generator of its own. Reference: none."""

    def build(self):
        networks = super().build()
        generator = np.random.default_rng()
        networks["encoder"][1].bias.data = torch.tensor(generator.normal(size=8), dtype=torch.float32) / 100
        return networks


class Idle(Tiny):
    """A network that nobody moves. Reference: none."""

    def build(self):
        return super().build() | {"idle": nn.Linear(1, 1)}


class Unknown(Tiny):
    """A player of a network that is not there. Reference: none."""

    def players(self):
        return {"model": Player(("encoder", "decoder", "ghost"), self.loss)}


class Misspelt(Tiny):
    """An optimiser that there is not. Reference: none."""

    def players(self):
        return {"model": Player(("encoder", "decoder"), self.loss, Optimiser("Adan", 1e-3))}


class Vector(Tiny):
    """A loss for each image. Reference: none."""

    def regulariser(self, networks, latents, hyperparameters, step):
        return latents.mean.square().sum(1)


class Infinite(Tiny):
    """A loss beyond all bounds. Reference: none."""

    def regulariser(self, networks, latents, hyperparameters, step):
        return latents.kl / 0


class Raising(Tiny):
    """A loss that breaks. Reference: none."""

    def regulariser(self, networks, latents, hyperparameters, step):
        raise RuntimeError("no luck\nat all")


class Unreached(Tiny):
    """A network of the player that its loss does not use. Reference: none."""

    def build(self):
        return super().build() | {"spare": nn.Linear(1, 1)}

    def players(self):
        return {"model": Player(("encoder", "decoder", "spare"), self.loss)}


class Sharing(Tiny):
    """Two players' networks are one. Reference: none."""

    def build(self):
        networks = super().build()
        return networks | {"copy": networks["encoder"]}

    def players(self):
        return super().players() | {"second": Player(("copy",), self.second_loss)}

    def second_loss(self, networks, batch, noise, hyperparameters, step):
        return {"loss": networks["copy"](batch).square().mean()}


class Summed(Tiny):
    """Sums over the batch. Reference: none."""

    def loss(self, networks, batch, noise, hyperparameters, step):
        terms = super().loss(networks, batch, noise, hyperparameters, step)
        return terms | {"loss": len(batch) * terms["loss"]}


class SummedBeside(Tiny):
    """Sums its regulariser over the batch, beside a reconstruction that hides it. Reference: none."""

    def regulariser(self, networks, latents, hyperparameters, step):
        return latents.kl + latents.mean.abs().sum()


class Looking(Tiny):
    """Decides by the step. Reference: none."""

    def regulariser(self, networks, latents, hyperparameters, step):
        return latents.kl * (0.1 if (step + 1) / 2 < 100 else 1.0)


class Drawing(Tiny):
    """Draws its own noise. Reference: none."""

    def infer(self, networks, batch, noise):
        return super().infer(networks, batch, {"posterior": torch.randn(len(batch), 4, dtype=batch.dtype)})


class Numbering(Tiny):
    """Draws from numpy's generator. Reference: none."""

    def regulariser(self, networks, latents, hyperparameters, step):
        np.random.rand()  # noqa: NPY002
        return latents.kl


class Counting(Tiny):
    """Remembers how often it is called. Reference: none."""

    calls = 0

    def regulariser(self, networks, latents, hyperparameters, step):
        type(self).calls += 1
        return latents.kl + self.calls * 1e-3


class Scribbling(Tiny):
    """Writes into the batch. Reference: none."""

    def infer(self, networks, batch, noise):
        latents = super().infer(networks, batch.clone(), noise)
        batch.mul_(0.999)
        return latents


class NoisyInPlace(Tiny):
    """Writes into the noise. Reference: none."""

    def infer(self, networks, batch, noise):
        latents = super().infer(networks, batch, {"posterior": noise["posterior"].clone()})
        noise["posterior"].mul_(0.999)
        return latents


class Misshapen(Tiny):
    """Codes of three dimensions. Reference: none."""

    def encode(self, networks, images):
        return super().encode(networks, images)[:, :, None]


class Misgrouped(Tiny):
    """Groups that leave a column out. Reference: none."""

    def groups(self):
        return ((0, 1), (3,))


class Sampling(Tiny):
    """Codes drawn at random. Reference: none."""

    def encode(self, networks, images):
        mean, log_variance = networks["encoder"](images).chunk(2, 1)
        return mean + torch.randn_like(mean[:1]) * (log_variance[:1] / 2).exp().mean()


class Batchwise(Tiny):
    """Codes that depend on the batch. Reference: none."""

    def encode(self, networks, images):
        codes = super().encode(networks, images)
        return codes - codes.mean(0)


class Logits(Tiny):
    """Decodes to logits. Reference: none."""

    def decode(self, networks, codes):
        return networks["decoder"](codes) - 1


class Forgetful(Tiny):
    """Keeps what it learns where it is not stored. Reference: none."""

    def build(self):
        networks = super().build()
        networks["encoder"] = nn.Sequential(networks["encoder"], Scale())
        return networks


class Scale(nn.Module):
    """A number that is no buffer, set by the weights that it was built with."""

    def __init__(self):
        super().__init__()
        self.factor = 1 + torch.rand(()).item()

    def forward(self, inputs):
        return inputs * self.factor


class Idleness(Tiny):
    """A hyperparameter that does nothing. Reference: none."""

    @dataclass(frozen=True)
    class Hyperparameters:
        weight: float = hyperparameter(1.0, "a weight")


class Deciding(Tiny):
    """Decides by a number, which in a pack is a tensor. Reference: none."""

    @dataclass(frozen=True)
    class Hyperparameters:
        weight: float = hyperparameter(1.0, "a weight")

    def regulariser(self, networks, latents, hyperparameters, step):
        return latents.kl * (hyperparameters.weight if hyperparameters.weight > 0.5 else 0)


class Age(nn.Module):
    """A number that stands in no checkpoint: how often it was called."""

    calls = 0

    def forward(self, values):
        self.calls += 1
        return values + self.calls


class Ageing(Tiny):
    """Changes its loss as it grows older. Reference: none."""

    def build(self):
        return super().build() | {"age": Age()}

    def regulariser(self, networks, latents, hyperparameters, step):
        age = networks["age"](torch.zeros_like(latents.kl))
        return latents.kl * torch.where(step > 0, age, 1)


class Climbing(Tiny):
    """Maximises. Reference: none."""

    def loss(self, networks, batch, noise, hyperparameters, step):
        terms = super().loss(networks, batch, noise, hyperparameters, step)
        ascent = terms["loss"].detach() * 2 - terms["loss"]  # the value of the loss, and minus its gradient
        return terms | {"loss": ascent}


class Misnamed(Tiny):
    """What it reports has a metric's name. Reference: none."""

    def report(self, networks, hyperparameters):
        return {"mig": 0.5}


class Endless(Tiny):
    """What it measures is infinite. Reference: none."""

    def measure(self, networks, images, noise):
        return {"price": images.mean().log() * torch.inf}


BROKEN = {
    Undocumented: "documented",
    NoReference: "documented",
    Thawed: "hyperparameters",
    Meaningless: "hyperparameters",
    ManyStarts: "initial_weights",
    Idle: "players",
    Unknown: "players",
    Misspelt: "players",
    Vector: "loss",
    Infinite: "loss",
    Raising: "loss",
    Unreached: "gradients",
    Sharing: "gradients",
    Summed: "mean_over_batch",
    SummedBeside: "mean_over_batch",
    Drawing: "global_random_state",
    Numbering: "global_random_state",
    Counting: "pure",
    Looking: "step_unread",
    Scribbling: "inputs",
    NoisyInPlace: "inputs",
    Misshapen: "encode",
    Misgrouped: "encode",
    Sampling: "encode_deterministic",
    Batchwise: "encode_one_by_one",
    Logits: "decode",
    Misnamed: "measures",
    Endless: "measures",
    Forgetful: "state_round_trip",
    Idleness: "hyperparameters_matter",
    Deciding: "trains_in_a_pack",
    Ageing: "resumes",
    Climbing: "overfits",
}


def _failed(cls):
    return {result.check: result.reason for result in check_method(cls) if result.state == "failed"}


def test_a_sound_method_passes():
    results = {result.check: result for result in check_method(Tiny)}
    assert list(results) == [check.__name__ for check in CHECKS]
    assert results.pop("hyperparameters_matter").reason == "it has none"
    assert {result.state for result in results.values()} == {"passed"}


@pytest.mark.parametrize("cls", BROKEN, ids=lambda cls: cls.__name__)
def test_a_broken_method_fails_its_check_alone(cls):
    failed = _failed(cls)
    assert list(failed) == [BROKEN[cls]], failed
    assert failed[BROKEN[cls]]
    assert "\n" not in failed[BROKEN[cls]]


def test_every_check_is_proved():
    assert {check.__name__ for check in CHECKS} == set(BROKEN.values())


@pytest.fixture
def pretended(monkeypatch):
    """A GPU that is this CPU, and on which the checks of one are made."""
    monkeypatch.setattr(checks, "CHECKS", checks.ON_GPU)


def _recorded(cls):
    return next(result for result in check_method(cls) if result.check == "recorded")


def test_on_a_gpu_a_recorded_step_is_tried_besides(pretended):
    assert [*checks.ON_GPU] == [*CHECKS, checks.recorded]
    assert _recorded(Tiny) == Result("recorded", "passed")
    assert _recorded(ClosedForm) == Result("recorded", "skipped", "it has no players")
    assert _recorded(Deciding) == Result("recorded", "skipped", "as trains_in_a_pack failed")


def _but_for(monkeypatch, **changes):
    """Packs of two that end otherwise than they should."""
    train = checks.train_pack

    def otherwise(specs, *given, **named):
        trained = train(specs, *given, **named)
        recorded = len(specs) == 2 and specs[0].steps == checks.RECORDED_STEPS
        return [replace(each, **changes) for each in trained] if recorded else trained

    monkeypatch.setattr(checks, "train_pack", otherwise)


def test_a_step_that_cannot_be_recorded_is_told(pretended, monkeypatch):
    _but_for(monkeypatch, note="its steps were not recorded as a CUDA graph: why")
    assert _recorded(Tiny) == Result("recorded", "failed", "its steps were not recorded as a CUDA graph: why")
    monkeypatch.setattr("benchmark.training.capture._failed", ["why"])
    assert _recorded(Tiny).state == "skipped"


def test_a_recorded_step_that_is_another_is_told(pretended, monkeypatch):
    _but_for(monkeypatch, networks=nn.ModuleDict(Tiny((1, 64, 64)).build()))
    assert re.fullmatch(
        "recorded, losses differ by .+ and weights by .+ of the way that they went, in fp32", _recorded(Tiny).reason
    )


class Normalising(Tiny):
    """Batch normalisation, which in a trained model looks at no batch. Reference: Ioffe and Szegedy 2015."""

    def build(self):
        networks = super().build()
        networks["encoder"] = nn.Sequential(networks["encoder"], nn.BatchNorm1d(8))
        networks["decoder"] = nn.Sequential(
            nn.Linear(4, 16), nn.BatchNorm1d(16), nn.Linear(16, 4096), nn.Unflatten(1, (1, 64, 64))
        )
        return networks


def test_batch_normalisation_passes():
    assert _failed(Normalising) == {}


class DroppingOut(Tiny):
    """Drops out, by torch's global generator. Reference: Srivastava et al. 2014."""

    def build(self):
        networks = super().build()
        return networks | {"encoder": nn.Sequential(networks["encoder"], nn.Dropout(0.5))}


def test_dropout_is_told_for_its_random_numbers_and_not_for_its_codes():
    """A trained model drops nothing out; in training the global generator would decide what a seed gives."""
    assert list(_failed(DroppingOut)) == ["global_random_state"]


class ClosedForm(Method):
    """Brightness. Reference: none."""

    Hyperparameters = NoHyperparameters

    def build(self):
        return {}

    def fit(self, networks, images, seed):
        pass

    def encode(self, networks, images):
        return images.flatten(1)[:, :2] + images.mean((1, 2, 3))[:, None]


def test_a_method_without_players_skips_what_needs_them():
    states = {result.check: result for result in check_method(ClosedForm)}
    assert not [result for result in states.values() if result.state == "failed"]
    assert states["overfits"].reason == "it has no players"
    assert states["decode"].reason == "it does not decode"
    assert states["encode"].state == "passed"


def test_nothing_is_left_behind():
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    attributes = dict(vars(ClosedForm))
    check_method(ClosedForm)
    assert "closedform" not in methods.REGISTRY
    assert not {"check"} & set(presets.PRESETS)
    assert dict(vars(ClosedForm)) == attributes
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()  # noqa: NPY002


def test_a_registered_method_stays_registered():
    check_method(BetaVAE)
    assert methods.REGISTRY["betavae"] is BetaVAE
    assert BetaVAE.name == "betavae"
