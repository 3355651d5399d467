"""A training that was broken off and went on ends, to the bit, as one that was not."""

import pytest
import torch

import methods
from benchmark.errors import DamagedError
from benchmark.spec import RunSpec
from benchmark.training.checkpoint import Checkpoint
from benchmark.training.harness import train_pack

pytestmark = pytest.mark.whole

TRAINED = [name for name, cls in sorted(methods.REGISTRY.items()) if cls((1, 64, 64)).players()]
STEPS = 4


class Stop(Exception):  # noqa: N818
    """Breaks a training off."""


def _train_until(specs, mini, stop, precision, stacked=None):
    stored = []

    def save(step, checkpoints):
        if step == stop:
            stored.extend(checkpoint.to_bytes() for checkpoint in checkpoints())
            raise Stop

    with pytest.raises(Stop):
        train_pack(specs, mini, precision, save=save, stacked=stacked)
    return [Checkpoint.from_bytes(content) for content in stored]


def _assert_same(outcome, expected):
    for name, value in expected.networks.state_dict().items():
        assert torch.equal(outcome.networks.state_dict()[name], value), name
    assert outcome.history == expected.history


@pytest.mark.parametrize("name", TRAINED)
def test_resumed_early_in_the_middle_and_late(name, mini, small_networks):
    spec = RunSpec(name, dataset="dsprites_mini", preset="small", steps=STEPS)
    (unbroken,) = train_pack([spec], mini)
    for stop in (1, 2, STEPS - 1):
        (resumed,) = train_pack([spec], mini, resume=_train_until([spec], mini, stop, None))
        _assert_same(resumed, unbroken)


def test_resumed_within_a_chunk_of_draws_and_between_two(mini):
    spec = RunSpec("vae", dataset="dsprites_mini", preset="small", steps=67)
    (unbroken,) = train_pack([spec], mini)
    for stop in (63, 64, 65):
        (resumed,) = train_pack([spec], mini, resume=_train_until([spec], mini, stop, None))
        _assert_same(resumed, unbroken)


@pytest.mark.parametrize("name", ["betavae", "constrained_vae"])
def test_a_run_of_a_pack_goes_on_in_another_pack(name, mini):
    """Checkpoints are each run's own: three trained together go on as two and one."""
    specs = [RunSpec(name, dataset="dsprites_mini", preset="small", seed=seed, steps=3) for seed in range(3)]
    unbroken = train_pack(specs, mini, "fp64")
    stored = _train_until(specs, mini, 2, "fp64")
    resumed = train_pack(specs[:2], mini, "fp64", resume=stored[:2]) + train_pack(
        specs[2:], mini, "fp64", resume=stored[2:]
    )
    for ours, theirs in zip(resumed, unbroken, strict=True):
        for key, value in theirs.networks.state_dict().items():
            torch.testing.assert_close(ours.networks.state_dict()[key], value, rtol=1e-9, atol=1e-11)
        assert ours.history[-1] == pytest.approx(theirs.history[-1], rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("name", ["betavae", "factorvae", "adagvae", "dcign"])  # each kind of batches, and two players
def test_a_run_goes_on_as_on_another_device(name, mini):
    """From a CPU, where a run alone is called as it is, to a GPU, where it is a stack of one, and back."""
    specs = [RunSpec(name, dataset="dsprites_mini", preset="small", steps=STEPS)]
    (unbroken,) = train_pack(specs, mini, "fp64", stacked=False)
    for first in (False, True):
        stored = _train_until(specs, mini, 2, "fp64", stacked=first)
        (resumed,) = train_pack(specs, mini, "fp64", resume=stored, stacked=not first)
        for key, value in unbroken.networks.state_dict().items():
            torch.testing.assert_close(resumed.networks.state_dict()[key], value, rtol=1e-9, atol=1e-11)
        for ours, theirs in zip(resumed.history, unbroken.history, strict=True):
            assert ours == pytest.approx(theirs, rel=1e-9, abs=1e-12)


def _bytes():
    rows = [{"step": 1, "loss": 2.5}]
    return Checkpoint(7, {"network/a": torch.arange(6.0).view(2, 3), "sum/b": torch.ones(())}, rows, 3, 1.5).to_bytes()


def test_bytes_hold_everything():
    stored = Checkpoint.from_bytes(_bytes())
    assert (stored.step, stored.count, stored.seconds) == (7, 3, 1.5)
    assert stored.rows == [{"step": 1, "loss": 2.5}]
    assert torch.equal(stored.under("network/")["a"], torch.arange(6.0).view(2, 3))


@pytest.mark.parametrize("damage", ["cut", "empty", "flipped", "other"])
def test_damage_is_noticed(damage):
    whole = _bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    contents = {"cut": whole[:-5], "empty": b"", "flipped": bytes(flipped), "other": b"x" * 100}
    with pytest.raises(DamagedError, match="checksum"):
        Checkpoint.from_bytes(contents[damage])
