"""Sorts the runs of a sweep into packs: runs of one shape, as many as a device holds."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmark import datasets
from benchmark.datasets.base import FactorDataset
from benchmark.errors import BROKEN
from benchmark.spec import RunSpec, canonical_json
from benchmark.training.draws import Draws
from benchmark.training.harness import build
from benchmark.training.pack import callable_networks
from methods.base import structure_of

MOST = 64  # runs in a pack: more gain little, and their first results come later
SHARE = 0.8  # of the free memory
WORKSPACE = 1.5  # what libraries take beside what a step keeps, as a factor


def plan_packs(
    specs: Sequence[RunSpec], device: torch.device, size: int | None = None, data_dir: Path | None = None
) -> list[list[RunSpec]]:
    """The runs in packs that can train together, of equal size as nearly as may be.

    Args:
        size: the most runs in a pack; None lets the device decide. On a CPU that is one, as
            stacking gains nothing there (tests/benchmarks/packs.py measures it).
    """
    packs = []
    for group in group_by_shape(specs):
        most = size or fitting(group[0], device, data_dir)
        count = -(-len(group) // most)
        packs += [group[i * len(group) // count : (i + 1) * len(group) // count] for i in range(count)]
    return packs


def group_by_shape(specs: Sequence[RunSpec]) -> list[list[RunSpec]]:
    """The runs in groups that could be one pack each, whatever their number."""
    groups = defaultdict(list)
    for spec in specs:
        groups[_shape(spec)].append(spec)
    return [*groups.values()]


def _shape(spec: RunSpec) -> str:
    """What runs of a pack have in common: everything but seed and numeric hyperparameters."""
    shared = {key: value for key, value in spec.to_dict().items() if key not in ("seed", "hyperparameters")}
    return canonical_json(shared | {"structure": structure_of(spec.resolve_hyperparameters())})


def fitting(spec: RunSpec, device: torch.device, data_dir: Path | None = None) -> int:
    """How many runs like this one a device's free memory holds, by estimate: at least one."""
    if device.type != "cuda":
        return 1
    free, _ = torch.cuda.mem_get_info(device)
    dataset = datasets.load(spec.dataset, "cpu", data_dir, spec.world)
    try:
        needed = memory_of_run(spec, dataset)
    except BROKEN:  # as it will for the run alone, which tells why
        return 1
    return max(1, min(MOST, int((free * SHARE - dataset.memory) / needed)))


def memory_of_run(spec: RunSpec, dataset: FactorDataset) -> float:
    """Bytes that training the run takes: weights, gradients and states, and what a step keeps for its backward pass."""
    method, networks = build(spec, dataset)
    generators = [torch.Generator()]
    places, noises = Draws(method, generators, generators, dataset, spec.protocol.batch, torch.float32).of_step(0)
    images = torch.zeros(places.shape[1], *dataset.image_shape)
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    most = 0
    for name, player in method.players().items():
        noise = {key: drawn[0] for key, drawn in noises[name].items()}
        kept.clear()
        with torch.autograd.graph.saved_tensors_hooks(keep, _as_it_is):
            terms = player.loss(
                callable_networks(networks, "fp32"), images, noise, spec.resolve_hyperparameters(), torch.tensor(0)
            )
        most = max(most, sum(kept.values()))
        del terms
    weights = sum(parameter.nbytes for parameter in networks.parameters())
    return WORKSPACE * (4 * weights + images.nbytes + most)


def _as_it_is(kept: Any) -> Any:
    return kept
