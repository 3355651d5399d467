"""Metrics without labels: how far codes are from independent, and how many of them are in use."""

import math

import numpy as np

from metrics import register
from metrics.base import Table, Values
from metrics.information import bin_codes, mutual_information

SMALLEST_EIGENVALUE = 1e-12  # of a correlation matrix; float32's rounding leaves less than that


@register(
    version=1,
    range=(0, math.inf),
    higher_is_better=False,
    chance="0: independent noise is best; D (D - 1) / 4N more by sampling",
    ceiling="0, less is better; factors that are independent reach it",
    reference="Watanabe 1960; for Gaussians, and on codes, as in Locatello et al. 2019",
    ranked=False,
    least_factors=0,
    breaks={
        "judging factors": "it does not look at them",
        "doubling codes": "a copy depends on its original entirely; each adds about 13 nats, for the true infinity",
    },
)
def gaussian_total_correlation(table: Table, rng: np.random.Generator) -> Values:
    """Total correlation in nats of the normal distribution with the codes' covariance.

    It is the divergence of N(0, C) from the product of its marginals, -1/2 log det of the
    correlation matrix. Codes that never vary add nothing. Where codes depend on each other
    linearly it would be infinite: eigenvalues of the correlation matrix below 1e-12 count as
    1e-12, or 13.8 nats each. It takes the training rows.

    Returns:
        score: in [0, inf), less is better; a sample of N rows of D independent codes has
            about D (D - 1) / 4N.

    Example:
        >>> codes = [[0, 0], [0, 1], [1, 0], [1, 1]]
        >>> gaussian_total_correlation(Table(codes, codes, codes, codes), np.random.default_rng(0))
        {'score': 0.0}
    """
    low, high = table.codes.min(0), table.codes.max(0)
    varying = high > low
    if not varying.any():
        return {"score": 0.0}
    # Correlations do not depend on the scale, but squares of very small or large codes do not exist.
    codes = (table.codes - low)[:, varying] / (high - low)[varying]
    eigenvalues = np.linalg.eigvalsh(np.atleast_2d(np.corrcoef(codes, rowvar=False)))
    return {"score": max(0.0, float(-0.5 * np.log(np.maximum(eigenvalues, SMALLEST_EIGENVALUE)).sum()))}


@register(
    version=1,
    range=(0, math.inf),
    higher_is_better=False,
    chance="0: independent noise is best",
    ceiling="0, less is better; factors that are independent reach it",
    reference="Locatello et al. 2019, unsupervised scores; the distance is Dowson and Landau's, 1982",
    names=("score", "normalised"),
    columns=("score", "normalised"),
    ranked=False,
    least_factors=0,
    breaks={
        "judging factors": "it does not look at them",
        "scaling all codes": "a squared distance between codes; `normalised` stays",
        "shrinking all codes": "a squared distance between codes; `normalised` stays",
        "scaling one code": "a squared distance between codes",
        "scaling one code (normalised)": "a code of more variance counts more",
        "doubling codes": "a copy depends on its original entirely",
        "doubling codes (normalised)": "a copy depends on its original entirely",
    },
)
def gaussian_wasserstein_correlation(table: Table, rng: np.random.Generator) -> Values:
    """Squared Wasserstein distance of N(0, C) from the product of its marginals, C the codes' covariance.

    With S the diagonal of C it is 2 tr C - 2 tr (S^1/2 C S^1/2)^1/2. It takes the training rows.

    Returns:
        score: in [0, inf), in squared units of the codes, less is better.
        normalised: the score over the codes' total variance, in [0, 2); 0 where no code varies.

    Example:
        >>> codes = [[0, 0], [0, 1], [1, 0], [1, 1]]
        >>> gaussian_wasserstein_correlation(Table(codes, codes, codes, codes), np.random.default_rng(0))
        {'score': 0.0, 'normalised': 0.0}
    """
    codes = table.codes[:, np.ptp(table.codes, axis=0) > 0]
    if codes.shape[1] < 2:  # a code alone is its own marginal
        return {"score": 0.0, "normalised": 0.0}
    unit = np.ptp(codes, axis=0).max()  # whose fourth power need not be a number
    centred = (codes - codes.mean(0)) / unit
    deviations = centred.std(0, ddof=1)
    total = (deviations**2).sum()
    # The roots of the eigenvalues of S^1/2 C S^1/2, to all digits.
    roots = np.linalg.svd(centred * (deviations / np.sqrt(len(codes) - 1)), compute_uv=False)
    distance = max(0.0, float(2 * total - 2 * roots.sum()))  # which rounding takes a little below 0
    return {"score": float(distance * unit**2), "normalised": float(distance / total)}


@register(
    version=1,
    range=(0, math.inf),
    higher_is_better=False,
    chance="0: independent noise is best; up to 19^2 / 2N more by sampling",
    ceiling="0, less is better; factors that are independent reach it",
    reference="Locatello et al. 2019, unsupervised scores",
    ranked=False,
    least_factors=0,
    breaks={
        "judging factors": "it does not look at them",
        "adding dead codes": "pairs with a dead code share nothing and count in the mean, as in the study",
        "doubling codes": "a copy shares all that its original knows",
    },
)
def mean_pairwise_information(table: Table, rng: np.random.Generator, *, bins: int = 20) -> Values:
    """Mutual information in nats of two codes, averaged over all pairs of different codes.

    Codes fall into `bins` bins of equal width over their own ranges. The mean is over the
    D (D - 1) ordered pairs, those with constant codes too. It takes the training rows.

    Returns:
        score: in [0, log bins], less is better; 0 for a single code, which has no partner.

    Example:
        >>> codes = [[0, 0], [0, 1], [1, 0], [1, 1]]
        >>> mean_pairwise_information(Table(codes, codes, codes, codes), np.random.default_rng(0))
        {'score': 0.0}
    """
    latents = table.codes.shape[1]
    if latents == 1:
        return {"score": 0.0}
    binned = bin_codes(table.codes, bins)
    information = mutual_information(binned, binned)
    return {"score": max(0.0, float(information[~np.eye(latents, dtype=bool)].mean()))}


@register(
    version=1,
    range=(0, math.inf),
    chance="none: noise is active",
    ceiling="the number of codes",
    reference="Burda et al. 2016, section 5.2",
    ranked=False,
    least_factors=0,
    breaks={
        "judging factors": "it does not look at them",
        "doubling codes": "each copy is counted",
        "shrinking all codes": "a code of little variance counts as dead: the prior's is 1",
    },
)
def active_latents(table: Table, rng: np.random.Generator, *, threshold: float = 0.01) -> Values:
    """The number of codes whose variance over the training rows is above `threshold`.

    The codes of a variational autoencoder are posterior means, to be compared with a prior of
    variance 1. It says how much of the representation is in use, not how good it is.

    Returns:
        score: in 0 .. D, more means that fewer codes have collapsed.

    Example:
        >>> codes = [[0, 0], [0, 1], [0, 0], [0, 1]]
        >>> factors = [[0], [1], [0], [1]]
        >>> active_latents(Table(codes, factors, codes, factors), np.random.default_rng(0))
        {'score': 1.0}
    """
    return {"score": float((table.codes.var(0) > threshold).sum())}
