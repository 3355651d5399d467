"""What scores of a few seeds are worth; `python -m tests.benchmarks.coverage` prints how intervals cover."""

from collections.abc import Sequence
from functools import cache
from itertools import combinations

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
RESAMPLES = 10_000  # of a bootstrap
REDRAWN = 2_000  # times that all configurations are drawn anew, for their ranks
HALVINGS = 60  # of a search's interval, to the last digits
LEAST_COMPARED = 3  # configurations of which a rank correlation says anything
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
    spreads, freedom = _spreads(samples)
    reach = stats.t.ppf((1 + CONFIDENCE) / 2, np.where(counts > 1, freedom, np.nan)) * spreads / np.sqrt(counts)
    return np.stack([means - reach, means + reach], axis=1)


def _spreads(samples: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The standard deviation that each configuration's scores are taken to have, and its degrees of freedom.

    As `mean_intervals` says; nan where no configuration tells one.
    """
    counts = np.array([len(own) for own in samples])
    squares = np.array([((own - own.mean()) ** 2).sum() for own in samples])
    freedom = counts - 1
    shared = _share_a_spread(squares, freedom)
    own = ~shared | (counts >= MANY)
    pooled, pooled_freedom = squares[shared].sum(), freedom[shared].sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        variances = np.where(own, squares / freedom, pooled / pooled_freedom)
    return np.sqrt(variances), np.where(own, freedom, pooled_freedom)


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


def redraw_means(scores: np.ndarray, configurations: np.ndarray) -> np.ndarray:
    """What the means of all configurations might have been with other seeds: (`REDRAWN`, configurations, metrics).

    Each draw adds to a mean the mean of as many residuals as the configuration has seeds. Residuals are drawn run by
    run, all metrics of a run together, from the runs of all configurations, each measured in the standard deviation of
    its own and multiplied by that of the other, as `mean_intervals` takes them to be; the whole is as wide as Student's
    t. So few seeds, which drawn among themselves would show too little spread, have that of the block, and so has one.

    Args:
        scores: (runs, metrics), nan where a run has none.
        configurations: (runs,), the number of each run's configuration, from 0 on, each with a run.

    Returns:
        nan where a configuration has no score, or nothing tells its spread.

    Reference: the bootstrap of residuals, Efron and Tibshirani 1993, section 9.4.
    """
    rng = np.random.default_rng(0)
    means, errors, freedom = np.full((3, configurations.max() + 1, scores.shape[1]), np.nan)
    residuals = np.zeros_like(scores)
    for metric, own in enumerate(scores.T):
        known = np.flatnonzero(~np.isnan(own))
        present, place = np.unique(configurations[known], return_inverse=True)
        if not present.size:
            continue
        samples = [own[known[place == each]] for each in range(len(present))]
        counts = np.bincount(place)
        spreads, freedom[present, metric] = _spreads(samples)
        means[present, metric] = [sample.mean() for sample in samples]
        errors[present, metric] = spreads / np.sqrt(counts)
        with np.errstate(divide="ignore", invalid="ignore"):
            shares = (own[known] - means[configurations[known], metric]) / spreads[place]
        residuals[known, metric] = np.nan_to_num(shares)
    # One seed lies on its mean, and tells nothing of how far seeds lie from theirs.
    pool = residuals[np.bincount(configurations)[configurations] > 1]
    draws = np.full((REDRAWN, *means.shape), np.nan)
    if not len(pool):
        return draws
    with np.errstate(divide="ignore", invalid="ignore"):
        pool = np.nan_to_num(pool / np.sqrt((pool**2).mean(axis=0)))
    for each, count in enumerate(np.bincount(configurations)):
        draws[:, each] = pool[rng.integers(len(pool), size=(count, REDRAWN))].sum(axis=0) / np.sqrt(count)
    several, which = np.unique(freedom, return_inverse=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        widths = np.sqrt(several / stats.chi2.ppf(rng.random((REDRAWN, 1)), several))
    return means + errors * draws * widths[:, which.reshape(freedom.shape)]


def rank_intervals(drawn: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """95% intervals of ranks: (configurations, 2), each with the rank itself.

    Args:
        drawn: (draws, configurations), what is ranked, less being better.
        ranks: (configurations,), 1 being the best.
    """
    tail = (1 - CONFIDENCE) / 2
    every = stats.rankdata(drawn, method="min", axis=1)
    low, high = np.quantile(every, [tail, 1 - tail], axis=0, method="inverted_cdf")
    return np.stack([np.minimum(low, ranks), np.maximum(high, ranks)], axis=1).astype(int)


def told_apart(drawn: np.ndarray, better: int, worse: np.ndarray) -> np.ndarray:
    """Whether one configuration is better than each of others in more than 97.5% of the draws of `rank_intervals`."""
    return (drawn[:, [better]] < drawn[:, worse]).mean(axis=0) > (1 + CONFIDENCE) / 2


def share_of_wins(scores: np.ndarray, others: np.ndarray) -> float:
    """The share of pairs of a score of the one and one of the other in which the first is greater, ties half.

    It estimates P(A > B) + P(A = B) / 2. Reference: Mann and Whitney 1947.
    """
    return float((np.sign(scores[:, None] - others) + 1).mean() / 2)


def wins_interval(share: np.ndarray, runs: np.ndarray, other_runs: np.ndarray) -> np.ndarray:
    """95% intervals of `share_of_wins` of so many runs: (pairs, 2), within 0 and 1.

    Reference: Newcombe 2006, "Confidence intervals for an effect size measure based on the Mann-Whitney statistic",
    part 2, method 5: the probabilities that, with their own standard error, lie 1.96 of it from the share.
    """
    reach = stats.norm.ppf((1 + CONFIDENCE) / 2)
    more = (runs + other_runs) / 2 - 1

    def beyond(truth: np.ndarray) -> np.ndarray:
        variance = truth * (1 - truth) * (1 + more * ((1 - truth) / (2 - truth) + truth / (1 + truth)))
        return np.abs(share - truth) > reach * np.sqrt(variance / (runs * other_runs))

    ends = []
    for outer in (0.0, 1.0):
        inside, outside = share.astype(float), np.full(len(share), outer)
        for _ in range(HALVINGS):
            middle = (inside + outside) / 2
            outside, inside = np.where(beyond(middle), middle, outside), np.where(beyond(middle), inside, middle)
        ends.append(inside)
    return np.stack(ends, axis=1)


def on_frontier(scores: np.ndarray) -> np.ndarray:
    """Which of the scores (configurations,), in the order of their price, exceed all that are cheaper."""
    before = np.maximum.accumulate(np.concatenate([[-np.inf], scores]))[:-1]
    return scores > before


def agreement_of_seeds(scores: np.ndarray) -> float:
    """The mean rank correlation of two seeds' scores of the same configurations; nan where none have three in common.

    Args:
        scores: (configurations, seeds), nan where there is none.

    Reference: Spearman 1904.
    """
    correlations = []
    for one, other in combinations(scores.T, 2):
        both = ~np.isnan(one) & ~np.isnan(other)
        if both.sum() >= LEAST_COMPARED and np.ptp(one[both]) > 0 and np.ptp(other[both]) > 0:
            correlations.append(stats.spearmanr(one[both], other[both]).statistic)
    return float(np.mean(correlations)) if correlations else float("nan")


def seeds_needed(agreement: float, reliability: float = 0.9) -> float:
    """How many seeds a configuration's mean is to be of, for ranks of that reliability; inf where no number would do.

    Args:
        agreement: the rank correlation of single seeds, as of `agreement_of_seeds`.

    Reference: Spearman 1910, Brown 1910.
    """
    if np.isnan(agreement) or agreement <= 0:
        return float("nan") if np.isnan(agreement) else float("inf")
    if agreement >= reliability:
        return 1.0
    # Rounded, as 9.000000000001 seeds are 9.
    return float(np.ceil(round(reliability * (1 - agreement) / (agreement * (1 - reliability)), 6)))


def share_of_seed(scores: np.ndarray, configurations: np.ndarray, seeds: np.ndarray) -> float:
    """How much of the variance within configurations is of the seed's number: at 0 equal seeds are no pairs.

    The share of the sum of squares that the seeds' means explain, less what they explain by chance (adjusted R^2);
    not below 0, nan where nothing is left to explain it.

    Args:
        scores, configurations, seeds: (runs,), the latter two any labels.
    """
    _, place, counts = np.unique(configurations, return_inverse=True, return_counts=True)
    within = scores - (np.bincount(place, scores) / counts)[place]
    _, seed, of_seed = np.unique(seeds, return_inverse=True, return_counts=True)
    means = np.bincount(seed, within) / of_seed
    whole, explained = (within**2).sum(), (of_seed * means**2).sum()
    freedom = len(scores) - len(counts)
    left = freedom - (len(of_seed) - 1)
    if left <= 0 or whole <= 0:
        return float("nan")
    return float(max(0.0, 1 - (1 - explained / whole) * freedom / left))


def adjust_by_holm(chances: np.ndarray) -> np.ndarray:
    """The p-values of a family of tests, adjusted so that 5% is the probability of one false rejection or more.

    Reference: Holm 1979.
    """
    order = np.argsort(chances)
    stepped = np.maximum.accumulate(chances[order] * np.arange(len(chances), 0, -1))
    adjusted = np.empty(len(chances))
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def critical_difference(methods: int, datasets: int) -> float:
    """How far two mean ranks must lie apart to differ at 5%, of so many methods over so many data sets.

    Reference: Nemenyi 1963; Demsar 2006, "Statistical comparisons of classifiers over multiple data sets", section 3.2.
    """
    reach = stats.studentized_range.ppf(CONFIDENCE, methods, np.inf) / np.sqrt(2)
    return float(reach * np.sqrt(methods * (methods + 1) / (6 * datasets)))
