"""Explicitness: how well a linear classifier reads a factor."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from metrics import register
from metrics.base import Table, Values
from metrics.prediction import spare_cores, standardise


def _tell_unjudged(table: Table) -> str:
    """One sentence where a factor has no two values in the test rows that training rows have, else empty."""
    for name, known, wanted in zip(table.factor_names, table.factors.T, table.factors_test.T, strict=True):
        if not np.isin(wanted, known).any() or np.ptp(wanted) == 0:
            return f"explicitness needs test rows of two values of factor {name!r} that training rows have."
    return ""


@register(
    version=1,
    chance="0.5",
    at_chance=0.5,
    ceiling="1 (a little below for factors of many values)",
    reference="Ridgeway and Mozer 2018, section 3; not rescaled from [0.5, 1] to [0, 1], as in Locatello et al. 2019",
    names=("score", "score_train", "auc_<factor>"),
    cost="seconds",
    needs=_tell_unjudged,
    breaks={"noticing a rotation": "a linear classifier undoes it"},
)
def explicitness(table: Table, rng: np.random.Generator) -> Values:
    """How well a linear classifier tells the values of a factor from all codes, as area under the ROC curve.

    A logistic regression on standardised codes, fitted on the training rows; of each value against
    the rest the area under the curve on the test rows, averaged over values and then factors.
    A value that is missing from the training or the test rows, or fills the latter, is left out.
    It says that a factor is present and easily read, not that it is disentangled.

    Returns:
        score: in [0, 1].
        score_train: the same on the rows that it was fitted on.
        auc_<factor>: each factor's, on the test rows.

    Raises:
        ValueError: a factor takes one value only in the test rows.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> factors = rng.integers(2, size=(3000, 2))
        >>> round(explicitness(Table(factors, factors), rng)["score"], 2)
        1.0
    """
    from sklearn.linear_model import LogisticRegression

    train, test = standardise(table)

    def areas(name: str, known: np.ndarray, wanted: np.ndarray) -> list[float]:
        # The default of 100 iterations nearly always suffices, 1,000 do always.
        classifier = LogisticRegression(max_iter=1000).fit(train, known)
        return [_area(classifier, codes, values, name) for codes, values in ((train, known), (test, wanted))]

    with ThreadPoolExecutor(spare_cores()) as pool:
        found = list(pool.map(areas, table.factor_names, table.factors.T, table.factors_test.T))
    of_train, of_test = np.transpose(found)
    values = {"score": float(of_test.mean()), "score_train": float(of_train.mean())}
    return values | {f"auc_{name}": float(area) for name, area in zip(table.factor_names, of_test, strict=True)}


def _area(classifier: Any, codes: np.ndarray, values: np.ndarray, name: str) -> float:
    """The mean over the factor's values of the area under the curve of each against the rest."""
    from scipy.stats import rankdata

    ranks = rankdata(classifier.predict_proba(codes), axis=0)
    members = values[:, None] == classifier.classes_
    own = members.sum(0)
    judged = (own > 0) & (own < len(values))
    if not judged.any():
        raise ValueError(f"explicitness needs test rows of two values of factor {name!r} that training rows have.")
    # Of all pairs of a member and another, how many the member wins (Mann and Whitney 1947).
    won = (ranks * members).sum(0) - own * (own + 1) / 2
    return float((won[judged] / (own * (len(values) - own))[judged]).mean())
