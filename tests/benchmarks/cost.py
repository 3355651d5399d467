"""Prints what a training step of each method costs beside one of `vae`, in the preset `quick` on one core.

Run:
    python -m tests.benchmarks.cost [METHOD ...]

Steps of the two are taken in turn in one process, and the ratio is the median of several, of processor time.
"""

import statistics
import sys
import time

import torch

from benchmark import datasets
from benchmark.spec import RunSpec
from benchmark.training.harness import _Loop, build, denormals_flushed, keep_memory
from tests.benchmarks.steps import trained_methods

STEPS, TURNS = 12, 9


def loop_of(method: str) -> _Loop:
    """A run of the method, past its first steps."""
    dataset = datasets.load("dsprites_mini")
    spec = RunSpec(method, {}, dataset.name, "quick", steps=10_000)
    made, networks = build(spec, dataset)
    loop = _Loop([spec], [made], [networks], dataset, "fp32", None)
    _seconds(loop)
    return loop


def _seconds(loop: _Loop) -> float:
    began = time.process_time()
    for step in range(STEPS):
        loop.advance(*loop.draws.of_step(step))
    return time.process_time() - began


def cost_of(method: str, turns: int = TURNS) -> float:
    """The method's processor time a step beside vae's."""
    keep_memory()
    with denormals_flushed():
        loops = loop_of("vae"), loop_of(method)
        pairs = [[_seconds(loop) for loop in loops] for _ in range(turns)]
    return statistics.median(own / vaes for vaes, own in pairs)


def main() -> None:
    """Print a line a method."""
    torch.set_num_threads(1)
    for method in sys.argv[1:] or trained_methods():
        print(f"{method:<18} {cost_of(method):.1f}", flush=True)


if __name__ == "__main__":
    main()
