"""How well predictors that learned from some combinations of factors tell the factors of others."""

from collections.abc import Callable

import numpy as np

from metrics.base import Metric, Table, Values
from metrics.dci_fast import PLAIN, TREES
from metrics.prediction import draw_seed, drop_dead, standardise

STEPS = 100
Predict = Callable[[np.ndarray], np.ndarray]  # a factor's training values (N,) -> predictions (N_test,)


def generalisation(table: Table, rng: np.random.Generator) -> Values:
    """How well each factor's number is told by predictors fitted on the training rows, on test rows of other images.

    The training rows are of combinations that were seen, the test rows of others. Each factor's values, in their
    order, are regressed on all codes: "linear" by least squares, "boosted" by 100 gradient-boosted trees of depth 3
    (LightGBM's). A factor that takes one value in the test rows has no R^2, and is left out of those means.

    Returns:
        score: mean over factors of the linear R^2, which counts as 0 where it is below, in [0, 1].
        boosted: the same of the trees.
        linear_accuracy, boosted_accuracy: mean share of test rows in which the value nearest to what is predicted is
            the right one, which says more of factors whose values have no order, such as shape.
        <predictor>_<factor>, <predictor>_accuracy_<factor>: of each factor, R^2 of any sign.

    Reference: Schott et al. 2022, section 3, whose score is R^2 by factor.

    Example:
        >>> factors = np.random.default_rng(0).integers(4, size=(300, 2))
        >>> seen = factors[(factors < 3).any(1)]
        >>> unseen = np.array([[3, 3], [3, 3]])
        >>> values = generalisation(Table(seen, seen, unseen, unseen), np.random.default_rng(0))
        >>> values["linear_accuracy"], "linear_factor_0" in values
        (1.0, False)
    """
    predictors = {"linear": _linear(table), "boosted": boosted(table, draw_seed(rng))}
    values: Values = {}
    for predictor, predict in predictors.items():
        told = {name: predict(column) for name, column in zip(table.factor_names, table.factors.T, strict=True)}
        values |= _judge(predictor, told, table)
    return {"score": values.pop("linear"), **values}


def _judge(predictor: str, told: dict[str, np.ndarray], table: Table) -> Values:
    """The values that a predictor has by what it told of each factor's test rows (N_test,)."""
    explained, right = {}, {}
    for name, column, truth in zip(table.factor_names, table.factors.T, table.factors_test.T, strict=True):
        greatest = max(column.max(), truth.max())
        right[name] = float((np.rint(told[name]).clip(0, greatest) == truth).mean())
        if np.ptp(truth) > 0:
            explained[name] = float(1 - ((told[name] - truth) ** 2).sum() / ((truth - truth.mean()) ** 2).sum())
    return {
        predictor: float(np.mean([max(0.0, value) for value in explained.values()])) if explained else 0.0,
        f"{predictor}_accuracy": float(np.mean([*right.values()])),
        **{f"{predictor}_{name}": value for name, value in explained.items()},
        **{f"{predictor}_accuracy_{name}": value for name, value in right.items()},
    }


def _linear(table: Table) -> Predict:
    """Least squares on standardised codes, the solution of least norm where several are."""
    train, test = (np.column_stack([codes, np.ones(len(codes))]) for codes in standardise(table))
    solve = np.linalg.pinv(train)
    return lambda values: test @ (solve @ values)


def boosted(table: Table, seed: int) -> Predict:
    """100 of LightGBM's trees of depth 3 that regress a factor's values on all codes."""
    train, test = drop_dead(table.codes, table.codes_test)
    lows, ranges = train.min(0), np.ptp(train, axis=0)
    # LightGBM takes numbers near 0 for 0.
    train, test = ((codes - lows) / np.where(ranges > 0, ranges, 1) for codes in (train, test))

    def predict(values: np.ndarray) -> np.ndarray:
        import lightgbm  # takes a third of a second to import

        parameters = {"objective": "regression", "seed": seed} | TREES | PLAIN | {"boost_from_average": True}
        data = lightgbm.Dataset(train, values, params=parameters)
        return np.asarray(lightgbm.train(parameters, data, STEPS).predict(test))

    return predict


DECLARED = Metric(
    name="generalisation",
    function=generalisation,
    version=1,
    range=(0, 1),
    higher_is_better=True,
    chance="0",
    ceiling="1",
    reference="Schott et al. 2022, section 3",
    names=(
        "score",
        "boosted",
        *(f"{predictor}_accuracy" for predictor in ("linear", "boosted")),
        *(f"{predictor}{what}_<factor>" for predictor in ("linear", "boosted") for what in ("", "_accuracy")),
    ),
    columns=("score", "boosted", "linear_accuracy", "boosted_accuracy"),
    cost="seconds",
    ranked=False,
)
