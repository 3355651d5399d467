"""Steps followed on the `meta` device: none does what a recorded step on a GPU must not; what each moves is bounded."""

from itertools import product

import pytest
import torch

from benchmark.spec import RunSpec
from tests.benchmarks.steps import trained_methods
from tests.tracing import META, Trace, follow, loop_of

pytestmark = pytest.mark.whole

PLAYERS = ("vae", "constrained_vae", "factorvae", "infogan")  # one player, one more without images, two, own networks
PRESETS = ("quick", "higgins2017")
OTHER_NETWORKS = ("standard_broadcast", "tripod2024")  # slower to follow
GIGABYTES = {"betavae": 14.1, "factorvae": 32, "infogan": 55.5, "adagvae": 28.5}  # of a step of 64 runs


def _pack(method, preset, runs, data):
    specs = [RunSpec(method, {}, "dsprites_mini", preset, seed=seed) for seed in range(runs)]
    return loop_of(specs, data)


def _resume(loop):
    """Optimiser states as a checkpoint has them, on the CPU."""
    for turn in loop.turns.values():
        turn.descent.step([torch.zeros_like(value) for value in turn.descent.parameters])
        states = [turn.descent.tensors(run) for run in range(len(loop.methods))]
        turn.descent.restore([{name: torch.zeros(value.shape) for name, value in own.items()} for own in states])


def _is_recordable(trace):
    assert trace.objections == []
    assert sum(trace.kernels.values()) > 50


@pytest.mark.parametrize("method", trained_methods())
def test_a_step_neither_waits_nor_takes_what_is_the_hosts(method, mini):
    """By the study's networks: what is a method's own calls them as it calls others."""
    _is_recordable(follow(_pack(method, "standard", 2, mini), steps=2))


@pytest.mark.parametrize(("method", "preset"), [*product(PLAYERS, PRESETS), *product(["vae"], OTHER_NETWORKS)])
def test_nor_does_one_of_other_networks_and_optimisers_that_goes_on(method, preset, mini):
    """Also of a pack of one run. A descent knows its players and not the method."""
    for runs in (1, 3):
        _is_recordable(follow(_pack(method, preset, runs, mini), _resume, steps=2))


def test_a_tensor_of_the_hosts_is_seen():
    with Trace() as trace:
        torch.ones(3).to(META)
    assert trace.objections == ["aten._to_copy takes a tensor of the host's, (3,)"]


def test_waiting_is_seen():
    with Trace() as trace, pytest.raises(RuntimeError, match="meta"):
        torch.ones((), device=META).item()
    assert trace.objections == ["aten._local_scalar_dense waits for a value"]


@pytest.mark.parametrize("method", ["factorvae", "infogan"])
def test_no_cast_weights_outlive_a_step(method, mini):
    """A recorded step would read those of the step before it for ever."""
    loop = _pack(method, "study_quick", 2, mini)
    follow(loop, steps=1)
    assert loop.engine.leaves == {}


def test_bytes_and_kernels_are_counted_by_hand():
    left, right = torch.empty(3, 4, device=META), torch.empty(4, 5, device=META)
    with Trace() as trace:
        product = left @ right
        product.view(15).add_(1)
        product.T.expand(2, 5, 3)
        torch.empty(100, device=META)
    assert dict(trace.kernels) == {"aten.mm": 1, "aten.add_": 1}
    assert dict(trace.moved) == {"aten.mm": 4 * (12 + 20 + 15), "aten.add_": 4 * (15 + 15)}


def test_pairs_of_latents_are_few_kernels(mini):
    assert sum(follow(_pack("hfs", "standard", 64, mini), steps=2).kernels.values()) <= 300


@pytest.mark.parametrize("method", GIGABYTES)
def test_a_step_of_64_runs_moves_no_more_than_it_must(method, mini):
    assert sum(follow(_pack(method, "standard", 64, mini), steps=2).moved.values()) < GIGABYTES[method] * 1e9
