"""Prints the kernels and bytes of a training step of a pack, on tensors without values: any machine shows it.

Run:
    python -m tests.benchmarks.steps [--methods betavae,factorvae] [--preset standard] [--runs 64] [--by-kernel]

Bytes are those that each operation reads and writes, each argument once; the time is theirs at a copy rate of 2.6 TB/s.
"""

import argparse

import methods
from benchmark import datasets
from benchmark.spec import RunSpec
from tests.tracing import Trace, follow, loop_of

RATE = 2.6e12  # bytes a second, of a large copy on an H100
LINE = "{:<18} {:>8} {:>8} {:>8}"


def trace_step(method: str, preset: str, runs: int) -> Trace:
    """The steady step of a pack of runs that differ in their seeds."""
    dataset = datasets.load("dsprites")
    specs = [RunSpec(method, {}, dataset.name, preset, seed) for seed in range(runs)]
    return follow(loop_of(specs, dataset))


def trained_methods() -> list[str]:
    """The methods that take steps."""
    dataset = datasets.load("dsprites")
    made = {
        name: kind(dataset.image_shape, factor_sizes=dataset.factor_sizes) for name, kind in methods.REGISTRY.items()
    }
    return sorted(name for name, method in made.items() if method.players())


def main() -> None:
    """Print a line a method, and with `--by-kernel` what moves most."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", default="")
    parser.add_argument("--preset", default="standard")
    parser.add_argument("--runs", type=int, default=64)
    parser.add_argument("--by-kernel", action="store_true")
    options = parser.parse_args()
    print(LINE.format(f"{options.runs} runs", "kernels", "GB", "ms"))
    for method in options.methods.split(",") if options.methods else trained_methods():
        trace = trace_step(method, options.preset, options.runs)
        moved = sum(trace.moved.values())
        print(LINE.format(method, sum(trace.kernels.values()), f"{moved / 1e9:.1f}", f"{moved / RATE * 1e3:.1f}"))
        for name, size in trace.moved.most_common(10 if options.by_kernel else 0):
            print(LINE.format(f"  {name.removeprefix('aten.')[:15]}", trace.kernels[name], f"{size / 1e9:.1f}", ""))


if __name__ == "__main__":
    main()
