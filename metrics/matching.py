"""Interventions as row matching: rows of a table that share the value of one factor."""

import numpy as np


def matched_pairs(values: np.ndarray, pairs: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers of random pairs of different rows with equal values.

    The first row is uniform over the rows that have a partner, the second over its partners:
    "hold this factor at a random value, draw all others again, twice".

    Args:
        values: one factor's values (N,).

    Returns:
        The first and the second rows, each (pairs,).

    Raises:
        ValueError: no two rows share a value.
    """
    order = np.argsort(values, kind="stable")
    _, start, group, count = np.unique(values[order], return_index=True, return_inverse=True, return_counts=True)
    paired = np.flatnonzero(count[group] > 1)
    if not len(paired):
        raise ValueError("no two rows share a value; this metric compares rows that share one.")
    first = rng.choice(paired, pairs)
    size = count[group[first]]
    begin = start[group[first]]
    second = begin + (first - begin + rng.integers(1, size)) % size
    return order[first], order[second]
