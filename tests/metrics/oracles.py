"""Codes whose scores are known beforehand, or should be: the true factors, and what can become of them."""

from functools import cache

import numpy as np

from metrics import Table
from tests.metrics.representations import SIZES, draw_factors


def unit(factors):
    """Each factor scaled to variance 1 by its own uniform distribution's mean and deviation."""
    sizes = np.array(SIZES)
    return (factors - (sizes - 1) / 2) / np.sqrt((sizes**2 - 1) / 12)


def turn(seed, size=5):
    """A random rotation or reflection."""
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(size, size)))[0]


def _angle(factors):
    """Orientation as sine and cosine, which are cyclic as it is."""
    angle = 2 * np.pi * factors[:, 2] / SIZES[2]
    return np.column_stack([unit(factors)[:, [0, 1, 3, 4]], np.sin(angle), np.cos(angle)])


def _relabelled(factors):
    """The three shapes numbered otherwise."""
    shape = np.array([0, 2, 1])[factors[:, 0]]
    return unit(np.column_stack([shape, factors[:, 1:]]))


def _noisy_mean(factors, rng):
    return unit(factors).mean(1, keepdims=True) + 0.1 * rng.normal(size=(len(factors), 10))


# Each a function of the factors (N, 5) and a generator.
ORACLES = {
    "truth": lambda factors, rng: unit(factors),
    "rotated": lambda factors, rng: unit(factors) @ turn(5),
    "doubled": lambda factors, rng: np.tile(unit(factors), 2),
    "cubed": lambda factors, rng: unit(factors) ** 3,
    "exp(2z)": lambda factors, rng: np.exp(2 * unit(factors)),
    "sin, cos": lambda factors, rng: _angle(factors),
    "relabelled": lambda factors, rng: _relabelled(factors),
    "missing": lambda factors, rng: unit(factors)[:, 1:],
    "noise": lambda factors, rng: rng.normal(size=(len(factors), 10)),
    "constant": lambda factors, rng: np.zeros((len(factors), 10)),
    "noisy mean": _noisy_mean,
}


@cache
def _factors(rows, seed):
    return draw_factors(rows, seed)


def oracle(name, train=10_000, test=5_000):
    """The table of those codes for dSprites' factors, drawn uniformly."""
    return table_of(ORACLES[name], train, test)


def table_of(codes, train=10_000, test=5_000):
    """The table of codes that are made of factors and a generator."""
    arrays = []
    for rows, seed in ((train, 0), (test, 1)):
        factors = _factors(rows, seed)
        arrays += [codes(factors, np.random.default_rng(100 + seed)), factors]
    return Table(*arrays, ["shape", "scale", "orientation", "position_x", "position_y"])
