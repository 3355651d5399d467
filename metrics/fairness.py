"""Fairness: whether what is predicted of one factor depends on another that should not matter."""

import numpy as np

from metrics import register
from metrics.base import Table, Values
from metrics.prediction import classify_by_trees, draw_seed, standardise

SHUFFLES = 5


@register(
    version=1,
    higher_is_better=False,
    ranked=False,
    chance="0, as guesses that know nothing depend on nothing",
    ceiling="0 is fair",
    least_factors=2,
    cost="seconds",
    reference="Locatello et al. 2019, On the fairness of disentangled representations; rows in place of new images, "
    "less what shuffled rows show",
    names=("score", "worst", "uncorrected"),
    columns=("score", "worst"),
    breaks={"ranking noise last": "what tells nothing of any factor is fair to all of them"},
)
def fairness(table: Table, rng: np.random.Generator) -> Values:
    """How far guesses of one factor depend on each other factor: unfairness, less is better.

    Each factor in turn is the target, guessed from all codes by 10 steps of LightGBM's trees of depth 3, fitted on
    the training rows; each other one is sensitive. Where the sensitive factor has a value, the guesses on the test
    rows have a distribution, compared with that on all test rows by total variation; the mean over values is weighted
    by their rows. Published, new images are made that differ in the sensitive factor alone; among rows of a table
    those of few a value differ by chance, so that what guesses show that are shuffled among the rows is taken off.
    Where factors depend on one another a right guess is not independent of the others, and fair to none.

    Returns:
        score: the mean over targets and sensitive factors, in [0, 1], below 0 as 0.
        worst: the greatest of a target and a sensitive factor.
        uncorrected: the mean before what shuffled guesses show is taken off.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> factors = rng.integers(4, size=(3000, 2))
        >>> round(fairness(Table(factors, factors), rng)["score"], 1)
        0.0
    """
    train, test = standardise(table)
    seed = draw_seed(rng)
    shown, expected = [], []
    for k, known in enumerate(table.factors.T):
        guesses = classify_by_trees(train, known, test, seed)
        shuffled = [rng.permutation(guesses) for _ in range(SHUFFLES)]
        for sensitive in np.delete(table.factors_test, k, axis=1).T:
            shown.append(_variation(guesses, sensitive))
            expected.append(np.mean([_variation(each, sensitive) for each in shuffled]))
    beyond = np.subtract(shown, expected)
    return {
        "score": float(max(beyond.mean(), 0)),
        "worst": float(max(beyond.max(), 0)),
        "uncorrected": float(np.mean(shown)),
    }


def _variation(guesses: np.ndarray, sensitive: np.ndarray) -> float:
    """Total variation of guesses where the sensitive factor has a value from all guesses, the mean over rows."""
    joint = np.zeros((sensitive.max() + 1, guesses.max() + 1))
    np.add.at(joint, (sensitive, guesses), 1 / len(guesses))
    return float(np.abs(joint - joint.sum(1, keepdims=True) * joint.sum(0)).sum() / 2)
