"""How many 95% intervals of a mean hold it, by simulation: those of the tables and, beside them, others.

Run:
    python -m tests.benchmarks.coverage
"""

from collections.abc import Callable

import numpy as np
from scipy import stats

from benchmark.report.statistics import CONFIDENCE, bootstrap_interval, mean_intervals

CONFIGURATIONS = 20  # of a block
SEEDS = (2, 3, 4, 5, 7, 10, 20)
REPEATS = 200
Draw = Callable[[np.random.Generator, int], np.ndarray]  # scores of that many seeds, of mean 0


def normal(rng: np.random.Generator, seeds: int) -> np.ndarray:
    return rng.normal(size=seeds)


def two_humps(rng: np.random.Generator, seeds: int) -> np.ndarray:
    """Half of the seeds learn the factors, the others do not."""
    return rng.choice([-1.0, 1.0], seeds) + rng.normal(scale=0.3, size=seeds)


def one_in_five(rng: np.random.Generator, seeds: int) -> np.ndarray:
    """One seed in five is another kind of model."""
    return np.where(rng.random(seeds) < 0.2, 1.6, -0.4) + rng.normal(scale=0.3, size=seeds)


def whole(rng: np.random.Generator, seeds: int) -> np.ndarray:
    """A count, such as that of latents in use."""
    return np.rint(rng.normal(scale=0.6, size=seeds))


SCORES: dict[str, Draw] = {"normal": normal, "two humps": two_humps, "one in five": one_in_five, "whole": whole}


def own_intervals(samples: list[np.ndarray]) -> np.ndarray:
    """Student's t with each configuration's own standard deviation."""
    reach = [stats.t.ppf((1 + CONFIDENCE) / 2, len(s) - 1) * s.std(ddof=1) / np.sqrt(len(s)) for s in samples]
    return np.array([[s.mean() - r, s.mean() + r] for s, r in zip(samples, reach, strict=True)])


def bootstrapped(samples: list[np.ndarray]) -> np.ndarray:
    return bootstrap_interval(np.stack(samples))


def coverage(
    intervals: Callable[[list[np.ndarray]], np.ndarray],
    draw: Draw,
    seeds: int,
    repeats: int = REPEATS,
    spreads: np.ndarray | None = None,
) -> float:
    """The share of configurations whose interval holds their mean, which is 0.

    Args:
        spreads: each configuration's, by which its scores are multiplied; None: the same for all.
    """
    rng = np.random.default_rng(0)
    spreads = np.ones(CONFIGURATIONS) if spreads is None else spreads
    held = []
    for _ in range(repeats):
        low, high = intervals([spread * draw(rng, seeds) for spread in spreads]).T
        held.append((low <= 0) & (high >= 0))
    return float(np.mean(held))


def main() -> None:
    differing = np.geomspace(0.3, 2, CONFIGURATIONS)
    columns = {
        "tables": (mean_intervals, None),
        "tables, spreads from 0.3 to 2": (mean_intervals, differing),
        "t, each its own": (own_intervals, None),
        "bootstrap": (bootstrapped, None),
    }
    print("| scores | seeds | " + " | ".join(columns) + " |\n" + "|---" * (2 + len(columns)) + "|")
    for name, draw in SCORES.items():
        for seeds in SEEDS:
            told = [f"{coverage(kind, draw, seeds, spreads=spreads):.3f}" for kind, spreads in columns.values()]
            print(f"| {name} | {seeds} | {' | '.join(told)} |")


if __name__ == "__main__":
    main()
