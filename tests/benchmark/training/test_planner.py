import pytest
import torch

from benchmark.spec import RunSpec
from benchmark.training.planner import memory_of_run, plan_packs

CPU = torch.device("cpu")


def _specs(method="betavae", seeds=5, **changes):
    return [RunSpec(method, dataset="dsprites_mini", seed=seed, **changes) for seed in range(seeds)]


def test_on_a_cpu_a_pack_is_one_run():
    assert plan_packs(_specs(), CPU) == [[spec] for spec in _specs()]


@pytest.mark.parametrize(("size", "sizes"), [(1, [1] * 5), (2, [1, 2, 2]), (3, [2, 3]), (5, [5]), (64, [5])])
def test_packs_are_of_nearly_equal_size(size, sizes):
    packs = plan_packs(_specs(), CPU, size)
    assert [len(pack) for pack in packs] == sizes
    assert [spec for pack in packs for spec in pack] == _specs()


def test_packs_are_of_one_shape():
    specs = [*_specs("vae", 2), *_specs("betavae", 2), *_specs("betavae", 1, steps=7), *_specs(preset="higgins2017")]
    specs += [RunSpec("betavae", {"beta": 16}, "dsprites_mini", seed=9)]
    packs = plan_packs(specs, CPU, 64)
    assert [len(pack) for pack in packs] == [2, 3, 1, 5]
    for pack in packs:
        assert len({(spec.method, spec.preset, spec.steps) for spec in pack}) == 1


def test_memory_is_more_than_weights_and_grows_with_the_method(mini):
    """Four copies of 503,000 weights, and the activations of 64 images, most of them maps of 32 x 32 and 16 x 16."""
    vae, factorvae = (memory_of_run(RunSpec(name, dataset="dsprites_mini"), mini) for name in ("vae", "factorvae"))
    maps = 4 * 64 * 2 * (32 * 32 * 32 + 32 * 16 * 16 + 64 * 8 * 8 + 64 * 4 * 4)  # both networks, float32
    assert 1.5 * maps < vae < 6 * maps
    assert factorvae > vae
