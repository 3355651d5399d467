"""Prints how far `dci_fast` is from `dci` on twenty representations, and fails where that is too far.

Run by hand from the project's root; the exact trees take about half a minute a representation on two cores:

    python -m tests.benchmarks.dci_fast_against_dci [--rows 10000 5000] [--factors all]
"""

import argparse
import sys
import time
from collections.abc import Callable

import numpy as np
from scipy.stats import spearmanr

from metrics import REGISTRY, Table
from tests.metrics.representations import REPRESENTATIONS, SIZES

FEWER = (3, 6, 10, 8, 8)  # dSprites' factors with fewer values of the larger ones
FARTHEST, LEAST_CORRELATION = 0.05, 0.98
VALUES = ("disentanglement", "completeness", "informativeness_test")
Maker = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def unit(factors: np.ndarray) -> np.ndarray:
    return (factors - factors.mean(0)) / factors.std(0)


def rotated_by(degrees: float) -> Maker:
    """Codes of factors in pairs, each pair turned by that angle."""

    def make(factors: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        u, angle = unit(factors), np.radians(degrees)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        return np.hstack([u[:, :2] @ turn, u[:, 2:4] @ turn, u[:, 4:]]) + 0.1 * rng.normal(size=u.shape)

    return make


def noisy(deviation: float) -> Maker:
    return lambda factors, rng: unit(factors) + deviation * rng.normal(size=factors.shape)


def mixed_by(share: float, latents: int) -> Maker:
    """Each factor in a code of its own, and that share of a random mixture of all in each of the codes."""

    def make(factors: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        fixed = np.random.default_rng(latents)
        own, mixture = np.eye(5, latents), fixed.normal(size=(5, latents)) / np.sqrt(5)
        return unit(factors) @ ((1 - share) * own + share * mixture) + 0.2 * rng.normal(size=(len(factors), latents))

    return make


def squashed(factors: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random network of two layers."""
    fixed = np.random.default_rng(11)
    hidden = np.tanh(unit(factors) @ fixed.normal(size=(5, 16)))
    return np.tanh(hidden @ fixed.normal(size=(16, 10)) / 2) + 0.05 * rng.normal(size=(len(factors), 10))


def folded(factors: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Absolute values and squares, of which no code tells the sign."""
    u = unit(factors)
    return np.hstack([np.abs(u), u[:, :3] ** 2]) + 0.1 * rng.normal(size=(len(factors), 8))


def some_factors_only(factors: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Three factors, two of them in one code, and noise."""
    u = unit(factors)
    codes = np.stack([u[:, 1], u[:, 3] + 0.5 * u[:, 4]], axis=1)
    return np.hstack([codes, np.zeros((len(u), 4))]) + 0.3 * rng.normal(size=(len(u), 6))


def redundant(factors: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Each factor three times, with more and more noise."""
    return np.hstack([unit(factors)] * 3) + np.repeat([0.1, 0.3, 0.9], 5) * rng.normal(size=(len(factors), 15))


def discrete(factors: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Codes of three levels, with many ties."""
    return np.round(mixed_by(0.4, 8)(factors, rng))


def noise(factors: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(len(factors), 6))


TWENTY: dict[str, Maker] = {
    **REPRESENTATIONS,
    "rotated by 10": rotated_by(10),
    "rotated by 25": rotated_by(25),
    "rotated by 45": rotated_by(45),
    "noise 0.1": noisy(0.1),
    "noise 0.5": noisy(0.5),
    "noise 1": noisy(1),
    "mixed 0.2, 5 codes": mixed_by(0.2, 5),
    "mixed 0.5, 10 codes": mixed_by(0.5, 10),
    "mixed 0.8, 10 codes": mixed_by(0.8, 10),
    "mixed 1, 20 codes": mixed_by(1, 20),
    "squashed": squashed,
    "folded": folded,
    "some factors only": some_factors_only,
    "redundant": redundant,
    "discrete": discrete,
    "noise only": noise,
}


def table_of(maker: Maker, train: int, test: int, sizes: tuple[int, ...]) -> Table:
    """Codes and factors of `sizes` values; the codes are made from factors of dSprites' full sizes."""
    rng = np.random.default_rng(0)
    full = np.stack([rng.integers(size, size=train + test) for size in SIZES], axis=1)
    codes = maker(full, rng)
    factors = full * np.array(sizes) // np.array(SIZES)
    return Table(codes[:train], factors[:train], codes[train:], factors[train:])


def main() -> int:
    """Print a line a representation and the summary; 1 where a bound is missed."""
    parser = argparse.ArgumentParser(description="dci_fast beside dci.")
    parser.add_argument("--rows", nargs=2, type=int, default=(10_000, 5_000), metavar=("TRAIN", "TEST"))
    parser.add_argument("--factors", choices=("fewer", "all"), default="fewer", help="fewer: of 3, 6, 10, 8, 8 values")
    options = parser.parse_args()
    sizes = FEWER if options.factors == "fewer" else SIZES
    print(f"{options.rows[0]} + {options.rows[1]} rows, factors of {sizes} values; dci, then dci_fast")
    exact, fast, seconds = [], [], []
    for name, maker in TWENTY.items():
        table, times = table_of(maker, *options.rows, sizes), []
        for metric, found in (("dci", exact), ("dci_fast", fast)):
            began = time.perf_counter()
            values = REGISTRY[metric].score(table, 0)
            times.append(time.perf_counter() - began)
            found.append([values[value] for value in VALUES])
        seconds.append(times)
        pairs = "   ".join(f"{a:.3f} {b:.3f}" for a, b in zip(exact[-1], fast[-1], strict=True))
        print(f"{name:<22} {pairs}   {times[0]:7.1f} s {times[1]:5.1f} s", flush=True)
    farthest = np.abs(np.subtract(exact, fast)).max(0)
    correlations = [spearmanr(a, b).statistic for a, b in zip(np.transpose(exact), np.transpose(fast), strict=True)]
    for value, distance, correlation in zip(VALUES, farthest, correlations, strict=True):
        print(f"{value}: farthest {distance:.4f} (at most {FARTHEST}), rank correlation {correlation:.4f}")
    print(f"dci took {np.sum(seconds, axis=0)[0] / np.sum(seconds, axis=0)[1]:.0f} times as long")
    return int(max(farthest) > FARTHEST or min(correlations) < LEAST_CORRELATION)


if __name__ == "__main__":
    sys.exit(main())
