"""Steps followed on the `meta` device: none does what a recorded step on a GPU must not; what each moves is bounded."""

import pytest
import torch

import methods
from benchmark.spec import RunSpec
from methods.vae import VAE
from tests.benchmarks.steps import trained_methods
from tests.tracing import META, Trace, follow, fused_anywhere, loop_of

PRESETS = ("quick", "study_quick", "higgins2017")
GIGABYTES = {"betavae": 14.1, "factorvae": 32, "infogan": 55.5, "adagvae": 28.5}  # of a step of 64 runs


def _pack(method, preset, runs, data):
    specs = [RunSpec(method, {}, "dsprites_mini", preset, seed=seed) for seed in range(runs)]
    with fused_anywhere():
        return loop_of(specs, data)


def _resume(loop):
    """Optimiser states as a checkpoint has them, on the CPU."""
    for turn in loop.turns.values():
        turn.descent.step([torch.zeros_like(value) for value in turn.descent.parameters])
        states = [turn.descent.tensors(run) for run in range(len(loop.methods))]
        turn.descent.restore([{name: torch.zeros(value.shape) for name, value in own.items()} for own in states])


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("method", trained_methods())
def test_a_step_neither_waits_nor_takes_what_is_the_hosts(method, preset, mini):
    for runs, before in ((1, _resume), (2, lambda loop: None), (5, _resume)):
        trace = follow(_pack(method, preset, runs, mini), before, steps=2)
        assert trace.objections == []
        assert sum(trace.kernels.values()) > 50


class _FromTheHost(VAE):
    def regulariser(self, networks, latents, hyperparameters, step):
        return latents.kl + torch.ones(len(latents.mean)).to(latents.mean.device).sum()


class _Waiting(VAE):
    def regulariser(self, networks, latents, hyperparameters, step):
        return latents.kl * torch.ones((), device=latents.mean.device).item()


@pytest.mark.parametrize(("kind", "objection"), [(_FromTheHost, "the host's"), (_Waiting, "waits")])
def test_what_is_forbidden_is_seen(kind, objection, mini, monkeypatch):
    monkeypatch.setitem(methods.REGISTRY, "vae", kind)
    try:
        trace = follow(_pack("vae", "study_quick", 2, mini), steps=1)
    except RuntimeError as error:  # on meta there is no value to wait for
        assert "meta" in str(error)
    else:
        assert any(objection in each for each in trace.objections)


def test_bytes_and_kernels_are_counted_by_hand():
    left, right = torch.empty(3, 4, device=META), torch.empty(4, 5, device=META)
    with Trace() as trace:
        product = left @ right
        product.view(15).add_(1)
        product.T.expand(2, 5, 3)
        torch.empty(100, device=META)
    assert dict(trace.kernels) == {"aten.mm": 1, "aten.add_": 1}
    assert dict(trace.moved) == {"aten.mm": 4 * (12 + 20 + 15), "aten.add_": 4 * (15 + 15)}


@pytest.mark.parametrize("method", GIGABYTES)
def test_a_step_of_64_runs_moves_no_more_than_it_must(method, mini):
    assert sum(follow(_pack(method, "standard", 64, mini), steps=2).moved.values()) < GIGABYTES[method] * 1e9
