"""OMES: modularity and compactness in one, by interventions on one factor."""

import numpy as np

from metrics import register
from metrics.base import Table, Values
from metrics.matching import matched_pairs

PAIRS = 10_000  # drawn of a factor
LEAST_PAIRS = 30  # of different rows that there must be, as a correlation of fewer is mostly noise
FAINT = 0.05  # standard deviation below which a code is left out, as published
FAINT_IS_DEAD = "a code of a standard deviation below 0.05 is left out, as published"


def _tell_few_pairs(table: Table) -> str:
    """One sentence where too few pairs of rows differ in some factor alone, else empty."""
    for k, name in enumerate(table.factor_names):
        if (pairs := _count_pairs(table.factors, k)) < LEAST_PAIRS:
            return (
                f"omes needs {LEAST_PAIRS} pairs of training rows that differ in factor {name!r} alone, and there are "
                f"{pairs}."
            )
    return ""


@register(
    version=2,  # 2: a row with itself as often as two draws coincide on its own value
    chance="not 0: what knows nothing seems to answer to all factors, 0.2 for ten codes and dSprites' factors",
    ceiling="1 (a little below, as correlations of few pairs are not 0)",
    widest=1_000,
    reference="Dapueto et al. 2024; the weighted mean over codes, of pairs matched in the table",
    names=("score", "modularity", "compactness", "active"),
    columns=("score", "modularity", "compactness"),
    needs=_tell_few_pairs,
    breaks={
        "doubling codes (compactness)": "a factor that two codes hold is not compact, which is what it measures",
        "shrinking all codes": FAINT_IS_DEAD,
        "shrinking all codes (modularity)": FAINT_IS_DEAD,
        "shrinking all codes (compactness)": FAINT_IS_DEAD,
    },
)
def omes(table: Table, rng: np.random.Generator, *, alpha: float = 0.5) -> Values:
    """How far a code answers to one factor alone, and a factor moves one code alone.

    Of a factor k pairs of rows are drawn that share all other factors, k being drawn anew. S_jk, the association of
    code j with it, is 1 less |correlation| of the code between the rows of a pair: a code that does not heed k is the
    same in both. O_jk is 1 less the mean distance, over factors, of a code's associations from the ideal in which it
    answers to k alone, and M_jk the same over codes, of those from the ideal in which k moves code j alone. A
    factor's modularity is the mean of O_jk S_jk over codes weighted by S_jk, and its compactness that of M_jk S_jk:
    as published, so that an association counts twice, and a factor that no code answers to scores 0. Codes of a
    standard deviation below 0.05 are left out. It takes the training rows.

    Rows stand in for new images: pairs of different rows that share all other factors, and, as often as two independent
    draws of k coincide, and on the values on which they do, a row with itself. Factors that go together leave k little
    to be drawn from beside the others: then true factors too score below 1.

    Args:
        alpha: the share of modularity in the score, the rest being compactness; at most 1.

    Returns:
        score: the mean over factors of alpha x modularity + (1 - alpha) x compactness, in [0, 1].
        modularity, compactness: their means over factors.
        active: the number of codes that are not faint.

    Raises:
        ValueError: alpha is above 1.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> factors = rng.integers(4, size=(3000, 2))
        >>> round(omes(Table(factors, factors), rng)["score"], 1)
        1.0
    """
    if alpha > 1:
        raise ValueError(f"omes's alpha is {alpha:g}; a number from 0 to 1 is needed.")
    active = table.codes[:, table.codes.std(0) >= FAINT]
    pairs = [_draw_pairs(table.factors, k, rng) for k in range(table.factors.shape[1])]
    association = np.stack([1 - _correlations(active[first], active[second]) for first, second in pairs], axis=1)
    modularity, compactness = (_agreement(association, axis).mean() for axis in (1, 0))
    return {
        "score": float(alpha * modularity + (1 - alpha) * compactness),
        "modularity": float(modularity),
        "compactness": float(compactness),
        "active": float(active.shape[1]),
    }


def _number_others(factors: np.ndarray, k: int) -> np.ndarray:
    """A number for each combination of values of all factors (N, K) but one: (N,)."""
    numbers = np.zeros(len(factors), np.int64)
    for column in np.delete(factors, k, axis=1).T:  # numbered anew each time, so that they stay small
        numbers = np.unique(numbers * (column.max() + 1) + column, return_inverse=True)[1]
    return numbers


def _count_pairs(factors: np.ndarray, k: int) -> int:
    """How many pairs of rows differ in that factor alone."""
    others = _number_others(factors, k)
    alike = np.unique(others, return_counts=True)[1]
    same = np.unique(np.column_stack([others, factors[:, k]]), axis=0, return_counts=True)[1]
    return int((alike**2).sum() - (same**2).sum()) // 2


def _draw_pairs(factors: np.ndarray, k: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The first and the second rows of pairs that share all factors but one, which is drawn anew."""
    first, second = matched_pairs(_number_others(factors, k), PAIRS, rng)
    differ = factors[first, k] != factors[second, k]
    shares = np.bincount(factors[:, k]) / len(factors)
    coincide = (shares**2).sum()
    own = shares[factors[:, k]]
    alone = rng.choice(len(factors), round(differ.sum() * coincide / (1 - coincide)), p=own / own.sum())
    return np.concatenate([first[differ], alone]), np.concatenate([second[differ], alone])


def _correlations(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """|Pearson's correlation| of each column (N, D) of one with that of the other: (D,); 1 of one that never varies."""
    left, right = left - left.mean(0), right - right.mean(0)
    length = np.linalg.norm(left, axis=0) * np.linalg.norm(right, axis=0)
    return np.where(length > 0, np.minimum(np.abs((left * right).sum(0)) / np.where(length > 0, length, 1), 1), 1)


def _agreement(association: np.ndarray, axis: int) -> np.ndarray:
    """Each factor's mean over codes of S (D, K) times how near its rows or columns are to a single 1: (K,)."""
    size = max(association.shape[axis], 1)
    near = 1 - (association.sum(axis, keepdims=True) + 1 - 2 * association) / size
    weights = association.sum(0)
    return (near * association**2).sum(0) / np.where(weights > 0, weights, 1)
