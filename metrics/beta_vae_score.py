"""The disentanglement metric of the beta-VAE paper."""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from metrics import register
from metrics.base import Table, Values
from metrics.matching import matched_pairs, tell_unmatched

ADAGRAD_RATE, ADAGRAD_BATCH, ADAGRAD_START = 0.01, 10, 0.1
UNSATURATED = 5  # pairs a point at which no representation that was tried reaches the ceiling, whatever it holds

Classifier = Literal["converged", "adagrad"]


@register(
    version=2,  # 2: the order of a sum, and so its last digits
    chance="1 / number of factors",
    at_chance="beta_vae_score.chance",
    ceiling="1, to which trained models come near without shape at 64 pairs a point; see at_5_pairs",
    widest=10_000,
    reference="Higgins et al. 2017, section 3; numbers of points as in Locatello et al. 2019",
    names=(
        "score",
        "chance",
        "recall_<factor>",
        "without_shape",
        "chance_without_shape",
        "at_5_pairs",
        "at_5_pairs_without_shape",
    ),
    columns=("score", "without_shape", "at_5_pairs", "at_5_pairs_without_shape"),
    least_factors=2,
    needs=tell_unmatched,
    breaks={
        "noticing a rotation": "points averaged over many pairs tell which direction is still, whatever it is",
        "shrinking all codes (at_5_pairs)": "the classifier's penalty acts on raw codes, as in the study",
        "shrinking all codes (at_5_pairs_without_shape)": "the classifier's penalty acts on raw codes, as in the study",
    },
)
def beta_vae_score(
    table: Table,
    rng: np.random.Generator,
    *,
    pairs: int = 64,
    train_points: int = 10_000,
    test_points: int = 5_000,
    classifier: Classifier = "converged",
    classifier_steps: int = 10_000,
) -> Values:
    """Accuracy of a linear classifier that tells which factor two groups of rows share.

    A point is the mean of |z1 - z2| over `pairs` pairs of rows that share the value of one
    factor, drawn uniformly; a linear softmax classifier, fitted on points of the training
    rows, predicts that factor for points of the test rows.

    The paper does not say over how many pairs a point is averaged. The more there are, the less noise is in a
    point and the easier it is told: over 64, the study's number, dSprites without
    shape scores near 1 for nearly every model.

    Args:
        pairs: averaged over in a point.
        classifier: "converged" is the maximum of the likelihood under scikit-learn's default penalty, as in the
            study; "adagrad" a linear layer after so many steps of Adagrad at a rate of 0.01, each on 10 points,
            as in the paper's appendix, from weights of 0.
        classifier_steps: of "adagrad".

    Returns:
        score: test accuracy over all factors, in [0, 1]; `chance` is one over their number.
        recall_<factor>: the share of that factor's points which are told right.
        without_shape, chance_without_shape: the same over all factors but "shape", which are
            the paper's four on dSprites; only where a factor has that name.
        at_5_pairs, at_5_pairs_without_shape: both with points over 5 pairs, whatever `pairs` is.

    Raises:
        ValueError: there is one factor only, or no two rows share a factor's value.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> factors = rng.integers(4, size=(3000, 3))
        >>> beta_vae_score(Table(factors, factors), rng)["score"]
        1.0
    """

    def classify(among: Sequence[int], pairs: int) -> tuple[float, np.ndarray]:
        return tell_factors(table, among, rng, pairs, train_points, test_points, classifier, classifier_steps)

    names = table.factor_names
    everything = range(len(names))
    others = without_shape(names)
    hits, shares = classify(everything, pairs)
    values = {"score": hits, "chance": 1 / len(names)}
    values |= {f"recall_{name}": float(share) for name, share in zip(names, shares, strict=True)}
    if others:
        values["without_shape"], _ = classify(others, pairs)
        values["chance_without_shape"] = 1 / len(others)
    values["at_5_pairs"], _ = classify(everything, UNSATURATED)
    if others:
        values["at_5_pairs_without_shape"], _ = classify(others, UNSATURATED)
    return values


def without_shape(names: Sequence[str]) -> list[int]:
    """The places of all factors but the shape; none where there is no shape, or one other factor only."""
    others = [k for k, name in enumerate(names) if name != "shape"]
    return others if 1 < len(others) < len(names) else []


def tell_factors(
    table: Table,
    among: Sequence[int],
    rng: np.random.Generator,
    pairs: int,
    train_points: int,
    test_points: int,
    classifier: Classifier = "converged",
    classifier_steps: int = 10_000,
) -> tuple[float, np.ndarray]:
    """Test accuracy, and each class's recall, of telling the shared factor among those given (see `beta_vae_score`)."""
    if len(among) < 2:
        raise ValueError("beta_vae_score tells factors apart; it needs at least two.")
    points, shared = _draw_points(table.codes, table.factors, among, pairs, train_points, rng)
    predict = _descend(points, shared, classifier_steps, rng) if classifier == "adagrad" else _fit(points, shared)
    points, shared = _draw_points(table.codes_test, table.factors_test, among, pairs, test_points, rng)
    right = predict(points) == shared
    return float(right.mean()), np.array([right[shared == k].mean() for k in among])


Predict = Callable[[np.ndarray], np.ndarray]  # points (N, D) -> the factor of each (N,)


def _fit(points: np.ndarray, shared: np.ndarray) -> Predict:
    from sklearn.linear_model import LogisticRegression

    # At the default tolerance 100 iterations do not always suffice, 1,000 do.
    predict: Predict = LogisticRegression(max_iter=1000).fit(points, shared).predict
    return predict


def _descend(points: np.ndarray, shared: np.ndarray, steps: int, rng: np.random.Generator) -> Predict:
    """A linear layer and a softmax after so many steps of Adagrad on the cross-entropy of batches.

    The accumulator starts at 0.1, as that of the paper's library does.
    """
    from scipy.special import softmax

    classes, labels = np.unique(shared, return_inverse=True)
    inputs = np.hstack([points, np.ones((len(points), 1))])  # the last weight is the bias
    weights = np.zeros((inputs.shape[1], len(classes)))
    squares = np.full_like(weights, ADAGRAD_START)
    wanted = np.eye(len(classes))[labels]
    for batch in rng.integers(len(inputs), size=(steps, ADAGRAD_BATCH)):
        given = inputs[batch]
        gradient = given.T @ (softmax(given @ weights, axis=1) - wanted[batch]) / ADAGRAD_BATCH
        squares += gradient**2
        weights -= ADAGRAD_RATE * gradient / np.sqrt(squares)
    return lambda points: classes[(points @ weights[:-1] + weights[-1]).argmax(1)]


def _draw_points(
    codes: np.ndarray,
    factors: np.ndarray,
    among: Sequence[int],
    pairs: int,
    points: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Mean absolute differences (points, D) and the shared factor of each (points,)."""
    shared = rng.choice(np.asarray(among), points)
    differences = np.empty((points, codes.shape[1]))
    columns = np.ascontiguousarray(codes.T)
    for k in among:
        chosen = np.flatnonzero(shared == k)
        first, second = matched_pairs(factors[:, k], len(chosen) * pairs, rng)
        # One code at a time: the pairs of all codes at once would not fit a cache, nor pixels the memory.
        gaps = [np.abs(column[first] - column[second]).reshape(len(chosen), pairs).mean(1) for column in columns]
        differences[chosen] = np.stack(gaps, axis=1)
    return differences, shared
