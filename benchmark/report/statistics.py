"""What scores of a few seeds are worth; `python -m tests.benchmarks.coverage` prints how intervals cover."""

from collections.abc import Sequence
from functools import cache

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
RESAMPLES = 10_000  # of a bootstrap
MANY = 10  # seeds from which on a configuration's own spread is known well enough
ODD = 0.001  # probability below which a spread is taken to be another than that of the other configurations


def mean_intervals(samples: Sequence[np.ndarray]) -> np.ndarray:
    """95% intervals of the means of each configuration's scores: (configurations, 2), nan where nothing is known.

    Student's t with one standard deviation for all configurations, as few seeds do not tell each its own: at two of
    them every other interval would be less than a third as wide as it should be. A configuration of ten seeds or more
    has its own, and so has one whose variance is greater than that of the others taken together (F test, at 0.1%); the
    variance that the others share is without it. A smaller one is not told from chance where scores are whole numbers,
    or few, and would give intervals of no width. One seed alone has no interval: whether its configuration has the
    others' spread, nothing tells.

    Args:
        samples: the scores (seeds,) of each configuration, at least one.

    Reference: Student 1908, "The probable error of a mean"; the pooled variance is that of the analysis of variance.
    """
    counts = np.array([len(own) for own in samples])
    means = np.array([np.mean(own) for own in samples])
    squares = np.array([((own - own.mean()) ** 2).sum() for own in samples])
    freedom = counts - 1
    shared = _share_a_spread(squares, freedom)
    own = ~shared | (counts >= MANY)
    pooled, pooled_freedom = squares[shared].sum(), freedom[shared].sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        variances = np.where(own, squares / freedom, pooled / pooled_freedom)
        degrees = np.where(own, freedom, pooled_freedom)
        reach = stats.t.ppf((1 + CONFIDENCE) / 2, np.where(counts > 1, degrees, np.nan)) * np.sqrt(variances / counts)
    return np.stack([means - reach, means + reach], axis=1)


def _share_a_spread(squares: np.ndarray, freedom: np.ndarray) -> np.ndarray:
    """Which configurations have the variance of all others that do: (configurations,), those of one seed among them.

    The oddest is taken out as long as one is odd; it is judged beside the others without it.

    Args:
        squares: sums of squared differences from each mean.
        freedom: seeds less one.
    """
    shared = np.ones(len(squares), dtype=bool)
    while (shared & (freedom > 0)).sum() > 1:
        candidates = np.flatnonzero(shared & (freedom > 0))
        rest_squares = squares[shared].sum() - squares[candidates]
        rest_freedom = freedom[shared].sum() - freedom[candidates]
        probability = _chance(squares[candidates], freedom[candidates], rest_squares, rest_freedom)
        oddest = int(probability.argmin())
        if probability[oddest] >= ODD:
            break
        shared[candidates[oddest]] = False
    return shared


def _chance(squares: np.ndarray, freedom: np.ndarray, others: np.ndarray, others_freedom: np.ndarray) -> np.ndarray:
    """The probability of a ratio of variances at least as great; 1 where neither varies."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = (squares / freedom) / (others / others_freedom)
    return np.nan_to_num(stats.f.sf(ratio, freedom, others_freedom), nan=1.0)


def bootstrap_interval(samples: np.ndarray) -> np.ndarray:
    """Percentile bootstrap 95% intervals of the mean of each row of (configurations, seeds): (configurations, 2).

    The resampling is seeded: equal samples give equal intervals. Reference: Efron 1979.
    """
    tail, means = (1 - CONFIDENCE) / 2, np.zeros((len(samples), RESAMPLES))
    # Added up seed by seed, as the last digits of a product of matrices depend on processor and threads.
    for own, weights in zip(samples.T, _resamplings(samples.shape[1]).T, strict=True):
        means += own[:, None] * weights
    return np.quantile(means, [tail, 1 - tail], axis=1).T


@cache
def _resamplings(seeds: int) -> np.ndarray:
    """How much each of so many seeds weighs in each resampling (`RESAMPLES`, seeds)."""
    return np.random.default_rng(0).multinomial(seeds, np.full(seeds, 1 / seeds), size=RESAMPLES) / seeds
