"""Downstream prediction: what a representation is good for, and how few rows it takes."""

import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import numpy as np

from metrics import register
from metrics.base import Table, Values
from metrics.boosting import BoostedTrees, grow_side_by_side
from metrics.prediction import draw_seed, spare_cores, standardise

ROWS = (10, 100, 1_000, 10_000)
ESTIMATORS: tuple[Literal["logistic"], Literal["trees"]] = ("logistic", "trees")
PENALTIES = np.logspace(-4, 4, 10)  # scikit-learn's grid of ten C
FOLDS = 5


@register(
    version=1,
    chance="the share of a factor's commonest value",
    ceiling="1 with rows enough",
    reference="Locatello et al. 2019, section 5.5",
    names=(
        "score",
        *(f"{name}_{rows}" for name in ESTIMATORS for rows in ROWS),
        *(f"{name}_efficiency" for name in ESTIMATORS),
    ),
    columns=("score", "logistic_efficiency", "trees_efficiency"),
    cost="minutes",
    least_rows=ROWS[0],
    breaks={"noticing a rotation": "a predictor of all codes undoes it"},
)
def downstream(
    table: Table,
    rng: np.random.Generator,
    *,
    rows: Sequence[int] = ROWS,
    estimators: Sequence[Literal["logistic", "trees"]] = ESTIMATORS,
) -> Values:
    """How well simple predictors tell the factors from all codes, by the number of rows they learn from.

    Of that many training rows, drawn at random, each factor is learned by "logistic", a logistic
    regression on raw codes whose C is chosen of ten by five-fold cross-validation, and by
    "trees", gradient-boosted trees (scikit-learn's defaults); both are tried on all test rows.
    Numbers of rows beyond the table's are left out.

    Returns:
        <estimator>_<rows>: mean accuracy over factors.
        <estimator>_efficiency: accuracy at the second number of rows over that at the last, in the
            study 100 and 10,000, above 0; 1 where a hundred rows tell as much. Only where the table has all.
        score: the first estimator's accuracy at most rows, in [0, 1].

    Raises:
        ValueError: there is no estimator of that name, or no number of rows that the table has.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> factors = rng.integers(2, size=(300, 2))
        >>> downstream(Table(factors, factors), rng, estimators=["logistic"])["logistic_100"]
        1.0
    """
    sizes = sorted({size for size in rows if 1 <= size <= len(table.codes)})
    if not sizes or not estimators or not set(estimators) <= set(ESTIMATORS):
        raise ValueError(
            f"downstream got rows {list(rows)} and estimators {list(estimators)} for {len(table.codes)} training rows; "
            "at least one number of rows that the table has and one of 'logistic' and 'trees' are needed."
        )
    drawn = {size: rng.choice(len(table.codes), size, replace=False) for size in sizes}
    seed = draw_seed(rng)
    # Trees do not mind, but are grown in float32, which has its limits.
    codes = {"logistic": (table.codes, table.codes_test), "trees": standardise(table)}
    values = {
        f"{name}_{size}": _mean_accuracy(name, codes[name], table, drawn[size], seed)
        for name in estimators
        for size in sizes
    }
    if len(sizes) == len(set(rows)) > 1:
        for name in estimators:
            most = values[f"{name}_{sizes[-1]}"]
            values[f"{name}_efficiency"] = values[f"{name}_{sizes[1]}"] / most if most else 0.0
    return {"score": values[f"{estimators[0]}_{sizes[-1]}"], **values}


def _mean_accuracy(
    name: str, codes: tuple[np.ndarray, np.ndarray], table: Table, chosen: np.ndarray, seed: int
) -> float:
    train, test, factors = codes[0][chosen], codes[1], table.factors[chosen]
    # Of few rows all may have one value: then that is all there is to learn.
    told = np.ptp(factors, axis=0) > 0
    guesses = np.tile(factors[0], (len(test), 1))
    if told.any():
        predict = {"logistic": _predict_logistic, "trees": _predict_trees}[name]
        guesses[:, told] = np.transpose(predict(train, factors[:, told], test, seed))
    return float((guesses == table.factors_test).mean())


def _predict_trees(train: np.ndarray, factors: np.ndarray, test: np.ndarray, seed: int) -> list[np.ndarray]:
    train, test = (np.ascontiguousarray(codes, np.float32) for codes in (train, test))
    trees = [BoostedTrees(train, factor, test, seed) for factor in factors.T]
    grow_side_by_side(trees, spare_cores())
    return [one.predict()[1] for one in trees]


def _predict_logistic(train: np.ndarray, factors: np.ndarray, test: np.ndarray, seed: int) -> list[np.ndarray]:
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings(), ThreadPoolExecutor(spare_cores()) as pool:
        warnings.simplefilter("ignore", ConvergenceWarning)  # with hardly any penalty 100 iterations do not suffice
        return list(pool.map(lambda factor: _logistic(train, factor).predict(test), factors.T))


def _logistic(codes: np.ndarray, factor: np.ndarray) -> Any:
    """Fitted with the C that has the best mean accuracy over folds, the strongest penalty among equals."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import KFold

    folds = list(KFold(min(FOLDS, len(codes))).split(codes))
    right = [[_right_on_fold(codes, factor, penalty, *fold) for fold in folds] for penalty in PENALTIES]
    return LogisticRegression(C=PENALTIES[np.argmax(np.mean(right, axis=1))]).fit(codes, factor)


def _right_on_fold(
    codes: np.ndarray, factor: np.ndarray, penalty: float, kept: np.ndarray, held_out: np.ndarray
) -> float:
    from sklearn.linear_model import LogisticRegression

    if len(np.unique(factor[kept])) == 1:
        return float((factor[held_out] == factor[kept][0]).mean())
    classifier = LogisticRegression(C=penalty).fit(codes[kept], factor[kept])
    return float((classifier.predict(codes[held_out]) == factor[held_out]).mean())
