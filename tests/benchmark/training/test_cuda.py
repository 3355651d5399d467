"""The same runs on a GPU, where there is one: everything else is tested on the CPU."""

import numpy as np
import pytest
import torch

from benchmark import datasets
from benchmark.checks import NEAR, distances
from benchmark.running.execution import Workplace, execute
from benchmark.scoring import encode_table, rows_of_run
from benchmark.spec import RunSpec
from benchmark.storage.store import run_folder
from benchmark.training import harness
from benchmark.training.checkpoint import Checkpoint
from benchmark.training.harness import build, train, train_pack

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA GPU")
DEVICE = "cuda"
SPEC = RunSpec("betavae", {"beta": 4}, "dsprites_mini", steps=30)


@pytest.fixture(scope="module")
def on_gpu():
    return datasets.load("dsprites_mini", DEVICE)


@pytest.fixture(autouse=True)
def _float32_products(monkeypatch):
    """As where runs are carried out."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


def _assert_near(ours, theirs, spec, data):
    losses, weights = distances(ours, theirs, build(spec, data)[1])
    most_losses, most_weights = NEAR[ours.precision]
    assert losses <= most_losses
    assert weights <= most_weights


def test_images_and_factors_are_those_of_the_cpu(mini, on_gpu):
    indices = torch.arange(len(mini))
    assert torch.equal(on_gpu.images(indices).cpu(), mini.images(indices))
    assert torch.equal(on_gpu.factors(indices).cpu(), mini.factors(indices))


@pytest.mark.parametrize("kind", ["colour", "noisy", "scream", "noshape"])
def test_drawn_parts_are_those_of_the_cpu(kind):
    ours, theirs = (datasets.load(f"dsprites_{kind}", device) for device in (DEVICE, "cpu"))
    places = theirs.draw(torch.arange(0, len(theirs), 9973), torch.Generator().manual_seed(0))
    assert torch.equal(ours.at(places.to(DEVICE)).cpu(), theirs.at(places))


def test_it_learns_and_its_global_random_state_is_left_alone(on_gpu):
    before = torch.cuda.get_rng_state()
    training = train(SPEC, on_gpu)
    assert torch.equal(torch.cuda.get_rng_state(), before)
    assert training.history[-1]["loss"] < training.history[0]["loss"]


def test_a_stored_run_encodes_on_the_cpu_as_on_the_gpu(mini, on_gpu, tmp_path):
    (outcome,) = execute([SPEC], Workplace(tmp_path, device=DEVICE, metrics=["mig"]))
    assert outcome.finished
    rows = rows_of_run(SPEC, mini)
    codes = []
    for data in (mini, on_gpu):
        method, networks = build(SPEC, mini)
        run_folder(tmp_path, SPEC.run_id).load_networks(networks)
        codes.append(encode_table(method, networks.to(data.device).eval(), data, rows).codes)
    np.testing.assert_allclose(codes[1], codes[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("method", ["betavae", "factorvae"])
def test_a_run_that_began_on_the_cpu_goes_on_on_the_gpu(method, mini, on_gpu):
    spec, stored = RunSpec(method, {}, "dsprites_mini", steps=12), []

    def keep(step, checkpoints):
        if step == 4:
            stored.extend(Checkpoint.from_bytes(each.to_bytes()) for each in checkpoints())

    (unbroken,) = train_pack([spec], mini, "fp32", save=keep)
    (resumed,) = train_pack([spec], on_gpu, "fp32", resume=stored)
    assert len(resumed.history) == spec.steps
    _assert_near(resumed, unbroken, spec, mini)


@pytest.mark.parametrize("precision", NEAR)
@pytest.mark.parametrize("method", ["betavae", "factorvae"])
def test_a_recorded_step_is_the_ordinary_one(method, precision, mini, on_gpu, monkeypatch):
    specs = [RunSpec(method, {}, "dsprites_mini", steps=12, seed=seed) for seed in range(2)]
    recorded = train_pack(specs, on_gpu, precision)
    monkeypatch.setattr(harness, "RECORDED", frozenset())
    ordinary = train_pack(specs, on_gpu, precision)
    for ours, theirs, spec in zip(recorded, ordinary, specs, strict=True):
        assert ours.note == ""
        _assert_near(ours, theirs, spec, mini)
