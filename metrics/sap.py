"""The separated attribute predictability score."""

from concurrent.futures import ThreadPoolExecutor
from itertools import product

import numpy as np

from metrics import register
from metrics.base import Table, Values
from metrics.prediction import spare_cores

COLLAPSED = 1e-12  # greatest variance of a code that counts as constant


@register(
    version=1,
    chance="about 0",
    at_chance=0,
    ceiling="well below 1 for factors of many values, as a linear classifier on one number tells few classes apart",
    reference="Kumar et al. 2018, section 3; classifier and numbers as in Locatello et al. 2019",
    names=("score", "continuous", "gap_<factor>", "continuous_<factor>"),
    columns=("score", "continuous"),
    cost="seconds",
    breaks={
        "shifting": "the classifier's penalty acts on raw codes and the intercept, as in the study; `continuous` stays",
        "shrinking all codes": "the classifier's penalty acts on raw codes, as in the study; `continuous` stays",
        "doubling codes": "two codes that tell a factor equally well leave no gap",
        "doubling codes (continuous)": "two codes that tell a factor equally well leave no gap",
        "relabelling factors (continuous)": "a correlation with a factor's values, so that their order counts",
    },
)
def sap(table: Table, rng: np.random.Generator, *, penalty: float = 0.01) -> Values:
    """How much better the best code alone predicts a factor than the second best does.

    A linear support vector classifier with balanced classes and C = `penalty` predicts each factor
    from each code, fitted on the training rows; the gap is between its two best accuracies on the
    test rows. A code whose variance is at most 1e-12 predicts nothing, with accuracy 0.

    Returns:
        score: the mean gap, in [0, 1]. A single code has no rival.
        continuous: the mean gap of squared correlations over the training rows, which does
            not depend on classes but takes the values' order for real, and their ranks for distances.
        gap_<factor>, continuous_<factor>: each factor's.

    Raises:
        ValueError: the penalty is not above 0.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> factors = rng.integers(2, size=(3000, 2))
        >>> round(sap(Table(factors, factors), rng)["continuous"], 1)
        1.0
    """
    if not penalty > 0:
        raise ValueError(f"sap's penalty is {penalty:g}; a number above 0 is needed.")
    shape = (table.codes.shape[1], table.factors.shape[1])
    discrete, continuous = np.zeros(shape), np.zeros(shape)
    pairs = list(product(np.flatnonzero(table.codes.var(0) > COLLAPSED).tolist(), range(shape[1])))
    with ThreadPoolExecutor(spare_cores()) as pool:
        accuracies = pool.map(lambda pair: _accuracy(table, pair[0], pair[1], penalty), pairs)
    for (i, k), accuracy in zip(pairs, accuracies, strict=True):
        discrete[i, k] = accuracy
        continuous[i, k] = np.corrcoef(table.codes[:, i], table.factors[:, k])[0, 1] ** 2
    values = {"score": float(_gaps(discrete).mean()), "continuous": float(_gaps(continuous).mean())}
    for prefix, matrix in (("gap", discrete), ("continuous", continuous)):
        gaps = zip(table.factor_names, _gaps(matrix), strict=True)
        values |= {f"{prefix}_{name}": float(gap) for name, gap in gaps}
    return values


def _accuracy(table: Table, i: int, k: int, penalty: float) -> float:
    from sklearn.svm import LinearSVC

    classifier = LinearSVC(C=penalty, class_weight="balanced", random_state=0)
    classifier.fit(table.codes[:, [i]], table.factors[:, k])
    return float((classifier.predict(table.codes_test[:, [i]]) == table.factors_test[:, k]).mean())


def _gaps(scores: np.ndarray) -> np.ndarray:
    """The difference between the two best codes (D, K) of each factor: (K,)."""
    ordered = np.sort(scores, axis=0)
    return ordered[-1] - (ordered[-2] if len(ordered) > 1 else 0.0)
