"""Representations whose scores are compared with other implementations': made, not trained."""

import numpy as np

SIZES = (3, 6, 40, 32, 32)
NAMES = ("shape", "scale", "orientation", "position_x", "position_y")


def draw_factors(rows, seed=0):
    """Independent uniform factors of dSprites' sizes: (rows, 5)."""
    rng = np.random.default_rng(seed)
    return np.stack([rng.integers(size, size=rows) for size in SIZES], axis=1)


def _unit(factors):
    """Each factor scaled to variance 1 by its own uniform distribution's mean and deviation."""
    sizes = np.array(SIZES)
    return (factors - (sizes - 1) / 2) / np.sqrt((sizes**2 - 1) / 12)


def aligned(factors, rng):
    """Ten codes: each factor in one, with a little noise, and five nearly dead ones."""
    noise = rng.normal(size=(len(factors), 10))
    return np.concatenate([_unit(factors) + 0.05 * noise[:, :5], 0.02 * noise[:, 5:]], axis=1)[
        :, [3, 0, 7, 1, 9, 4, 2, 8, 5, 6]
    ]


def rotated(factors, rng):
    """Five codes: a fixed rotation of the factors, which mixes all of them."""
    rotation = np.linalg.qr(np.random.default_rng(5).normal(size=(5, 5)))[0]
    return _unit(factors) @ rotation + 0.05 * rng.normal(size=(len(factors), 5))


def split(factors, rng):
    """Eight codes: orientation as cosine and sine, position x twice, scale and shape in one."""
    u = _unit(factors)
    angle = 2 * np.pi * factors[:, 2] / 39
    codes = [u[:, 0] + u[:, 1], u[:, 1], np.cos(angle), np.sin(angle), u[:, 3], -u[:, 3], u[:, 4], 0 * angle]
    return np.stack(codes, axis=1) + 0.1 * rng.normal(size=(len(factors), 8))


def mixed(factors, rng):
    """Ten codes: squashed random mixtures of all factors with much noise."""
    weights = np.random.default_rng(7).normal(size=(5, 10))
    return np.tanh(_unit(factors) @ weights / 2 + 0.5 * rng.normal(size=(len(factors), 10)))


REPRESENTATIONS = {"aligned": aligned, "rotated": rotated, "split": split, "mixed": mixed}


def make(name, train=10_000, test=5_000):
    """Codes and factors of training rows, then of test rows, of one representation."""
    arrays = []
    for rows, seed in ((train, 0), (test, 1)):
        factors = draw_factors(rows, seed)
        arrays += [REPRESENTATIONS[name](factors, np.random.default_rng(100 + seed)), factors]
    return tuple(arrays)
