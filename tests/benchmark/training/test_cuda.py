"""The same runs on a GPU, where there is one: everything else is tested on the CPU."""

import numpy as np
import pytest
import torch

from benchmark import datasets
from benchmark.running.execution import Workplace, execute
from benchmark.scoring import encode_table, rows_of_run
from benchmark.spec import RunSpec
from benchmark.storage.store import run_folder
from benchmark.training.harness import build, train

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA GPU")
SPEC = RunSpec("betavae", {"beta": 4}, "dsprites_mini", steps=30)


def test_images_and_factors_are_those_of_the_cpu(mini):
    on_gpu = datasets.load("dsprites_mini", "cuda")
    indices = torch.arange(len(mini))
    assert torch.equal(on_gpu.images(indices).cpu(), mini.images(indices))
    assert torch.equal(on_gpu.factors(indices).cpu(), mini.factors(indices))


def test_it_learns_and_its_global_random_state_is_left_alone():
    before = torch.cuda.get_rng_state()
    training = train(SPEC, datasets.load("dsprites_mini", "cuda"))
    assert torch.equal(torch.cuda.get_rng_state(), before)
    assert training.history[-1]["loss"] < training.history[0]["loss"]


def test_a_stored_run_encodes_on_the_cpu_as_on_the_gpu(mini, tmp_path):
    assert execute([SPEC], Workplace(tmp_path, device="cuda", metrics=["mig"]))[0].finished
    rows = rows_of_run(SPEC, mini)
    codes = []
    for data in (mini, datasets.load("dsprites_mini", "cuda")):
        method, networks = build(SPEC, mini)
        run_folder(tmp_path, SPEC.run_id).load_networks(networks)
        codes.append(encode_table(method, networks.to(data.device).eval(), data, rows).codes)
    np.testing.assert_allclose(codes[1], codes[0], rtol=1e-4, atol=1e-4)
