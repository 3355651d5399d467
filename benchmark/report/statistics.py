"""What scores of a few seeds are worth; `python -m tests.benchmarks.coverage` prints how intervals cover."""

from collections.abc import Sequence
from functools import cache
from itertools import combinations

import numpy as np
from scipy import optimize, special, stats

CONFIDENCE = 0.95
RESAMPLES = 10_000  # of a bootstrap
REDRAWN = 2_000  # times that all configurations are drawn anew, for their ranks
BULK = 2  # times the price that nine in ten do not pass
SPREAD = 3  # ratio of prices beyond which their axis is logarithmic
DIGITS = 12  # after the point, in which numbers that differ do
HALVINGS = 60  # of a search's interval, to the last digits
ROUNDED = 1e-12  # of a number, that is rounding
LEAST_COMPARED = 3  # configurations of which a rank correlation says anything
ROWS_ASKED = 60  # configurations of many, for which it is found how far differences are off
ONE_SIGMA = stats.norm.cdf([-1, 1])
MANY = 10  # seeds from which on a configuration's own spread is known well enough
ODD = 0.001  # probability below which a spread is taken to be another than that of the other configurations
FAINT = 0.01  # of the mean variance
LEAST_HALF, UNLIKE = 1e-6, 1e6  # half the degrees of freedom between which those of a prior are looked for


def mean_intervals(samples: Sequence[np.ndarray]) -> np.ndarray:
    """95% intervals of the means of each configuration's scores: (configurations, 2), nan where nothing is known.

    Student's t. Few seeds do not tell each configuration its own standard deviation: at two of them every other
    interval would be less than a third as wide as it should be. So the interval is the wider of two: with one standard
    deviation for all, which holds where scores are far from normal; and with each one's own drawn towards the others'
    as far as all of them are alike (`_moderate`), which holds where some vary more than others. Both are of the
    configurations whose variance is neither greater nor smaller than that of the others taken together (F test, at
    0.1%). One of greater variance has its own, drawn towards the others'; one of ten seeds or more its own; one that
    hardly varies, such as that of the true factors, the one for all, as small variances come by chance where scores are
    whole numbers, or few. One seed alone has no interval: whether its configuration has the others' spread, nothing
    tells.

    Args:
        samples: the scores (seeds,) of each configuration, at least one.

    Reference: Student 1908, "The probable error of a mean"; the pooled variance is that of the analysis of variance.
    """
    counts = np.array([len(own) for own in samples])
    means = np.array([np.mean(own) for own in samples])
    spreads, freedom = _spreads(samples)
    reach = np.where(counts > 1, _reach(spreads**2, freedom), np.nan) / np.sqrt(counts)
    return np.stack([means - reach, means + reach], axis=1)


def _spreads(samples: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The standard deviation that each configuration's scores are taken to have, and its degrees of freedom.

    As `mean_intervals` says; nan where no configuration tells one.
    """
    counts = np.array([len(own) for own in samples])
    squares = np.array([((own - own.mean()) ** 2).sum() for own in samples])
    freedom = counts - 1
    great, small = _odd_spreads(squares, freedom)
    own, alike = great | (counts >= MANY), ~(great | small)
    whole = freedom[alike].sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        variances = np.where(own, squares / freedom, squares[alike].sum() / whole)
    freedoms = np.where(own, freedom, whole).astype(float)
    moderate, their_freedom = np.full((2, len(counts)), np.nan)
    for several in (alike | great, alike):  # the great ones widen no others
        moderate[several], their_freedom[several] = _moderate(squares[several], freedom[several])
    wider = _reach(moderate, their_freedom) > _reach(variances, freedoms)
    taken = np.where(great, ~np.isnan(moderate), wider) & (counts < MANY)
    return np.sqrt(np.where(taken, moderate, variances)), np.where(taken, their_freedom, freedoms)


def _reach(variances: np.ndarray, freedom: np.ndarray) -> np.ndarray:
    """How far an interval of one score goes to each side."""
    return stats.t.ppf((1 + CONFIDENCE) / 2, np.where(freedom > 0, freedom, np.nan)) * np.sqrt(variances)


def _odd_spreads(squares: np.ndarray, freedom: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which configurations have a greater variance than the others, and which a smaller one: (configurations,) each.

    The oddest is taken out as long as one is odd; it is judged beside the others without it.

    Args:
        squares: sums of squared differences from each mean.
        freedom: seeds less one.
    """
    odd = np.zeros((2, len(squares)), dtype=bool)
    while True:
        rest = ~odd.any(axis=0)
        each = np.flatnonzero(rest & (freedom > 0))
        if len(each) < 2:
            break
        others, their_freedom = squares[rest].sum() - squares[each], freedom[rest].sum() - freedom[each]
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = (squares[each] / freedom[each]) / (others / their_freedom)
        chances = np.array([tail(ratio, freedom[each], their_freedom) for tail in (stats.f.sf, stats.f.cdf)])
        chances = np.nan_to_num(chances, nan=1.0)  # where neither varies
        if chances.min() >= ODD:
            break
        side, oddest = np.unravel_index(chances.argmin(), chances.shape)
        odd[side, each[oddest]] = True
    return odd[0], odd[1]


def _moderate(squares: np.ndarray, freedom: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each configuration's variance drawn towards the others', and its degrees of freedom: (configurations,) each.

    The variances are taken to be drawn themselves, from a scaled inverse chi-squared distribution whose scale and
    degrees of freedom are those that the mean and variance of their logarithms have; nan where they are not told, or no
    less alike than chance makes them. Variances below `FAINT` of the mean, of which the logarithm would tell too much,
    count as that.

    Reference: Smyth 2004, "Linear models and empirical Bayes methods for assessing differential expression in
    microarray experiments", section 6.2.
    """
    known = freedom > 0
    nothing = np.full(len(squares), np.nan)
    if known.sum() < 2 or not squares.any():
        return nothing, nothing
    half = freedom[known] / 2
    variances = np.maximum(squares[known] / freedom[known], FAINT * squares.sum() / freedom.sum())
    logs = np.log(variances) - special.digamma(half) + np.log(half)
    excess = logs.var(ddof=1) - special.polygamma(1, half).mean()
    if excess <= special.polygamma(1, UNLIKE):
        return nothing, nothing
    prior_half = optimize.brentq(lambda each: special.polygamma(1, each) - excess, LEAST_HALF, UNLIKE)
    prior = 2 * prior_half
    scale = np.exp(logs.mean() + special.digamma(prior_half) - np.log(prior_half))
    return (prior * scale + squares) / (prior + freedom), np.minimum(prior + freedom, freedom.sum())


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


def redraw_means(scores: np.ndarray, configurations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The means of all configurations, and how far off others of as many seeds might have been.

    Each draw is, for a configuration, the mean of as many residuals as it has seeds. Residuals are drawn run by run,
    all metrics of a run together, from the runs of all configurations, each measured in the standard deviation of its
    own and multiplied by that of the other, as `mean_intervals` takes them to be; the whole is as wide as Student's t.
    So few seeds, which drawn among themselves would show too little spread, have that of the block, and so has one.

    Args:
        scores: (runs, metrics), nan where a run has none.
        configurations: (runs,), the number of each run's configuration, from 0 on, each with a run.

    Returns:
        Means (configurations, metrics) and draws of their errors (`REDRAWN`, configurations, metrics): nan where a
        configuration has no score, or nothing tells its spread.

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
        spreads, freedom[present, metric] = _spreads(samples)
        means[present, metric] = [sample.mean() for sample in samples]
        errors[present, metric] = spreads / np.sqrt(np.bincount(place))
        with np.errstate(divide="ignore", invalid="ignore"):
            shares = (own[known] - means[configurations[known], metric]) / spreads[place]
        residuals[known, metric] = np.nan_to_num(shares)
    counts = np.bincount(configurations)
    pool = residuals[counts[configurations] > 1]  # one seed lies on its mean, and does not tell how far seeds lie off
    if not len(pool):
        return means, np.broadcast_to(np.nan, (REDRAWN, *means.shape))
    with np.errstate(divide="ignore", invalid="ignore"):
        pool = np.nan_to_num(pool / np.sqrt((pool**2).mean(axis=0)))
        several, which = np.unique(freedom, return_inverse=True)
        widths = np.sqrt(several / stats.chi2.ppf(rng.random((REDRAWN, 1)), several))[:, which.reshape(freedom.shape)]
    draws = np.empty((REDRAWN, *means.shape))
    for each, count in enumerate(counts):
        drawn = pool[rng.integers(len(pool), size=(count, REDRAWN))].sum(axis=0) / np.sqrt(count)
        draws[:, each] = drawn * errors[each] * widths[:, each]
    return means, draws


def told_apart(values: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """Which other configuration each one (row) is told from, as far as seeds tell: (configurations, configurations).

    Where the difference exceeds so many of its standard errors that in 95% of the draws none of the row's differences
    is off by as many. The family that is corrected is a configuration among all others, so that its rank is held by
    `rank_intervals`, and the best is not told from what looks better, in 95% of cases and more, however near the others
    are. Without draws nothing is told.

    Args:
        values: (configurations,).
        errors: (draws, configurations), how far off they might have been.

    Reference: Hsu 1984, "Constrained simultaneous confidence intervals for multiple comparisons with the best"; Mogstad
    et al. 2024, "Inference for ranks".
    """
    if np.isnan(errors).any():
        return np.zeros((len(values), len(values)), dtype=bool)
    low, high = np.quantile(errors, ONE_SIGMA, axis=0)
    spreads = (high - low) / 2
    between = np.hypot(spreads[:, None], spreads)
    order = np.argsort(values, kind="stable")
    asked = np.unique(np.linspace(0, len(values) - 1, ROWS_ASKED).round().astype(int))  # of many some
    reach = np.empty(len(values))
    with np.errstate(divide="ignore", invalid="ignore"):
        off = [np.nan_to_num(np.abs(errors - errors[:, [row]]) / between[row]).max(axis=1) for row in order[asked]]
    reach[order] = np.interp(np.arange(len(values)), asked, np.quantile(off, CONFIDENCE, axis=1))
    # Rounded, as means of equal scores differ in their last digit.
    return np.abs(values - values[:, None]).round(DIGITS) > reach[:, None] * between


def rank_intervals(values: np.ndarray, apart: np.ndarray) -> np.ndarray:
    """95% intervals of ranks: (configurations, 2), from behind all that are told to be better to before all told worse.

    Args:
        values: (configurations,), less being better.
        apart: of `told_apart`.
    """
    better, worse = apart & (values < values[:, None]), apart & (values > values[:, None])
    return np.stack([1 + better.sum(axis=1), len(values) - worse.sum(axis=1)], axis=1)


def share_of_wins(scores: np.ndarray, others: np.ndarray) -> float:
    """The share of pairs of a score of the one and one of the other in which the first is greater, ties half.

    It estimates P(A > B) + P(A = B) / 2. Reference: Mann and Whitney 1947.
    """
    return float((np.sign(scores[:, None] - others) + 1).mean() / 2)


def wins_interval(share: np.ndarray, runs: np.ndarray, other_runs: np.ndarray) -> np.ndarray:
    """95% intervals of `share_of_wins` of so many runs: (pairs, 2), within 0 and 1.

    Reference: Newcombe 2006, "Confidence intervals for an effect size measure based on the Mann-Whitney statistic",
    part 2, method 5: the probabilities that, with their own standard error, lie 1.96 of it from the share. Of three
    runs a side it holds 90% where neither is better, as nine pairs cannot tell more.
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


def edge_of_bulk(prices: np.ndarray) -> float:
    """Where an axis ends that serves the bulk: at twice what nine in ten do not pass; inf where that is below 0."""
    most = float(np.quantile(prices, 0.9))
    return BULK * most if most > 0 else float("inf")


def on_frontier(scores: np.ndarray) -> np.ndarray:
    """Which of the scores (configurations,), in the order of their price, exceed all that are cheaper."""
    before = np.maximum.accumulate(np.concatenate([[-np.inf], scores]))[:-1]
    return scores > before


def agreement_of_seeds(scores: np.ndarray) -> float:
    """The mean rank correlation of two seeds' scores of the same configurations.

    Of two seeds that have three configurations and half of all in common, nan where none do: what seeds agree on among
    a few, such as one method's, is not what they agree on among all.

    Args:
        scores: (configurations, seeds), nan where there is none.

    Reference: Spearman 1904.
    """
    correlations = []
    least = max(LEAST_COMPARED, len(scores) / 2)
    for one, other in combinations(scores.T, 2):
        both = ~np.isnan(one) & ~np.isnan(other)
        if both.sum() >= least and np.ptp(one[both]) > 0 and np.ptp(other[both]) > 0:
            ranks = stats.rankdata([one[both], other[both]], axis=1)
            correlations.append(np.corrcoef(ranks)[0, 1])
    return float(np.mean(correlations)) if correlations else float("nan")


def interquartile_mean(scores: np.ndarray) -> float:
    """The mean without the lowest quarter and the highest, of so many whole scores. Reference: Agarwal et al. 2021."""
    cut = len(scores) // 4
    return float(np.sort(scores)[cut : len(scores) - cut].mean())


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
    not below 0, nan where nothing is left to explain it, or of fewer than three configurations, where chance is most.

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
    if left <= 0 or len(counts) < LEAST_COMPARED or whole <= (ROUNDED * scores).dot(ROUNDED * scores):
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
