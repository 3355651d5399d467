"""Unsupervised disentanglement ranking: models of one configuration that agree are disentangled."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from metrics.base import Metric

INFORMATIVE = 0.01  # least divergence in nats, or variance, of a latent that counts
ALPHA = 0.1  # the lasso's penalty on standardised latents, as in the study's code


def udr(
    codes: Sequence[np.ndarray],
    rng: np.random.Generator,
    *,
    kl: Sequence[np.ndarray] | None = None,
    method: Literal["lasso", "spearman"] = "lasso",
) -> np.ndarray:
    """How well each of several models agrees with the others, latent by latent.

    R (d_a, d_b) holds the similarity of the informative latents of model a with those of model b:
    the size of the weights with which a lasso tells b's from a's, both standardised, or Spearman's
    rank correlation. Two models agree by (sum over b's of r_b^2 / sum of R over a's, plus the same
    with the roles changed) / (d_a + d_b), r the greatest of a row or a column. A model's score is
    the median over its partners' a, itself being b.

    Args:
        codes: each model's codes (N, D) of the same N rows; D may differ.
        rng: not used, as neither method draws; it is here as in every metric.
        kl: each model's mean divergence from the prior in nats for each latent (D,). A latent is
            informative where this is above 0.01; without it, where its variance is.

    Returns:
        Each model's score (models,), from 0, no two latents related, to 1 for Spearman and about
        0.9 for the lasso, whose penalty takes 0.1 off the weight of a perfect copy; where latents of
        one model go together its weights may be above 1, and so may the score. 0 for a model without
        informative latents.

    Raises:
        ValueError: there are fewer than two models, the arrays do not fit together, or the
            method is unknown; the message says which.

    Reference: Duan et al. 2020, section 4.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> codes = rng.normal(size=(1000, 3))
        >>> udr([codes, -codes, codes[:, ::-1]], rng, method="spearman").round(1)
        array([1., 1., 1.])
    """
    if method not in ("lasso", "spearman"):
        raise ValueError(f"method {method!r} is unknown; choose 'lasso' or 'spearman'.")
    arrays = _check(codes, kl)
    informative = [array.var(0) for array in arrays] if kl is None else [np.asarray(each) for each in kl]
    if method == "spearman":
        arrays = [np.apply_along_axis(_rank, 0, array) for array in arrays]
    kept = [array[:, level > INFORMATIVE] for array, level in zip(arrays, informative, strict=True)]
    kept = [_standardise(array) for array in kept]
    relate = _lasso_weights if method == "lasso" else _correlations
    agreements = [[_agreement(relate(a, b)) for a in kept[:i] + kept[i + 1 :]] for i, b in enumerate(kept)]
    return np.median(agreements, axis=1)


def _check(codes: Sequence[np.ndarray], kl: Sequence[np.ndarray] | None) -> list[np.ndarray]:
    arrays = [np.asarray(array, np.float64) for array in codes]
    if len(arrays) < 2:
        raise ValueError("udr compares models; it needs the codes of at least two.")
    if any(array.ndim != 2 or array.size == 0 or len(array) != max(2, len(arrays[0])) for array in arrays):
        shapes = ", ".join(str(array.shape) for array in arrays)
        raise ValueError(f"codes have shapes {shapes}; (rows, latents) of the same rows, at least two, are needed.")
    if not all(np.isfinite(array).all() for array in arrays):
        raise ValueError("codes hold nan or infinity.")
    if kl is not None:
        if [np.shape(each) for each in kl] != [array.shape[1:] for array in arrays]:
            raise ValueError("kl does not fit codes; it needs one number for each latent of each model.")
        if not all(np.isfinite(each).all() for each in kl):
            raise ValueError("kl holds nan or infinity.")
    return arrays


def _rank(column: np.ndarray) -> np.ndarray:
    """Ranks from 1, equal values sharing their mean rank."""
    _, which, count = np.unique(column, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count - 1) / 2)[which]


def _standardise(codes: np.ndarray) -> np.ndarray:
    """Codes with mean 0 and variance 1; one that never varies becomes 0, not 0 / 0."""
    varies = np.ptp(codes, axis=0) > 0
    return np.where(varies, codes - codes.mean(0), 0) / np.where(varies, codes.std(0), 1)


def _correlations(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.abs(a.T @ b) / len(a)


def _lasso_weights(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Sizes of the weights (d_a, d_b) with which each of a's latents enters the prediction of b's."""
    if not (a.size and b.size):
        return np.zeros((a.shape[1], b.shape[1]))
    from sklearn.linear_model import Lasso

    # Nearly dependent latents take more than the default 1,000 sweeps.
    lasso = Lasso(alpha=ALPHA, fit_intercept=False, precompute=True, max_iter=100_000).fit(a, b)
    return np.abs(lasso.coef_).reshape(b.shape[1], a.shape[1]).T


def _agreement(similarity: np.ndarray) -> float:
    """How close a similarity matrix is to one large entry in every row and column."""
    if not similarity.size:
        return 0.0
    shares = 0.0
    for matrix in (similarity, similarity.T):
        greatest, total = matrix.max(0), matrix.sum(0)
        shares += (greatest**2 / np.where(total > 0, total, 1)).sum()
    return float(shares / sum(similarity.shape))


# It takes several models where a metric takes a table, and so stands beside the registry.
DECLARED = Metric(
    name="udr",
    function=udr,
    version=1,
    range=(0, 1),
    higher_is_better=True,
    chance="near 0 for latents that share nothing",
    ceiling="1 for Spearman, about 0.9 for the lasso",
    reference="Duan et al. 2020, section 4",
    names=("score", "spearman"),
    columns=("score", "spearman"),
    ranked=False,
    least_factors=0,
    breaks={"judging factors": "it does not look at them: it compares runs that differ in their seed alone"},
)
