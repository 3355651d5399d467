"""Disentanglement, completeness and informativeness."""

from typing import Literal, NamedTuple

import numpy as np

from metrics import register
from metrics.base import Table, Values
from metrics.boosting import BoostedTrees, grow_side_by_side
from metrics.prediction import draw_seed, drop_dead, spare_cores, standardise

NAMES = (
    "score",
    "disentanglement",
    "completeness",
    "informativeness_train",
    "informativeness_test",
    "completeness_<factor>",
    "informativeness_test_<factor>",
)
COLUMNS = ("score", "completeness", "informativeness_test")
CHANCE = "disentanglement and completeness near 0; informativeness_test the share of a factor's commonest value"
CEILING = "1 (informativeness a little below for factors of many values)"
BREAKS = {
    "doubling codes (completeness)": "a factor that two codes hold is spread over both, which is what it measures"
}
ABSENT = 1e-11  # added to importances, so that a code or factor without any is spread evenly, as in the study
TREES = 100
ORDINARY = 20  # powers of two that codes may be from 1; far from what float32 holds, and from what its trees tell apart


class Fitted(NamedTuple):
    """How predictors of each factor use the codes, and how often they are right."""

    importances: np.ndarray  # (D, K), not negative
    right_train: np.ndarray  # (K,) in [0, 1]
    right_test: np.ndarray  # (K,)


@register(
    version=2,  # 2: completeness over codes that vary; the lasso's folds are drawn
    chance=CHANCE,
    at_chance=0,
    ceiling=CEILING,
    reference="Eastwood and Williams 2018, section 2; boosted trees and accuracy as in Locatello et al. 2019",
    names=NAMES,
    columns=COLUMNS,
    breaks=BREAKS,
    cost="minutes",
)
def dci(
    table: Table,
    rng: np.random.Generator,
    *,
    estimator: Literal["boosted_trees", "random_forest", "lasso"] = "boosted_trees",
) -> Values:
    """How far each code matters for one factor only, and each factor takes one code only.

    A classifier predicts each factor from all codes, fitted on the training rows; the importances
    of codes for factors, each factor's summing to 1, are R (D, K). Disentanglement is the mean
    over codes of 1 - the entropy of a row of R to base K, weighted by the rows' sums; completeness
    that over factors of the columns, to base D. D counts the codes that vary in the training rows: others
    are left out.

    Args:
        estimator: scikit-learn's gradient-boosted trees, as in the study (the threads that grow them side
            by side change no number); "random_forest" of 100 trees; or "lasso", which regresses a
            factor's value on standardised codes, its penalty chosen by cross-validation, and is right
            where the nearest value is.

    Returns:
        score, disentanglement: in [0, 1]. One factor has no other: 1.
        completeness: in [0, 1]. One code has no other: 1. 0 for a factor of which no code tells anything.
        informativeness_train, informativeness_test: mean accuracy over factors on either rows.
        completeness_<factor>, informativeness_test_<factor>: each factor's.

    Raises:
        ValueError: the estimator is unknown.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> factors = rng.integers(2, size=(300, 2))
        >>> round(dci(Table(factors, factors), rng)["disentanglement"], 3)
        1.0
    """
    fits = {"boosted_trees": _fit_boosted_trees, "random_forest": _fit_random_forest, "lasso": _fit_lasso}
    if estimator not in fits:
        raise ValueError(f"dci has no estimator {estimator!r}; it has {', '.join(map(repr, fits))}.")
    return summarise(table, fits[estimator](table, draw_seed(rng)))


def summarise(table: Table, fitted: Fitted) -> Values:
    """DCI's values from importances and accuracies."""
    totals = fitted.importances.sum(0)
    importances = np.where(totals > 0, fitted.importances / np.where(totals > 0, totals, 1), 0)
    disentanglement = concentration(importances)
    completeness = np.where(totals > 0, concentration(importances.T), 0)
    mass = importances.sum(1) / max(importances.sum(), ABSENT)
    score = float(disentanglement @ mass)
    values = {
        "score": score,
        "disentanglement": score,
        "completeness": float(completeness.mean()),
        "informativeness_train": float(fitted.right_train.mean()),
        "informativeness_test": float(fitted.right_test.mean()),
    }
    for prefix, numbers in (("completeness", completeness), ("informativeness_test", fitted.right_test)):
        values |= {f"{prefix}_{name}": float(each) for name, each in zip(table.factor_names, numbers, strict=True)}
    return values


def concentration(importances: np.ndarray) -> np.ndarray:
    """1 - the entropy of each row (N, M), to base M: 1 for a row in one column, 0 for one spread evenly."""
    if importances.shape[1] == 1:
        return np.ones(len(importances))
    shares = importances + ABSENT
    shares = shares / shares.sum(1, keepdims=True)
    return 1 + (shares * np.log(shares)).sum(1) / np.log(importances.shape[1])


def _within_float32(table: Table) -> tuple[np.ndarray, np.ndarray]:
    """Codes that vary, of training and test rows, in which scikit-learn's trees look for splits in float32.

    Those beyond its range are brought to about 1 by a power of two, which moves no split; others stay as they are.
    """
    train, test = drop_dead(table.codes, table.codes_test)
    _, powers = np.frexp(np.maximum(np.abs(train).max(0), np.abs(test).max(0)))
    powers = np.where(np.abs(powers) > ORDINARY, powers, 0)
    return np.ldexp(train, -powers), np.ldexp(test, -powers)


def _fit_boosted_trees(table: Table, seed: int) -> Fitted:
    train, test = (np.ascontiguousarray(codes, np.float32) for codes in _within_float32(table))
    trees = [BoostedTrees(train, factor, test, seed) for factor in table.factors.T]
    grow_side_by_side(trees, spare_cores())
    predicted = [one.predict() for one in trees]
    right = [
        [(guess == truth).mean() for guess, truth in zip(guesses, truths, strict=True)]
        for guesses, *truths in zip(predicted, table.factors.T, table.factors_test.T, strict=True)
    ]
    importances = np.stack([one.importances for one in trees], axis=1)
    return Fitted(importances, *np.transpose(right))


def _fit_random_forest(table: Table, seed: int) -> Fitted:
    from sklearn.ensemble import RandomForestClassifier

    # In one thread: scikit-learn swaps the process's warning filters for each tree, which threads mix up.
    train, test = _within_float32(table)
    importances, right = [], []
    for known, wanted in zip(table.factors.T, table.factors_test.T, strict=True):
        forest = RandomForestClassifier(TREES, random_state=seed).fit(train, known)
        importances.append(forest.feature_importances_)
        right.append([forest.score(train, known), (forest.predict(test) == wanted).mean()])
    return Fitted(np.stack(importances, axis=1), *np.transpose(right))


def _fit_lasso(table: Table, seed: int) -> Fitted:
    from sklearn.linear_model import LassoCV
    from sklearn.model_selection import KFold

    train, test = drop_dead(*standardise(table))
    folds = KFold(min(5, len(train)), shuffle=True, random_state=seed)  # rows may stand in order
    importances, right = [], []
    for known, wanted in zip(table.factors.T, table.factors_test.T, strict=True):
        lasso = LassoCV(cv=folds, random_state=seed, max_iter=100_000).fit(train, known)
        values = np.unique(known)
        guesses = [_nearest(values, lasso.predict(codes)) for codes in (train, test)]
        importances.append(np.abs(lasso.coef_))
        right.append([(guesses[0] == known).mean(), (guesses[1] == wanted).mean()])
    return Fitted(np.stack(importances, axis=1), *np.transpose(right))


def _nearest(values: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """The nearest of the ordered values to each number."""
    return values[np.searchsorted((values[1:] + values[:-1]) / 2, numbers)]
