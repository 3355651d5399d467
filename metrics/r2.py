"""R^2 of the factors: how much of them a regression on all codes explains."""

import numpy as np

from metrics import register
from metrics.base import Table, Values
from metrics.generalisation import boosted
from metrics.prediction import draw_seed, regress_linearly, standardise

ORDINAL = "a regression takes the order of a factor's values for real, which those of a nominal one do not have"


@register(
    version=1,
    chance="0",
    at_chance=0,
    ceiling="1",
    widest=1_000,
    cost="seconds",
    reference="linear and nonlinear as by von Kuegelgen et al. 2021; r: Lachapelle et al. 2022",
    names=("score", "nonlinear", "r", "linear_<factor>", "nonlinear_<factor>"),
    columns=("score", "nonlinear"),
    breaks={
        "relabelling factors": ORDINAL,
        "relabelling factors (nonlinear)": ORDINAL,
        "noticing a rotation": "a regression on all codes undoes it",
    },
)
def r2(table: Table, rng: np.random.Generator) -> Values:
    """How much of each factor a regression on all codes explains.

    Of each factor, by the ranks of its values, R^2 on the test rows of what was fitted on the training rows: 1 less the
    squares of residuals over those of distances from the test rows' mean. Below 0 counts as 0, and so does a
    factor that takes one value in the test rows. It says that factors are there, up to a linear map or any
    map, and nothing of axes: a rotation of the factors gets 1.

    The linear regression is least squares with an intercept on standardised codes, with a ridge penalty that
    cross-validation finds (`prediction.regress_linearly`), so that it holds where codes are as many as rows. The
    nonlinear one is by 100 of LightGBM's trees of depth 3 where papers take kernel ridge regression, whose time grows
    with the cube of the rows.

    Returns:
        score: the mean linear R^2 over factors, in [0, 1].
        nonlinear: the same of the trees.
        r: the mean root of the linear R^2, never far below `mcc`'s pearson, as all codes tell at least what one does.
        linear_<factor>, nonlinear_<factor>: each factor's.

    Example:
        >>> factors = np.random.default_rng(0).integers(4, size=(3000, 2))
        >>> rotated = factors @ np.array([[3, -4], [4, 3]])
        >>> round(r2(Table(rotated, factors), np.random.default_rng(0))["score"], 3)
        1.0
    """
    train, test = standardise(table)
    predict = boosted(table, draw_seed(rng))
    linear = _explained(regress_linearly(train, table.factors, test), table.factors_test)
    nonlinear = _explained(np.stack([predict(factor) for factor in table.factors.T], axis=1), table.factors_test)
    values = {"score": linear.mean(), "nonlinear": nonlinear.mean(), "r": np.sqrt(linear).mean()}
    for prefix, shares in (("linear", linear), ("nonlinear", nonlinear)):
        values |= {f"{prefix}_{name}": share for name, share in zip(table.factor_names, shares, strict=True)}
    return {name: float(value) for name, value in values.items()}


def _explained(told: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """R^2 of each factor (N, K) by what is told of it, below 0 as 0: (K,)."""
    total = np.square(factors - factors.mean(0)).sum(0)
    missed = np.square(factors - told).sum(0)
    return np.where(total > 0, np.maximum(1 - missed / np.where(total > 0, total, 1), 0), 0)
