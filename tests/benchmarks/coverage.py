"""How many 95% intervals hold what they are of, by simulation: of means, beside other kinds; of ranks; of wins.

Run:
    python -m tests.benchmarks.coverage
"""

from collections.abc import Callable

import numpy as np
from scipy import stats

from benchmark.report.statistics import (
    CONFIDENCE,
    bootstrap_interval,
    mean_intervals,
    rank_intervals,
    redraw_means,
    share_of_wins,
    told_apart,
    wins_interval,
)

CONFIGURATIONS = 20  # of a block
SEEDS = (2, 3, 4, 5, 7, 10, 20)
REPEATS = 200
DIFFERING = np.geomspace(0.3, 2, CONFIGURATIONS)
HARDLY = np.array([*[0.01] * 3, *[1.0] * 3])  # the true factors, PCA and ICA beside three others
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
    most: int | None = None,
) -> float:
    """The share of configurations whose interval holds their mean, which is 0.

    Args:
        spreads: each configuration's, ascending, by which its scores are multiplied; None: the same for all.
        most: of how many of the greatest spreads; None: of all.
    """
    rng = np.random.default_rng(0)
    spreads = np.ones(CONFIGURATIONS) if spreads is None else spreads
    held = []
    for _ in range(repeats):
        low, high = intervals([spread * draw(rng, seeds) for spread in spreads]).T
        held.append((low <= 0) & (high >= 0))
    return float(np.mean(np.array(held)[:, -(most or len(spreads)) :]))


def rank_coverage(
    seeds: int, apart: float = 0.5, repeats: int = REPEATS, draw: Draw = normal
) -> tuple[float, float, float]:
    """The share of rank intervals that hold the true mean's rank, their mean width, and how often the best is tied.

    Args:
        apart: standard deviations of a score between a true mean and the next.
    """
    rng = np.random.default_rng(0)
    own, ranks = np.repeat(np.arange(CONFIGURATIONS), seeds), np.arange(CONFIGURATIONS) + 1
    held, widths, best = [], [], []
    for _ in range(repeats):
        scores = np.concatenate([apart * place + draw(rng, seeds) for place in range(CONFIGURATIONS)])
        means, errors = redraw_means(scores[:, None], own)
        low, high = rank_intervals(means[:, 0], told_apart(means[:, 0], errors[..., 0])).T
        held.append((low <= ranks) & (ranks <= high))
        widths.append(high - low)
        best.append(low[0] == 1)
    return float(np.mean(held)), float(np.mean(widths)), float(np.mean(best))


def wins_coverage(seeds: int, repeats: int = 5_000, shift: float = 1.0) -> float:
    """The share of intervals of P(A beats B) that hold it, of normal scores so many standard deviations apart."""
    rng = np.random.default_rng(0)
    truth = stats.norm.cdf(shift / np.sqrt(2))
    pairs = rng.normal(size=(repeats, 2, seeds)) + np.array([[shift], [0.0]])
    shares = np.array([share_of_wins(ours, theirs) for ours, theirs in pairs])
    counts = np.full(repeats, seeds)
    low, high = wins_interval(shares, counts, counts).T
    return float(np.mean((low <= truth) & (truth <= high)))


def main() -> None:
    columns = {
        "tables": (mean_intervals, None, None),
        "tables, spreads from 0.3 to 2": (mean_intervals, DIFFERING, None),
        "of these the widest four": (mean_intervals, DIFFERING, 4),
        "tables, three beside three that hardly vary": (mean_intervals, HARDLY, 3),
        "t, each its own": (own_intervals, None, None),
        "bootstrap": (bootstrapped, None, None),
    }
    print("| scores | seeds | " + " | ".join(columns) + " |\n" + "|---" * (2 + len(columns)) + "|")
    for name, draw in SCORES.items():
        for seeds in SEEDS:
            told = [
                f"{coverage(kind, draw, seeds, spreads=spreads, most=most):.3f}"
                for kind, spreads, most in columns.values()
            ]
            print(f"| {name} | {seeds} | {' | '.join(told)} |")
    print("\n| seeds | ranks | of near ones | the best | P(A beats B) | of equals | width |\n" + "|---" * 7 + "|")
    for seeds in SEEDS:
        (held, width, _), (near, _, best) = (rank_coverage(seeds, apart) for apart in (0.5, 0.05))
        wins = [wins_coverage(seeds, shift=shift) for shift in (1.0, 0.0)]
        told = [f"{each:.3f}" for each in (held, near, best, *wins)]
        print(f"| {seeds} | {' | '.join(told)} | {width:.1f} |")


if __name__ == "__main__":
    main()
