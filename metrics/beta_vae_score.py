"""The disentanglement metric of the beta-VAE paper."""

from collections.abc import Sequence

import numpy as np
from sklearn.linear_model import LogisticRegression

from metrics import register
from metrics.base import Table, Values
from metrics.matching import matched_pairs, tell_unmatched


@register(
    version=2,  # 2: the order of a sum, and so its last digits
    chance="1 / number of factors",
    ceiling="1",
    widest=10_000,
    reference="Higgins et al. 2017, section 3; numbers of points as in Locatello et al. 2019",
    names=("score", "chance", "recall_<factor>", "without_shape", "chance_without_shape"),
    columns=("score", "without_shape"),
    least_factors=2,
    needs=tell_unmatched,
)
def beta_vae_score(
    table: Table,
    rng: np.random.Generator,
    *,
    pairs: int = 64,
    train_points: int = 10_000,
    test_points: int = 5_000,
) -> Values:
    """Accuracy of a linear classifier that tells which factor two groups of rows share.

    A point is the mean of |z1 - z2| over `pairs` pairs of rows that share the value of one
    factor, drawn uniformly; a linear softmax classifier, fitted on points of the training
    rows, predicts that factor for points of the test rows.

    Returns:
        score: test accuracy over all factors, in [0, 1]; `chance` is one over their number.
        recall_<factor>: the share of that factor's points which are told right.
        without_shape, chance_without_shape: the same over all factors but "shape", which are
            the paper's four on dSprites; only where a factor has that name.

    Raises:
        ValueError: there is one factor only, or no two rows share a factor's value.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> factors = rng.integers(4, size=(3000, 3))
        >>> beta_vae_score(Table(factors, factors), rng)["score"]
        1.0
    """
    everything = range(len(table.factor_names))
    hits, shares = _classify(table, everything, pairs, train_points, test_points, rng)
    values = {"score": hits, "chance": 1 / len(everything)}
    values |= {f"recall_{name}": float(share) for name, share in zip(table.factor_names, shares, strict=True)}
    others = [k for k in everything if table.factor_names[k] != "shape"]
    if 1 < len(others) < len(everything):
        values["without_shape"], _ = _classify(table, others, pairs, train_points, test_points, rng)
        values["chance_without_shape"] = 1 / len(others)
    return values


def _classify(
    table: Table, among: Sequence[int], pairs: int, train_points: int, test_points: int, rng: np.random.Generator
) -> tuple[float, np.ndarray]:
    """Test accuracy, and each class's recall, of telling the shared factor among those given."""
    if len(among) < 2:
        raise ValueError("beta_vae_score tells factors apart; it needs at least two.")
    points, shared = _draw_points(table.codes, table.factors, among, pairs, train_points, rng)
    # At the default tolerance 100 iterations do not always suffice, 1,000 do.
    classifier = LogisticRegression(max_iter=1000).fit(points, shared)
    points, shared = _draw_points(table.codes_test, table.factors_test, among, pairs, test_points, rng)
    right = classifier.predict(points) == shared
    return float(right.mean()), np.array([right[shared == k].mean() for k in among])


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
