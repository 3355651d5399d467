"""Interventions as row matching: rows of a table that share the value of one factor."""

from typing import NamedTuple

import numpy as np

from metrics.base import Table

ALONE = "no two rows share a value; this metric compares rows that share one."


class _Groups(NamedTuple):
    """Rows sorted into groups of equal values; the fields after `order` go by position in it."""

    order: np.ndarray  # row numbers (N,)
    begin: np.ndarray  # where the group of each position begins (N,)
    size: np.ndarray  # how many rows it has (N,)
    paired: np.ndarray  # positions whose group has more than one row


def tell_unmatched(table: Table) -> str:
    """One sentence where no two training or test rows share a value of some factor, else empty."""
    for rows, factors in (("training", table.factors), ("test", table.factors_test)):
        for name, column in zip(table.factor_names, factors.T, strict=True):
            if len(np.unique(column)) == len(column):
                return f"of factor {name!r}, in the {rows} rows, {ALONE}"
    return ""


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
    order, begin, size, paired = _group(values)
    first = rng.choice(paired, pairs)
    start, count = begin[first], size[first]
    second = start + (first - start + rng.integers(1, count)) % count
    return order[first], order[second]


def matched_groups(values: np.ndarray, groups: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """Row numbers of random groups of rows with equal values: "hold this factor, draw all others again".

    A group's value is that of a row drawn uniformly from the rows that have a partner; a row
    without one would make a group in which no code varies. Where a value has at least `size` rows
    those drawn are all different, so that a group is distributed as one drawn afresh under the
    intervention: repeated rows would add the noise of a smaller group. Where it has fewer, there
    is no such group, and its rows are drawn with replacement.

    Args:
        values: one factor's values (N,).

    Returns:
        The rows of each group, (groups, size).

    Raises:
        ValueError: no two rows share a value.
    """
    order, begin, size_of, paired = _group(values)
    held = rng.choice(paired, groups)
    count = size_of[held]
    drawn = rng.integers(0, count[:, None], (groups, size))
    ample = count >= size
    drawn[ample] = _draw_distinct(count[ample], size, rng)
    return order[begin[held][:, None] + drawn]


def _draw_distinct(count: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Uniform subsets of `size` of the numbers 0 .. count - 1 for each count: (counts, size), by Floyd's algorithm."""
    drawn = np.empty((size, len(count)), np.int64)
    for i in range(size):
        last = count - size + i
        new = rng.integers(0, last + 1)
        drawn[i] = np.where((drawn[:i] == new).any(0), last, new)
    return drawn.T


def _group(values: np.ndarray) -> _Groups:
    order = np.argsort(values, kind="stable")
    _, start, group, count = np.unique(values[order], return_index=True, return_inverse=True, return_counts=True)
    paired = np.flatnonzero(count[group] > 1)
    if not len(paired):
        raise ValueError(ALONE)
    return _Groups(order, start[group], count[group], paired)
