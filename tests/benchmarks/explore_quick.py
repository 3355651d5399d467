"""Beta's effect by network, rate and steps: the exploration that chose the quick protocol.

Run:
    python -m tests.benchmarks.explore_quick --networks 256x2,128x3 --betas 1,16 --seeds 0-2 --steps 3000

prints a row a network and beta; `results/exploration.md` keeps what was found.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from math import prod
from statistics import mean

import torch
from torch import nn

import metrics
from benchmark import datasets
from benchmark.datasets.base import FactorDataset
from benchmark.presets import PRESETS
from benchmark.scoring.encoding import encode_table, measure, rows_of_run
from benchmark.spec import RunSpec
from benchmark.training.harness import train
from methods.base import Optimiser
from methods.networks import ARCHITECTURES, Architecture, perceptron

FEW_PAIRS = "beta_vae_score.at_5_pairs_without_shape"
COLUMNS = ("mig", "dci_fast", FEW_PAIRS, "active_latents", "reconstruction", "kl")


def add_network(name: str) -> None:
    """An architecture of that name: `256x2` has two hidden layers of 256 units each way."""
    units, layers = map(int, name.split("x"))
    hidden = [units] * layers
    ARCHITECTURES[name] = Architecture(
        lambda shape, outputs: perceptron([prod(shape), *hidden, outputs], nn.ReLU, before=nn.Flatten()),
        lambda latents, shape: perceptron([latents, *hidden, prod(shape)], nn.ReLU, after=nn.Unflatten(1, shape)),
    )


def score(spec: RunSpec, dataset: FactorDataset) -> dict[str, float]:
    """One run's scores by name."""
    trained = train(spec, dataset)
    rows = rows_of_run(spec, dataset)
    networks = trained.networks.float()
    table = encode_table(trained.method, networks, dataset, rows)
    values = measure(trained.method, networks, dataset, rows, spec)
    for name in ("mig", "dci_fast", "beta_vae_score", "active_latents"):
        found = metrics.find(name).score(table, spec.seed)
        values |= {name if key == "score" else f"{name}.{key}": value for key, value in found.items()}
    return values


def explore(options: argparse.Namespace) -> Iterator[str]:
    """A line a network and beta, as it is done: means, and each seed's value of the scores."""
    dataset = datasets.load("dsprites")
    low, high = map(int, options.seeds.split("-"))
    yield "| hidden | rate | batch | steps | beta | seeds | " + " | ".join(COLUMNS) + " |"
    yield "|---" * (6 + len(COLUMNS)) + "|"
    for network, rate, beta in product(options.networks.split(","), options.rates.split(","), options.betas.split(",")):
        add_network(network)
        name = f"{network}-{rate}"
        optimiser = Optimiser("Adam", lr=float(rate))
        PRESETS[name] = replace(PRESETS["quick"], architecture=network, optimiser=optimiser, batch=options.batch)
        specs = [
            RunSpec("betavae", {"beta": float(beta)}, "dsprites", name, seed, options.steps)
            for seed in range(low, high + 1)
        ]
        found = [score(spec, dataset) for spec in specs]
        cells = []
        for column in COLUMNS:
            own = [values[column] for values in found]
            each = f" ({'/'.join(f'{value:.3f}' for value in own)})" if max(own) <= 1 and len(own) > 1 else ""
            cells.append(f"{mean(own):.3f}{each}" if max(own) <= 1 else f"{mean(own):.1f}")
        told = (network, rate, options.batch, options.steps, beta, options.seeds, *cells)
        yield "| " + " | ".join(map(str, told)) + " |"


def main() -> None:
    """Read the options and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", default="256x2")
    parser.add_argument("--rates", default="0.001")
    parser.add_argument("--betas", default="1,4,16")
    parser.add_argument("--seeds", default="0-2")
    parser.add_argument("--steps", type=int, default=2_000)
    parser.add_argument("--batch", type=int, default=128)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for line in explore(options):
        print(line, flush=True)


if __name__ == "__main__":
    main()
